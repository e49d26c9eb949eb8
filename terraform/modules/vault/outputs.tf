# Every output waits for what it names, so that a tenant is never written before its mount and policy are there.

output "broker_role_id" {
  description = "role_id of the broker's AppRole."
  value       = vault_approle_auth_backend_role.broker.role_id
}

output "approle_accessor" {
  description = "Accessor of the tenants' AppRole mount."
  value       = vault_auth_backend.approle.accessor
}

output "mounts" {
  description = "Paths of the mounts."
  value       = var.mounts
  depends_on = [
    vault_auth_backend.approle,
    vault_generic_endpoint.approle_tune,
    vault_mount.kv,
    vault_transit_secret_backend_key.signing,
  ]
}

output "policies" {
  description = "Names of the policies."
  value       = { for name, policy in vault_policy.policy : name => policy.name }
}

output "apis" {
  description = "The APIs with their defaults filled in."
  value       = local.apis
}

output "plugin" {
  description = "Path of the secrets plugin's mount, once its APIs are there; null where Terraform writes nothing to it."
  value       = var.plugin == null ? null : var.mounts.plugin
  depends_on  = [vault_generic_endpoint.plugin_api]
}

output "self_accessor" {
  description = "Accessor of the mount at which people log in; null where they don't."
  value       = var.self_service == null ? null : vault_auth_backend.self[0].accessor
}

output "settings" {
  description = "The objects among the variables, by name, with their defaults filled in."
  value = {
    admin_api         = var.admin_api
    apis              = var.apis
    audit             = var.audit
    break_glass       = var.break_glass
    broker            = var.broker
    broker_jwt        = var.broker_jwt
    broker_kubernetes = var.broker_kubernetes
    mounts            = var.mounts
    oidc              = var.oidc
    plugin            = var.plugin
    self_service      = var.self_service
  }
}
