# Every function of infra/functions.json. Three ways to be set off:
#
# - http: open to everybody, on purpose. The API asks each caller for a key or a token itself.
# - firestore: an Eventarc trigger, with retries for 24 hours.
# - topic, schedule: a push subscription of our own (topics.tf), because a trigger's has no dead letters.

locals {
  functions = {
    for one in var.functions : one.name => {
      entry_point = one.entry_point
      trigger     = one.trigger
      deploy = merge({
        memory          = "512Mi"
        cpu             = "1"
        timeout_s       = 60
        concurrency     = 80
        instances_max   = 10
        service_account = "functions"
        secrets         = {}
        publishers      = ["functions"]
      }, try(one.deploy, {}))
    }
  }
  by_topic = { for name, one in local.functions : name => one if contains(["topic", "schedule"], one.trigger.type) }
  events   = "serviceAccount:${var.accounts["events"]}"
}

data "google_project" "this" {}

resource "google_cloudfunctions2_function" "function" {
  #checkov:skip=CKV2_GCP_10:Plain HTTP is turned away by Google's front end, which redirects to HTTPS
  #checkov:skip=CKV_GCP_124:The API is for the internet; what Eventarc and Pub/Sub call comes from outside of the network and is let in by IAM
  for_each = local.functions

  name     = each.key
  location = var.region

  build_config {
    runtime           = "python312"
    entry_point       = each.value.entry_point
    docker_repository = var.repository
    service_account   = "projects/${var.project}/serviceAccounts/${var.accounts["release"]}"
    source {
      storage_source {
        bucket = var.source_bucket
        object = var.source_object
      }
    }
  }

  service_config {
    service_account_email            = var.accounts[each.value.deploy.service_account]
    available_memory                 = each.value.deploy.memory
    available_cpu                    = each.value.deploy.cpu
    timeout_seconds                  = each.value.deploy.timeout_s
    max_instance_request_concurrency = each.value.deploy.concurrency
    max_instance_count               = each.value.deploy.instances_max
    ingress_settings                 = "ALLOW_ALL"
    all_traffic_on_latest_revision   = true
    # THREADS: how many requests functions-framework works on at once. By itself it has four for each core.
    # KEEPLINE_API_URL: the address that Cloud Run gives the API, by its rule for such names; uptime checks ask there.
    environment_variables = merge(var.environment, {
      THREADS          = tostring(each.value.deploy.concurrency)
      KEEPLINE_API_URL = "https://api-${data.google_project.this.number}.${var.region}.run.app"
    })

    dynamic "secret_environment_variables" {
      for_each = each.value.deploy.secrets
      content {
        key        = secret_environment_variables.key
        project_id = var.project
        secret     = var.secrets[secret_environment_variables.value]
        version    = "latest"
      }
    }
  }

  dynamic "event_trigger" {
    for_each = each.value.trigger.type == "firestore" ? [each.value.trigger] : []
    content {
      trigger_region        = var.database_location
      event_type            = event_trigger.value.event_type
      retry_policy          = "RETRY_POLICY_RETRY"
      service_account_email = var.accounts["events"]

      event_filters {
        attribute = "database"
        value     = "(default)"
      }
      event_filters {
        attribute = "document"
        value     = event_trigger.value.document
        operator  = "match-path-pattern"
      }
    }
  }

  lifecycle {
    # The source is the releases'.
    ignore_changes = [build_config[0].source, labels]
  }
}

# `api` for everybody, the others for Eventarc and Pub/Sub.
resource "google_cloud_run_service_iam_member" "caller" {
  for_each = local.functions

  location = var.region
  service  = google_cloudfunctions2_function.function[each.key].service_config[0].service
  role     = "roles/run.invoker"
  member   = each.value.trigger.type == "http" ? "allUsers" : local.events
}

output "api_host" {
  description = "The host name of the API."
  value       = trimprefix(google_cloudfunctions2_function.function["api"].service_config[0].uri, "https://")
}
