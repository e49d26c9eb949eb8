output "broker_role_id" {
  description = "role_id of the broker's AppRole: POSTERN_ROLE_ID. Its secret_id is issued apart, by `vault write -f -wrap-ttl=…`."
  value       = module.vault.broker_role_id
}

output "approle_accessor" {
  description = "Accessor of the tenants' AppRole mount, by which the tenants' policy tells them apart."
  value       = module.vault.approle_accessor
}

output "tenants" {
  description = "role_id of each tenant: the public half of its credential."
  value       = { for id, tenant in module.tenant : id => { role_id = tenant.role_id } }
}

output "mounts" {
  description = "Paths of the mounts, as the broker and the CLI need them."
  value       = module.vault.mounts
}

output "transit_key" {
  description = "Name of the signing key in the transit mount."
  value       = var.transit_key
}

output "policies" {
  description = "Names of the policies."
  value       = module.vault.policies
}

output "auth0" {
  description = "Client ids of the shared application and of the operators' application; null when Auth0 isn't managed here. Their secrets are not read."
  value = one([for auth0 in module.auth0 : {
    client_id           = auth0.client_id
    operators_client_id = auth0.operators_client_id
  }])
}
