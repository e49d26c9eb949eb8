output "role_id" {
  description = "The public half of the tenant's credential."
  value       = vault_approle_auth_backend_role.tenant.role_id
}
