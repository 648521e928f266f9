# What builds make: images of connectors, and zips of functions.

variable "project" {
  description = "The project's id."
  type        = string
}

variable "region" {
  description = "Where the images are. A running pool needs its image again only for a new instance."
  type        = string
}

resource "google_artifact_registry_repository" "keepline" {
  #checkov:skip=CKV_GCP_84:Images hold nothing secret; Google's own key protects them at rest
  repository_id = "keepline"
  location      = var.region
  format        = "DOCKER"
  description   = "Keepline's connectors"

  # A tag is a build: it never means another image later.
  docker_config {
    immutable_tags = true
  }

  # The last ten stay, whatever their age, to go back to.
  cleanup_policies {
    id     = "keep-the-last"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }

  cleanup_policies {
    id     = "forget-the-old"
    action = "DELETE"
    condition {
      older_than = "2592000s" # 30 days
    }
  }
}

# What Cloud Functions builds from source. It moves its tags, so they are free here.
resource "google_artifact_registry_repository" "functions" {
  #checkov:skip=CKV_GCP_84:As above
  repository_id = "keepline-functions"
  location      = var.region
  format        = "DOCKER"
  description   = "Keepline's functions, as Cloud Functions builds them"

  cleanup_policies {
    id     = "keep-the-last"
    action = "KEEP"
    most_recent_versions {
      keep_count = 3
    }
  }

  cleanup_policies {
    id     = "forget-the-old"
    action = "DELETE"
    condition {
      older_than = "604800s" # 7 days
    }
  }
}

resource "google_storage_bucket" "source" {
  #checkov:skip=CKV_GCP_62:Build artefacts only; Cloud Audit Logs say who changed what
  #checkov:skip=CKV_GCP_78:Each object's name is that of its build, so none is written twice
  name                        = "${var.project}-keepline-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 180
    }
  }
}

output "repositories" {
  description = "The ids of both repositories, by what is in them."
  value = {
    connectors = google_artifact_registry_repository.keepline.id
    functions  = google_artifact_registry_repository.functions.id
  }
}

output "repository_address" {
  description = "What stands before an image's name."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.keepline.repository_id}"
}

output "source_bucket" {
  description = "The bucket of functions' zips."
  value       = google_storage_bucket.source.name
}
