# Only the places of the secrets: their values are never in Terraform's state. `make deploy` puts one in where there is none.

resource "google_secret_manager_secret" "secret" {
  for_each = toset(var.secrets)

  secret_id = each.value

  replication {
    auto {}
  }

  lifecycle {
    prevent_destroy = true
  }
}
