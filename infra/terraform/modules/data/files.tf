# Files of messages. The minute's round removes each when its time has come; this bucket's own rule is for what nothing knows any more.

resource "google_storage_bucket" "media" {
  #checkov:skip=CKV_GCP_62:Whoever reads a file does so through the API, which logs it; an access log here would name every link's user a second time
  #checkov:skip=CKV_GCP_78:A version would keep what a user has deleted; a week of soft delete is there for mistakes
  name                        = "${var.project}-keepline-media"
  location                    = var.multi_region.storage
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  soft_delete_policy {
    retention_duration_seconds = 604800 # 7 days
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 366
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 1
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}
