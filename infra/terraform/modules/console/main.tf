# The console: Firebase Hosting, people who sign in, and App Check where it is wanted. Its pages come by `firebase deploy --only hosting`,
# because Terraform cannot upload a folder of them.

variable "project" {
  description = "The project's id."
  type        = string
}

variable "open_sign_up" {
  description = "Whether anybody may make an account."
  type        = bool
}

variable "app_check_site_key" {
  description = "The reCAPTCHA Enterprise key, or empty."
  type        = string
}

resource "google_firebase_project" "console" {
  provider = google-beta
  project  = var.project
}

resource "google_firebase_web_app" "console" {
  provider     = google-beta
  project      = google_firebase_project.console.project
  display_name = "Keepline"
}

resource "google_firebase_hosting_site" "console" {
  provider = google-beta
  project  = google_firebase_project.console.project
  site_id  = var.project
  app_id   = google_firebase_web_app.console.app_id
}

resource "google_identity_platform_config" "sign_in" {
  project = google_firebase_project.console.project

  sign_in {
    email {
      enabled           = true
      password_required = true
    }
  }

  client {
    permissions {
      disabled_user_signup = !var.open_sign_up
    }
  }

  authorized_domains = ["${var.project}.web.app", "${var.project}.firebaseapp.com"]
}

resource "google_firebase_app_check_recaptcha_enterprise_config" "console" {
  count = var.app_check_site_key == "" ? 0 : 1

  project   = google_firebase_project.console.project
  app_id    = google_firebase_web_app.console.app_id
  site_key  = var.app_check_site_key
  token_ttl = "3600s"
}

output "address" {
  description = "The console's address."
  value       = google_firebase_hosting_site.console.default_url
}
