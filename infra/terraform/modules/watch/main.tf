# Google's own eyes: they look from outside of Keepline, so they still see when Keepline sees nothing. What happens inside (sessions,
# queues, outages) Keepline's own alerts tell (docs/alerts.md); these are few on purpose.

variable "project" {
  description = "The project's id."
  type        = string
}

variable "operators" {
  description = "E-mail addresses that are told."
  type        = list(string)
}

variable "connectors" {
  description = "The connectors' names."
  type        = list(string)
}

variable "api_host" {
  description = "The host name of the API."
  type        = string
}

variable "billing_account" {
  description = "The billing account's id, or empty."
  type        = string
}

variable "budget_monthly" {
  description = "What a month may cost, in the billing account's currency."
  type        = number
}

resource "google_monitoring_notification_channel" "operator" {
  for_each = toset(var.operators)

  display_name = "Keepline: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
}

locals {
  channels = [for channel in google_monitoring_notification_channel.operator : channel.id]
}

# From three continents each minute: does the API answer?
resource "google_monitoring_uptime_check_config" "api" {
  display_name = "Keepline: the API"
  timeout      = "10s"
  period       = "60s"

  http_check {
    path         = "/health"
    port         = 443
    use_ssl      = true
    validate_ssl = true
  }

  monitored_resource {
    type   = "uptime_url"
    labels = { project_id = var.project, host = var.api_host }
  }
}

resource "google_monitoring_alert_policy" "api_down" {
  display_name          = "Keepline: the API does not answer"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "Two of Google's places in a row get no answer from /health"
    condition_threshold {
      filter          = "resource.type = \"uptime_url\" AND metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id = \"${google_monitoring_uptime_check_config.api.uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "60s"
      aggregations {
        alignment_period     = "120s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.labels.host"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Nobody can send, and nobody is told of it by Keepline itself. Look at the function `api` and at Firestore: docs/operations.md, \"Health\"."
  }
}

# A pool without an instance sends no memory figures any more.
resource "google_monitoring_alert_policy" "connector_gone" {
  for_each = toset(var.connectors)

  display_name          = "Keepline: ${each.value} has no instance"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "Nothing runs in its worker pool for 5 minutes"
    condition_absent {
      filter   = "resource.type = \"cloud_run_worker_pool\" AND resource.labels.worker_pool_name = \"keepline-${each.value}\" AND metric.type = \"run.googleapis.com/container/memory/utilizations\""
      duration = "300s"
      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Its numbers are with the other connectors, if those have room. Look at the pool's log and its last revision."
  }
}

# Functions that answer 5xx: events come again for 24 hours, but what a person asked for has failed.
resource "google_monitoring_alert_policy" "function_errors" {
  display_name          = "Keepline: functions fail"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "A function answers 5xx more than six times a minute, for 5 minutes"
    condition_threshold {
      filter          = "resource.type = \"cloud_run_revision\" AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0.1
      duration        = "300s"
      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.labels.service_name"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "The log of the function that is named says why; `request_id` finds one request."
  }
}

# The clock of everything: if the minute's message lies there, the round does not run.
resource "google_monitoring_alert_policy" "stuck" {
  display_name          = "Keepline: messages to functions are not taken"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "The oldest message of a subscription is older than 5 minutes"
    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND NOT resource.labels.subscription_id = ends_with(\"-dead\")"
      comparison      = "COMPARISON_GT"
      threshold_value = 300
      duration        = "120s"
      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  conditions {
    display_name = "A message was refused ten times"
    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND metric.type = \"pubsub.googleapis.com/subscription/dead_letter_message_count\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_DELTA"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Nothing is lost: what waits stands in Firestore, and the minute's round publishes it again. Look why the function fails."
  }
}

# Firestore, KMS, Pub/Sub or Cloud Run refuse because a quota is used up.
resource "google_monitoring_alert_policy" "quota" {
  display_name          = "Keepline: a quota is used up"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "A Google API refused for want of quota"
    condition_threshold {
      filter          = "resource.type = \"consumer_quota\" AND metric.type = \"serviceruntime.googleapis.com/quota/exceeded\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_COUNT_TRUE"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Messages wait meanwhile and are sent later. Ask for more under IAM & Admin, Quotas."
  }
}

# Releases and the weekly try of a newer neonize.
resource "google_monitoring_alert_policy" "build_failed" {
  display_name          = "Keepline: a build failed"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "A step of Cloud Build ended with an error"
    condition_matched_log {
      filter = "resource.type=\"build\" AND textPayload:\"ERROR: build step\""
    }
  }

  alert_strategy {
    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "A release that failed has taken itself back. The weekly one says in report.json why the newest neonize cannot be used yet."
  }
}

# New connections fail when the NAT has no port left.
resource "google_monitoring_alert_policy" "egress" {
  display_name          = "Keepline: a region has no way out"
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = "Cloud NAT could not give a port"
    condition_threshold {
      filter          = "resource.type = \"nat_gateway\" AND metric.type = \"router.googleapis.com/nat/nat_allocation_failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_COUNT_TRUE"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Raise max_ports_per_vm in infra/terraform/modules/network."
  }
}

resource "google_monitoring_dashboard" "keepline" {
  dashboard_json = file("${path.module}/dashboard.json")
}

resource "google_billing_budget" "month" {
  count = var.billing_account == "" ? 0 : 1

  billing_account = var.billing_account
  display_name    = "Keepline: ${var.project}"

  budget_filter {
    projects = ["projects/${data.google_project.this.number}"]
  }

  amount {
    specified_amount {
      units = tostring(floor(var.budget_monthly))
    }
  }

  threshold_rules {
    threshold_percent = 0.5
  }
  threshold_rules {
    threshold_percent = 0.9
  }
  # Before it is spent: what the month will have cost if it goes on like this.
  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    monitoring_notification_channels = slice(local.channels, 0, min(5, length(local.channels))) # no budget takes more
  }
}

data "google_project" "this" {}
