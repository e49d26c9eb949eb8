# private_key_jwt (RFC 7523): the tenant proves itself by its own key. The broker verifies an assertion by the registered keys,
# and Vault by the same keys on a mount for this tenant alone, so that the broker can't become a tenant on its own say-so.
locals {
  assertion_cidrs = distinct([
    for cidr in concat(var.tenant.retired ? [] : local.cidrs, local.vault_cidrs) : replace(replace(cidr, "/^([0-9.]+)[/]32$/", "$1"), "/[/]128$/", "")
  ])

  # The block alone, with LF (RFC 7468): Vault and each plan would find differences in what stands around it.
  assertion_keys = [for key in var.tenant.assertion_keys : {
    kid = key.kid
    pem = join("\n", [
      for line in split("\n", try(regex("-----BEGIN (?:RSA )?PUBLIC KEY-----[^-]*-----END (?:RSA )?PUBLIC KEY-----", key.pem), trimspace(key.pem))) : trimspace(line)
    ])
  }]

  asserts = length(var.tenant.assertion_keys) > 0 ? { (var.tenant.id) = local.assertion_keys } : {}
}

resource "vault_auth_backend" "assertion" {
  for_each = local.asserts

  type        = "jwt"
  path        = "${var.mounts.assertion}/${each.key}"
  description = "Postern: assertions of ${each.key}"

  lifecycle {
    precondition {
      condition     = var.issuer != null
      error_message = "Tenant ${var.tenant.id} has assertion_keys, so the variable issuer must be set: an assertion names it as its audience."
    }
  }
}

# Not the provider's own resource for it, whose state has a place for a client secret, though this has none.
resource "vault_generic_endpoint" "assertion_config" {
  for_each = local.asserts

  path                 = "auth/${vault_auth_backend.assertion[each.key].path}/config"
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode({
    jwt_validation_pubkeys = each.value[*].pem
    jwt_supported_algs     = ["RS256", "RS384", "PS256", "ES256"]
    bound_issuer           = vault_approle_auth_backend_role.tenant.role_id
  })
}

resource "vault_jwt_auth_backend_role" "assertion" {
  for_each = local.asserts

  backend         = vault_auth_backend.assertion[each.key].path
  role_name       = each.key
  role_type       = "jwt"
  user_claim      = "sub"
  bound_subject   = vault_approle_auth_backend_role.tenant.role_id
  bound_audiences = var.issuer == null ? [] : [var.issuer, "${var.issuer}oauth/token"]

  # As the broker takes them.
  clock_skew_leeway = 30
  expiration_leeway = 30
  not_before_leeway = 30

  # What the token may do comes with the entity below, and from nowhere else.
  token_type              = "batch"
  token_ttl               = var.tenant.token_ttl
  token_max_ttl           = var.tenant.token_ttl
  token_no_default_policy = true

  depends_on = [vault_generic_endpoint.assertion_config]

  lifecycle {
    # Written below.
    ignore_changes = [token_bound_cidrs]

    precondition {
      condition     = length(var.tenant.cidrs) == 0 || length(var.tenant.vault_cidrs) == 0
      error_message = "Tenant ${var.tenant.id} has assertion_keys, so it can have cidrs or vault_cidrs, not both: Vault knows one list for assertions."
    }
  }
}

# Where the tenant's secrets are good, and its Vault tokens: Vault has one list here for the login and for the token after it.
# Apart from the role for the same reason as the AppRole's.
resource "vault_generic_endpoint" "assertion_cidrs" {
  for_each = local.asserts

  path                 = "auth/${vault_auth_backend.assertion[each.key].path}/role/${vault_jwt_auth_backend_role.assertion[each.key].role_name}"
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode({
    # Left out, it would become `oidc`.
    role_type         = "jwt"
    token_bound_cidrs = local.assertion_cidrs
  })
}

resource "vault_identity_entity" "assertion" {
  for_each = local.asserts

  # Two dots: no workload has this name.
  name     = "postern.${each.key}..assertion"
  policies = local.workload_policies

  metadata = {
    postern_tenant    = each.key
    postern_client_id = vault_approle_auth_backend_role.tenant.role_id
  }
}

resource "vault_identity_entity_alias" "assertion" {
  for_each = local.asserts

  name           = vault_approle_auth_backend_role.tenant.role_id
  mount_accessor = vault_auth_backend.assertion[each.key].accessor
  canonical_id   = vault_identity_entity.assertion[each.key].id
}

# Last: from here on the broker knows of it, and a login before the alias is there would make Vault invent an entity.
resource "vault_generic_secret" "assertion" {
  for_each = local.asserts

  path                = "${var.mounts.kv}/assertions/${vault_approle_auth_backend_role.tenant.role_id}"
  delete_all_versions = true

  data_json = jsonencode({
    tenant = each.key
    keys   = each.value
  })

  depends_on = [vault_generic_endpoint.assertion_cidrs, vault_identity_entity_alias.assertion]
}
