# Whose organization this is, for people who make keys of their own: Vault finds the entity by the org_id of their access token.
resource "vault_identity_entity" "self" {
  count = local.self_service ? 1 : 0

  # No tenant has a dot in its name, so that it can't run into a workload's.
  name = "postern-self.${var.tenant.id}"

  metadata = {
    postern_self_tenant = var.tenant.id
  }

  # It also makes the entity wait for the mount, and so for the audit device: while that is being enabled Vault answers 500 to what it has
  # done, the provider asks again, and an entity then "already exists".
  lifecycle {
    precondition {
      condition     = var.self_accessor != null
      error_message = "Tenant ${var.tenant.id} has self_service, and the root variable self_service, which says whose access tokens count, is not set."
    }
  }
}

resource "vault_identity_entity_alias" "self" {
  count = local.self_service ? 1 : 0

  name           = var.tenant.organization
  mount_accessor = var.self_accessor
  canonical_id   = vault_identity_entity.self[0].id
}

locals {
  self_service = var.tenant.self_service != null
}
