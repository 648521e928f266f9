# What comes over Pub/Sub: wakes of webhooks (`topic`), and what Cloud Scheduler sends by the clock (`schedule`).

resource "google_pubsub_topic" "topic" {
  #checkov:skip=CKV_GCP_83:A message names a lane or a minute and nothing secret; Google's own key protects it at rest
  for_each = local.by_topic

  name = each.value.trigger.topic
}

# Where a message goes that was refused ten times. Nothing depends on it: what waits stands in Firestore. It is there to be seen.
resource "google_pubsub_topic" "dead" {
  #checkov:skip=CKV_GCP_83:As above
  for_each = { for name, one in local.by_topic : name => one if one.trigger.type == "topic" }

  name = "${each.value.trigger.topic}-dead"
}

resource "google_pubsub_subscription" "dead" {
  for_each = google_pubsub_topic.dead

  name                       = each.value.name
  topic                      = each.value.id
  message_retention_duration = "604800s" # 7 days
  expiration_policy {
    ttl = "" # never
  }
}

resource "google_pubsub_subscription" "push" {
  for_each = local.by_topic

  name  = each.key
  topic = google_pubsub_topic.topic[each.key].id
  # As long as the function may take, so that nothing is given to a second one while the first is at it; 10 minutes is the most.
  ack_deadline_seconds = min(600, each.value.deploy.timeout_s + 10)
  # A round that is ten minutes late is the next one's work.
  message_retention_duration = each.value.trigger.type == "schedule" ? "600s" : "86400s"

  push_config {
    push_endpoint = google_cloudfunctions2_function.function[each.key].service_config[0].uri
    oidc_token {
      service_account_email = var.accounts["events"]
      audience              = google_cloudfunctions2_function.function[each.key].service_config[0].uri
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dynamic "dead_letter_policy" {
    for_each = each.value.trigger.type == "topic" ? [google_pubsub_topic.dead[each.key].id] : []
    content {
      dead_letter_topic     = dead_letter_policy.value
      max_delivery_attempts = 10
    }
  }

  expiration_policy {
    ttl = "" # never
  }

  depends_on = [google_cloud_run_service_iam_member.caller]
}

# Who wakes: the API and the minute's round the lanes of webhooks, uptime checks a recovery (`deploy.publishers` in functions.json).
# On topics of schedules only Cloud Scheduler publishes, as Google's own account.
locals {
  publishers = flatten([
    for name, one in local.by_topic : [
      for account in one.deploy.publishers : { function = name, account = account }
    ] if one.trigger.type == "topic"
  ])
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = { for one in local.publishers : "${one.function}/${one.account}" => one }

  topic  = google_pubsub_topic.topic[each.value.function].id
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:${var.accounts[each.value.account]}"
}

# Pub/Sub itself moves dead letters: it publishes there, and takes them from here.
locals {
  pubsub = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic_iam_member" "dead" {
  for_each = google_pubsub_topic.dead

  topic  = each.value.id
  role   = "roles/pubsub.publisher"
  member = local.pubsub
}

resource "google_pubsub_subscription_iam_member" "dead" {
  for_each = google_pubsub_topic.dead

  subscription = google_pubsub_subscription.push[each.key].id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub
}

resource "google_cloud_scheduler_job" "schedule" {
  for_each = { for name, one in local.by_topic : name => one if one.trigger.type == "schedule" }

  name      = each.key
  region    = var.region
  schedule  = each.value.trigger.cron
  time_zone = "Etc/UTC"

  pubsub_target {
    topic_name = google_pubsub_topic.topic[each.key].id
    data       = base64encode("{}")
  }
}
