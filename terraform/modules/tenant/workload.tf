# Workloads that log in to Vault by another auth method: Kubernetes, JWT, whatever has an accessor. Each gets an entity of its own, since Vault
# lets an entity have one alias a mount only; the metadata says whose it is, and only Terraform writes it.
resource "vault_identity_entity" "workload" {
  for_each = var.tenant.workloads

  # No tenant and no workload has a dot in its name, so that two can't run into each other.
  name     = "postern.${var.tenant.id}.${each.key}"
  policies = local.workload_policies

  metadata = {
    postern_tenant    = var.tenant.id
    postern_client_id = vault_approle_auth_backend_role.tenant.role_id
  }
}

resource "vault_identity_entity_alias" "workload" {
  for_each = var.tenant.workloads

  name           = each.value.alias
  mount_accessor = each.value.accessor
  canonical_id   = vault_identity_entity.workload[each.key].id
}
