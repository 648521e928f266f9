# Who may do what: five service accounts, and the least that each needs. infra/permissions.toml says for each role which calls of
# the code need it, and `make check-infra` holds the two together: no call without its role, no role without a call.
#
# Roles on functions, topics and pools stand beside these, in the modules `functions` and `connector`.

variable "project" {
  description = "The project's id."
  type        = string
}

variable "session_key" {
  description = "The key that wraps sessions' keys."
  type        = string
}

variable "webhook_key" {
  description = "The key that wraps webhooks' secrets."
  type        = string
}

variable "media_bucket" {
  description = "The bucket of messages' files."
  type        = string
}

variable "secrets" {
  description = "The id of each secret, by its name."
  type        = map(string)
}

variable "secret_readers" {
  description = "Which account reads which secret."
  type        = list(object({ secret = string, account = string }))
}

variable "repositories" {
  description = "The ids of the repositories of images: projects/…/locations/…/repositories/…."
  type        = map(string)
}

variable "weekly_builds" {
  description = "Whether Cloud Scheduler starts builds."
  type        = bool
}

variable "source_bucket" {
  description = "The bucket of functions' zips."
  type        = string
}

locals {
  accounts = {
    functions = "The API, triggers and schedules"
    watch     = "Uptime checks: may restart connectors"
    connector = "Connectors"
    events    = "Eventarc and Pub/Sub call functions as this one"
    release   = "Cloud Build: builds, tests, deploys"
  }
  members = { for name, account in google_service_account.account : name => "serviceAccount:${account.email}" }
}

resource "google_service_account" "account" {
  for_each = local.accounts

  account_id   = "keepline-${each.key}"
  display_name = "Keepline: ${each.value}"
}

# Firestore. No role is narrower than a database; rules do not concern service accounts. `datastore.user` reads and writes
# documents and cannot touch indexes, backups or the database itself.
resource "google_project_iam_member" "firestore" {
  for_each = toset(["functions", "watch", "connector"])

  project = var.project
  role    = "roles/datastore.user"
  member  = local.members[each.value]
}

# Connectors wrap the keys of sessions and open them again.
resource "google_kms_crypto_key_iam_member" "connector_sessions" {
  crypto_key_id = var.session_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = local.members["connector"]
}

# The API seals proxies' addresses for connectors. It can open neither those nor sessions: it is what the internet talks to.
resource "google_kms_crypto_key_iam_member" "functions_sessions" {
  crypto_key_id = var.session_key
  role          = "roles/cloudkms.cryptoKeyEncrypter"
  member        = local.members["functions"]
}

# Webhooks' secrets are made by the API and used by what delivers.
resource "google_kms_crypto_key_iam_member" "functions_webhooks" {
  crypto_key_id = var.webhook_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = local.members["functions"]
}

# Uptime checks open the headers that a check of a URL sends; the API has sealed them.
resource "google_kms_crypto_key_iam_member" "watch_webhooks" {
  crypto_key_id = var.webhook_key
  role          = "roles/cloudkms.cryptoKeyDecrypter"
  member        = local.members["watch"]
}

# Files of messages: uploaded and removed by functions, brought and fetched by connectors.
resource "google_storage_bucket_iam_member" "media" {
  for_each = toset(["functions", "connector"])

  bucket = var.media_bucket
  role   = "roles/storage.objectUser"
  member = local.members[each.value]
}

# Links to files are signed as this account, by itself and by nobody else. Without a key file only IAM can sign.
resource "google_service_account_iam_member" "functions_sign" {
  service_account_id = google_service_account.account["functions"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.members["functions"]
}

# Secrets are put into a function's environment as it starts (`deploy.secrets` in functions.json): the token that opens /metrics,
# and what signs orders to restart something.
resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = { for one in var.secret_readers : "${one.account}/${one.secret}" => one }

  secret_id = var.secrets[each.value.secret]
  role      = "roles/secretmanager.secretAccessor"
  member    = local.members[each.value.account]
}

# A restart of a pool is a new revision, which runs as the connectors' account: so `watch` must be allowed to hand that out.
# The right to change the pools themselves is beside each pool.
resource "google_service_account_iam_member" "watch_connector" {
  service_account_id = google_service_account.account["connector"].name
  role               = "roles/iam.serviceAccountUser"
  member             = local.members["watch"]
}

# It follows what becomes of a restart: Cloud Run's operations belong to the project, not to a pool.
resource "google_project_iam_member" "watch_operations" {
  project = var.project
  role    = "roles/run.viewer"
  member  = local.members["watch"]
}

# Eventarc brings Firestore's events to functions as this account.
resource "google_project_iam_member" "events" {
  project = var.project
  role    = "roles/eventarc.eventReceiver"
  member  = local.members["events"]
}

# A release writes its log, has its image scanned, deploys functions, pools and the console, and reads heartbeats to see whether the
# canary lives.
# It cannot read keys, secrets, files of messages, or give roles.
resource "google_project_iam_member" "release" {
  for_each = toset([
    "roles/logging.logWriter",
    "roles/cloudfunctions.developer",
    "roles/run.developer",
    "roles/datastore.viewer",
    "roles/firebasehosting.admin",
    "roles/ondemandscanning.admin",
  ])

  project = var.project
  role    = each.value
  member  = local.members["release"]
}

resource "google_artifact_registry_repository_iam_member" "release" {
  for_each = var.repositories

  repository = each.value
  role       = "roles/artifactregistry.writer"
  member     = local.members["release"]
}

resource "google_storage_bucket_iam_member" "release" {
  bucket = var.source_bucket
  role   = "roles/storage.objectUser"
  member = local.members["release"]
}

# Cloud Functions builds from source as this account as well, instead of one with many rights. It puts the source into a bucket of
# its own, which it makes and names; no other bucket can be read with this.
resource "google_project_iam_member" "release_source" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = local.members["release"]

  condition {
    title      = "sources of functions"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-\")"
  }
}

# What it deploys runs as these.
resource "google_service_account_iam_member" "release" {
  for_each = toset(["functions", "watch", "connector", "events"])

  service_account_id = google_service_account.account[each.value].name
  role               = "roles/iam.serviceAccountUser"
  member             = local.members["release"]
}

# Cloud Scheduler starts the weekly build as the account that the build runs as.
resource "google_project_iam_member" "release_weekly" {
  #checkov:skip=CKV_GCP_49:A build runs only as an account that its starter may hand out: this one itself, and those that it deploys anyway
  count = var.weekly_builds ? 1 : 0

  project = var.project
  role    = "roles/cloudbuild.builds.editor"
  member  = local.members["release"]
}

resource "google_service_account_iam_member" "release_weekly" {
  count = var.weekly_builds ? 1 : 0

  service_account_id = google_service_account.account["release"].name
  role               = "roles/iam.serviceAccountUser"
  member             = local.members["release"]
}

output "accounts" {
  description = "The e-mail address of each account, by what it is for."
  value       = { for name, account in google_service_account.account : name => account.email }
}
