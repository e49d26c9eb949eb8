output "client_id" {
  description = "Client id of the shared application."
  value       = local.client_id
}

output "operators_client_id" {
  description = "Client id of the application that people log in to Vault with."
  value       = local.operators_client_id
}

output "operators_redirect_uris" {
  description = "Where that application may send people back to."
  value       = local.redirect_uris
}

output "settings" {
  description = "var.settings with its defaults filled in."
  value       = var.settings
}
