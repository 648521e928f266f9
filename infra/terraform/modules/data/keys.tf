# The keys that wrap others. Without `sessions` no stored session can be read again, by anybody, ever: each number would have to be
# linked anew. So nothing here can be destroyed by Terraform, and Google keeps a destroyed version for 30 days.

resource "google_kms_key_ring" "keepline" {
  name     = "keepline"
  location = var.multi_region.kms
}

# Wraps the data keys of sessions and the addresses of their proxies. Old versions stay: they open what they have closed.
resource "google_kms_crypto_key" "sessions" {
  name                       = "sessions"
  key_ring                   = google_kms_key_ring.keepline.id
  purpose                    = "ENCRYPT_DECRYPT"
  rotation_period            = "7776000s" # 90 days
  destroy_scheduled_duration = "2592000s" # 30 days

  lifecycle {
    prevent_destroy = true
  }
}

# Wraps the secrets of webhooks. Another key, because functions may open what it closes and must not open sessions.
resource "google_kms_crypto_key" "webhooks" {
  name                       = "webhooks"
  key_ring                   = google_kms_key_ring.keepline.id
  purpose                    = "ENCRYPT_DECRYPT"
  rotation_period            = "7776000s"
  destroy_scheduled_duration = "2592000s"

  lifecycle {
    prevent_destroy = true
  }
}
