# The Google APIs that Keepline, its build and this description use. Destroying Keepline switches none off: other things in the
# project may use them, and they cost nothing by themselves.

locals {
  services = [
    "artifactregistry.googleapis.com",     # images of connectors
    "billingbudgets.googleapis.com",       # the budget
    "cloudbuild.googleapis.com",           # releases, and the building of functions
    "cloudfunctions.googleapis.com",       # functions
    "cloudkms.googleapis.com",             # the keys that wrap sessions' and webhooks' keys
    "cloudresourcemanager.googleapis.com", # roles in the project
    "cloudscheduler.googleapis.com",       # what comes each minute and each hour
    "compute.googleapis.com",              # the network that connectors leave through
    "eventarc.googleapis.com",             # Firestore's events on their way to functions
    "firebase.googleapis.com",             # the console's project
    "firebaseappcheck.googleapis.com",     # sign-in from the console only, where that is wanted
    "firebasehosting.googleapis.com",      # the console
    "firebaserules.googleapis.com",        # firestore.rules
    "firestore.googleapis.com",            # the store
    "iam.googleapis.com",                  # service accounts
    "iamcredentials.googleapis.com",       # signing links to files
    "identitytoolkit.googleapis.com",      # people who sign in
    "logging.googleapis.com",              # logs, and alerts on them
    "monitoring.googleapis.com",           # dashboards and alerts
    "ondemandscanning.googleapis.com",     # weaknesses in a new image
    "pubsub.googleapis.com",               # waking webhooks, schedules
    "run.googleapis.com",                  # worker pools, and what functions run on
    "secretmanager.googleapis.com",        # the metrics token
    "storage.googleapis.com",              # files of messages, functions' zips
  ]
}

resource "google_project_service" "used" {
  for_each = toset(local.services)

  service            = each.value
  disable_on_destroy = false
}
