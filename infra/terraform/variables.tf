variable "project" {
  description = "The id of the Google Cloud project. Keepline has it for itself: roles are given for the whole project where a resource cannot have them."
  type        = string
}

variable "regions" {
  description = "Where connectors run, one in each, in this order. Functions and images are in the first. Two devices of one account are kept in two regions."
  type        = list(string)
  default     = ["europe-west1", "europe-west4"]

  validation {
    condition     = length(var.regions) >= 1 && length(var.regions) == length(distinct(var.regions))
    error_message = "Name at least one region, each once."
  }
}

variable "firestore_location" {
  description = "Where Firestore keeps its data: a multi-region (eur3, nam5: 99.999 %) or a region (99.99 %). It can never be changed. Triggers are there as well."
  type        = string
  default     = "eur3"
}

variable "multi_region" {
  description = "Where keys, secrets' replicas and files are: a multi-region that Cloud KMS and Cloud Storage both have (europe with EU, us with US), so that the loss of one region leaves sessions readable."
  type        = object({ kms = string, storage = string })
  default     = { kms = "europe", storage = "EU" }
}

variable "image" {
  description = "The connectors' image by digest. For new worker pools only: what runs is changed by releases (cloudbuild.yaml). `make deploy` gives it."
  type        = string
}

variable "functions_source" {
  description = "The object in the bucket PROJECT-keepline-source with the functions' zip. For new functions only, as `image`. `make deploy` gives it."
  type        = string
}

variable "profile" {
  description = "The pace of the connectors' leases: `normal` (taken for dead after 15 s) or `extreme` (3 s, five times the Firestore operations)."
  type        = string
  default     = "normal"

  validation {
    condition     = contains(["normal", "extreme"], var.profile)
    error_message = "The profile is normal or extreme."
  }
}

variable "connector_memory" {
  description = "Memory of a connector. Its disk is memory as well: about 12 MB for each linked device, 300 MB for itself, and up to 800 MB of files on their way."
  type        = string
  default     = "4Gi"
}

variable "sessions_max" {
  description = "How many sessions the installation may have (KEEPLINE_SESSIONS_MAX)."
  type        = number
  default     = 100
}

variable "media_days" {
  description = "For how many days files of messages are kept (KEEPLINE_MEDIA_DAYS)."
  type        = number
  default     = 30
}

variable "recovery" {
  description = "What restarts a connector that uptime checks find down: cloud_run (its worker pool), off, or a URL that is told (KEEPLINE_RECOVERY)."
  type        = string
  default     = "cloud_run"
}

variable "open_sign_up" {
  description = "Whether anybody may make an account in the console. Each one gets sessions: leave it off unless you want that."
  type        = bool
  default     = false
}

variable "app_check_site_key" {
  description = "The reCAPTCHA Enterprise key of the console. With it sign-in is taken from the console only (Firebase App Check); empty: from any program."
  type        = string
  default     = ""
}

variable "source_repository" {
  description = "The GitHub repository that Cloud Build is connected to (https://github.com/OWNER/NAME), for the weekly try of a newer neonize; empty: none."
  type        = string
  default     = ""
}

variable "operators" {
  description = "E-mail addresses that get Google's alerts and the budget's."
  type        = list(string)
}

variable "billing_account" {
  description = "The id of the billing account, for the budget (its owner must allow you roles/billing.costsManager); empty: no budget."
  type        = string
  default     = ""
}

variable "budget_monthly" {
  description = "What a month may cost before you are told, in the billing account's currency."
  type        = number
  default     = 150
}
