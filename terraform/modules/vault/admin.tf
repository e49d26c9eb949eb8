# A SaaS back end calls the broker's admin API with an Auth0 JWT. The broker has no operator right: it hands the JWT to this mount,
# and Vault, which verifies it once more, answers with a short operator's or auditor's token.

resource "vault_auth_backend" "admin" {
  count = var.admin_api == null ? 0 : 1

  type        = "jwt"
  path        = var.mounts.admin
  description = "Postern: back ends that call the admin API"

  depends_on = [vault_audit.postern]
}

# Not the provider's own resource for it, whose state has a place for a client secret, though this has none.
resource "vault_generic_endpoint" "admin_config" {
  count = var.admin_api == null ? 0 : 1

  path                 = "auth/${vault_auth_backend.admin[0].path}/config"
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode(merge(
    {
      bound_issuer       = var.admin_api.issuer
      jwt_supported_algs = ["RS256"]
      oidc_discovery_url = var.admin_api.jwks_url == null ? var.admin_api.issuer : ""
      jwks_url           = var.admin_api.jwks_url == null ? "" : var.admin_api.jwks_url
    },
    # A discovery document and a key set each have a certificate setting of their own.
    var.admin_api.ca_pem == null ? {} : var.admin_api.jwks_url == null ? { oidc_discovery_ca_pem = var.admin_api.ca_pem } : { jwks_ca_pem = var.admin_api.ca_pem },
  ))
}

# A JWT with any of these permissions; the broker looks at which one an operation needs.
resource "vault_jwt_auth_backend_role" "admin" {
  for_each = var.admin_api == null ? {} : {
    write = { policy = "operator", permissions = var.admin_api.write_permissions }
    read  = { policy = "auditor", permissions = concat(var.admin_api.read_permissions, var.admin_api.write_permissions) }
  }

  backend         = vault_auth_backend.admin[0].path
  role_name       = each.key
  role_type       = "jwt"
  user_claim      = "sub"
  bound_audiences = [var.admin_api.audience]
  bound_claims    = { permissions = join(",", each.value.permissions) }
  token_policies  = [vault_policy.policy[each.value.policy].name]

  token_no_default_policy = true

  # No lease is left behind, and nothing lives longer than what the broker may remember.
  token_type    = "batch"
  token_ttl     = 60
  token_max_ttl = 60
}
