# One connector: a worker pool with one instance, always on, that nothing from outside reaches. Its disk is memory and goes with the
# instance; sessions come back from Firestore.

variable "name" {
  description = "The connector's name, which it keeps for ever: connector-1."
  type        = string
}

variable "region" {
  description = "Where it runs."
  type        = string
}

variable "image" {
  description = "The image that a new pool begins with."
  type        = string
}

variable "memory" {
  description = "Memory, of which the disk is a part."
  type        = string
}

variable "network" {
  description = "The network that it leaves through."
  type        = string
}

variable "subnetwork" {
  description = "The subnet that it leaves through."
  type        = string
}

variable "service_account" {
  description = "Who it runs as."
  type        = string
}

variable "restarted_by" {
  description = "Who may restart it."
  type        = string
}

variable "environment" {
  description = "Its settings (docs/operations.md)."
  type        = map(string)
}

resource "google_cloud_run_v2_worker_pool" "connector" {
  name     = "keepline-${var.name}"
  location = var.region
  # It holds nothing that is not in Firestore.
  deletion_protection = false
  # Worker pools are generally available since; providers before 7 still call them a preview.
  launch_stage = "BETA"

  # One, never more: a second instance of one name would fight for its lease and leave (exit code 3).
  scaling {
    scaling_mode          = "MANUAL"
    manual_instance_count = 1
  }

  template {
    service_account = var.service_account

    containers {
      image = var.image

      resources {
        limits = {
          cpu    = "1"
          memory = var.memory
        }
      }

      dynamic "env" {
        for_each = var.environment
        content {
          name  = env.key
          value = env.value
        }
      }
    }

    # Everything leaves through the subnet, so that WhatsApp sees the reserved address.
    vpc_access {
      egress = "ALL_TRAFFIC"
      network_interfaces {
        network    = var.network
        subnetwork = var.subnetwork
      }
    }
  }

  lifecycle {
    # The image is the releases'; annotations and labels of the template are how a restart makes a new revision.
    ignore_changes = [
      template[0].containers[0].image,
      template[0].annotations,
      template[0].labels,
      template[0].revision,
      scaling[0].manual_instance_count,
      client,
      client_version,
      launch_stage,
    ]
  }
}

# Uptime checks restart and redeploy this pool, and no other thing in the project.
resource "google_cloud_run_v2_worker_pool_iam_member" "watch" {
  location = google_cloud_run_v2_worker_pool.connector.location
  name     = google_cloud_run_v2_worker_pool.connector.name
  role     = "roles/run.developer"
  member   = "serviceAccount:${var.restarted_by}"
}
