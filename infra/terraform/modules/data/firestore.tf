# The store. Point-in-time recovery goes back 7 days to any minute; the weekly backups, which are kept for 14 weeks, cover what is
# noticed later.

resource "google_firestore_database" "store" {
  name                              = "(default)"
  location_id                       = var.firestore_location
  type                              = "FIRESTORE_NATIVE"
  concurrency_mode                  = "PESSIMISTIC"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = "DELETE_PROTECTION_ENABLED"
  deletion_policy                   = "ABANDON"

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_firestore_backup_schedule" "daily" {
  database  = google_firestore_database.store.name
  retention = "604800s" # 7 days

  daily_recurrence {}
}

resource "google_firestore_backup_schedule" "weekly" {
  database  = google_firestore_database.store.name
  retention = "8467200s" # 14 weeks, the longest that Firestore offers

  weekly_recurrence {
    day = "SUNDAY"
  }
}

locals {
  declared = jsondecode(file(var.indexes))

  # By a name that a person can read in a plan: outbox/COLLECTION/account,state,due_at DESCENDING
  indexes = {
    for index in local.declared.indexes : join("/", [
      index.collectionGroup,
      index.queryScope,
      join(",", [for field in index.fields : field.order == "ASCENDING" ? field.fieldPath : "${field.fieldPath} ${field.order}"]),
    ]) => index
  }
  fields = { for field in local.declared.fieldOverrides : "${field.collectionGroup}/${field.fieldPath}" => field }
}

resource "google_firestore_index" "composite" {
  for_each = local.indexes

  database    = google_firestore_database.store.name
  collection  = each.value.collectionGroup
  query_scope = each.value.queryScope

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path = fields.value.fieldPath
      order      = fields.value.order
    }
  }
}

# What is not to be indexed as Firestore does by itself, and what ages (TTL).
resource "google_firestore_field" "override" {
  for_each = local.fields

  database   = google_firestore_database.store.name
  collection = each.value.collectionGroup
  field      = each.value.fieldPath

  index_config {
    dynamic "indexes" {
      for_each = each.value.indexes
      content {
        order       = indexes.value.order
        query_scope = indexes.value.queryScope
      }
    }
  }

  dynamic "ttl_config" {
    for_each = try(each.value.ttl, false) ? [true] : []
    content {}
  }
}

resource "google_firebaserules_ruleset" "firestore" {
  source {
    files {
      name    = "firestore.rules"
      content = file(var.rules)
    }
  }

  # The rules that are in force stay in force until the new ones are.
  lifecycle {
    create_before_destroy = true
  }

  depends_on = [google_firestore_database.store]
}

resource "google_firebaserules_release" "firestore" {
  name         = "cloud.firestore"
  ruleset_name = google_firebaserules_ruleset.firestore.name
}
