# WhatsApp dislikes a number whose address moves. So connectors leave through reserved addresses, one for each region; nothing comes in.

variable "regions" {
  description = "The regions of the connectors."
  type        = list(string)
}

resource "google_compute_network" "keepline" {
  #checkov:skip=CKV2_GCP_18:Nothing may come in: that is what a network without a firewall rule does
  name                    = "keepline"
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "connectors" {
  for_each = { for place, region in var.regions : region => place }

  name    = "keepline-${each.key}"
  region  = each.key
  network = google_compute_network.keepline.id
  # 10.80.0.0/24, 10.80.1.0/24, …: Cloud Run takes addresses by the block of 16 and keeps some for the instances that go and come.
  ip_cidr_range = cidrsubnet("10.80.0.0/16", 8, each.value)
  # Firestore, KMS and Storage are reached inside of Google, not through the NAT, which is paid by the byte.
  private_ip_google_access = true

  # Who talked to whom, a sample of it: enough to see after a ban or a loss what left and what did not.
  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

# Reserved for good: losing one means that every number of the region moves.
resource "google_compute_address" "egress" {
  for_each = toset(var.regions)

  name   = "keepline-egress-${each.value}"
  region = each.value
}

resource "google_compute_router" "egress" {
  for_each = toset(var.regions)

  name    = "keepline-${each.value}"
  region  = each.value
  network = google_compute_network.keepline.id
}

resource "google_compute_router_nat" "egress" {
  for_each = toset(var.regions)

  name                               = "keepline-${each.value}"
  router                             = google_compute_router.egress[each.value].name
  region                             = each.value
  nat_ip_allocate_option             = "MANUAL_ONLY"
  nat_ips                            = [google_compute_address.egress[each.value].self_link]
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  # All devices of a connector talk to the same few addresses of WhatsApp, and a port of the NAT serves one connection to each. So
  # an instance begins with 512 and may have 4,096: devices, their reconnects (a port rests 2 minutes), files.
  enable_dynamic_port_allocation      = true
  enable_endpoint_independent_mapping = false
  min_ports_per_vm                    = 512
  max_ports_per_vm                    = 4096
  # A quiet connection may say nothing for 5 minutes (the keep-alive's rest after a rate signal).
  tcp_established_idle_timeout_sec = 1200

  subnetwork {
    name                    = google_compute_subnetwork.connectors[each.value].id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

output "network" {
  description = "The network's id."
  value       = google_compute_network.keepline.id
}

output "subnetworks" {
  description = "The id of each region's subnet."
  value       = { for region, subnetwork in google_compute_subnetwork.connectors : region => subnetwork.id }
}

output "egress_addresses" {
  description = "The address that each region leaves through."
  value       = { for region, address in google_compute_address.egress : region => address.address }
}
