# People make API keys of their own with their Auth0 access token. The broker has no right to make a key: it hands the token to this
# mount, and Vault, which verifies it once more, answers with one that reaches the keys of the organization's tenant alone.

resource "vault_auth_backend" "self" {
  count = var.self_service == null ? 0 : 1

  type        = "jwt"
  path        = var.mounts.self
  description = "Postern: people who make keys of their own"

  depends_on = [vault_audit.postern]

  # One audience for both would make an operator's token a person's, and a person's an operator's. Not a validation of the variable,
  # which can't look at another one before Terraform 1.9.
  lifecycle {
    precondition {
      condition     = var.admin_api == null ? true : var.self_service.audience != var.admin_api.audience
      error_message = "self_service.audience and admin_api.audience are two APIs at Auth0."
    }
  }
}

# Not the provider's own resource for it, whose state has a place for a client secret, though this has none.
resource "vault_generic_endpoint" "self_config" {
  count = var.self_service == null ? 0 : 1

  path                 = "auth/${vault_auth_backend.self[0].path}/config"
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode(merge(
    {
      bound_issuer       = var.self_service.issuer
      jwt_supported_algs = ["RS256"]
      oidc_discovery_url = var.self_service.jwks_url == null ? var.self_service.issuer : ""
      jwks_url           = var.self_service.jwks_url == null ? "" : var.self_service.jwks_url
    },
    # A discovery document and a key set each have a certificate setting of their own.
    var.self_service.ca_pem == null ? {} : var.self_service.jwks_url == null ? { oidc_discovery_ca_pem = var.self_service.ca_pem } : { jwks_ca_pem = var.self_service.ca_pem },
  ))
}

# The organization is whom Vault knows, so that two organizations of one person are two entities. Whose token it is within it, the
# broker looks at.
resource "vault_jwt_auth_backend_role" "self" {
  count = var.self_service == null ? 0 : 1

  backend                 = vault_auth_backend.self[0].path
  role_name               = "self"
  role_type               = "jwt"
  user_claim              = "org_id"
  bound_audiences         = [var.self_service.audience]
  token_policies          = [vault_policy.policy["self"].name]
  token_no_default_policy = true

  # No lease is left behind, and nothing lives longer than what the broker may remember.
  token_type    = "batch"
  token_ttl     = 60
  token_max_ttl = 60

  # Written below.
  lifecycle {
    ignore_changes = [token_bound_cidrs]
  }
}

# From where alone such a token is good. Apart from the role, as the broker's.
resource "vault_generic_endpoint" "self_cidrs" {
  count = var.self_service == null ? 0 : 1

  path                 = "auth/${vault_auth_backend.self[0].path}/role/${vault_jwt_auth_backend_role.self[0].role_name}"
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode({
    role_type         = "jwt"
    token_bound_cidrs = local.self_token_cidrs
  })
}
