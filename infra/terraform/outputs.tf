output "api" {
  description = "The API's own address. Behind Hosting it is the console's address with /api."
  value       = "https://${module.functions.api_host}"
}

output "console" {
  description = "Where the console is, once `firebase deploy --only hosting` has brought it."
  value       = module.console.address
}

output "egress_addresses" {
  description = "The addresses that WhatsApp sees, by region. They stay as long as the network does."
  value       = module.network.egress_addresses
}

output "repository" {
  description = "Where the connectors' images are."
  value       = module.releases.repository_address
}
