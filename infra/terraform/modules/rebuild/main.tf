# Once a week: is there a newer neonize, and does Keepline work with it (cloudbuild.rebuild.yaml)? WhatsApp refuses a client some months
# after its version was made. Nothing that runs is changed; a build that fails is told to the operators by module `watch`.
#
# Cloud Build fetches the code from a repository that you have connected to it, so without one there is no schedule.

variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "Where it is built."
  type        = string
}

variable "repository" {
  description = "The repository's address, as Cloud Build has it connected: https://github.com/OWNER/NAME."
  type        = string
}

variable "account" {
  description = "Who builds."
  type        = string
}

resource "google_cloudbuild_trigger" "rebuild" {
  name            = "keepline-rebuild"
  location        = var.region
  service_account = "projects/${var.project}/serviceAccounts/${var.account}"

  source_to_build {
    uri       = var.repository
    ref       = "refs/heads/main"
    repo_type = "GITHUB"
  }

  git_file_source {
    path      = "cloudbuild.rebuild.yaml"
    uri       = var.repository
    revision  = "refs/heads/main"
    repo_type = "GITHUB"
  }
}

resource "google_cloud_scheduler_job" "rebuild" {
  name      = "keepline-rebuild"
  region    = var.region
  schedule  = "17 3 * * 1" # Monday night: a working week to look at what it found
  time_zone = "Etc/UTC"

  http_target {
    http_method = "POST"
    uri         = "https://cloudbuild.googleapis.com/v1/projects/${var.project}/locations/${var.region}/triggers/${google_cloudbuild_trigger.rebuild.trigger_id}:run"
    oauth_token {
      service_account_email = var.account
    }
  }
}
