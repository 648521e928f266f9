output "session_key" {
  description = "The key that wraps sessions' keys: projects/…/cryptoKeys/sessions."
  value       = google_kms_crypto_key.sessions.id
}

output "webhook_key" {
  description = "The key that wraps webhooks' secrets."
  value       = google_kms_crypto_key.webhooks.id
}

output "media_bucket" {
  description = "The bucket of messages' files."
  value       = google_storage_bucket.media.name
}

output "secrets" {
  description = "The id of each secret, by its name."
  value       = { for name, secret in google_secret_manager_secret.secret : name => secret.secret_id }
}
