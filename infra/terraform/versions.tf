# The arguments of every resource here are checked against the schema of exactly this version of the providers
# (infra/checks/provider_schema.json, `make check-infra`). A newer one: make that file anew first.
terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50.0"
    }
    # Only for what Firebase itself is: its project, web app, hosting site and App Check are not in the other one.
    google-beta = {
      source  = "hashicorp/google-beta"
      version = "~> 6.50.0"
    }
  }

  # `make deploy` names the bucket, PROJECT-keepline-terraform, and makes it first: it cannot be described by what it holds.
  backend "gcs" {
    prefix = "keepline"
  }
}

# Budgets and Firebase are asked for with a person's own login; Google wants to know which project's quota that uses.
provider "google" {
  project               = var.project
  region                = var.regions[0]
  user_project_override = true
  billing_project       = var.project
}

provider "google-beta" {
  project               = var.project
  region                = var.regions[0]
  user_project_override = true
  billing_project       = var.project
}
