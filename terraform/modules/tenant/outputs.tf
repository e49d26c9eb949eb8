output "role_id" {
  description = "The public half of the tenant's credential."
  value       = vault_approle_auth_backend_role.tenant.role_id
}

output "digest" {
  description = "Changes with everything about the tenant that brokers read or remember."
  value       = sha256(jsonencode({ tenant = var.tenant, document = local.document }))

  # Whoever tells brokers of it tells them when all of it is there.
  depends_on = [
    vault_generic_secret.tenant,
    vault_generic_secret.publication,
    vault_generic_secret.assertion,
    vault_generic_secret.trust,
    vault_generic_secret.trust_index,
    vault_generic_endpoint.token_bound_cidrs,
    vault_generic_endpoint.plugin_role,
    vault_identity_entity_alias.workload,
  ]
}

output "disabled" {
  description = "Whether nothing is issued to it: disabled or retired."
  value       = local.disabled
}

output "settings" {
  description = "The tenant with its defaults filled in."
  value       = var.tenant
}
