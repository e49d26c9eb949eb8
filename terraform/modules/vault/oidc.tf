# People log in to Vault through Auth0.

resource "vault_auth_backend" "oidc" {
  count = var.oidc == null ? 0 : 1

  type        = "oidc"
  path        = var.mounts.oidc
  description = "Postern: operators and auditors, by Auth0"

  depends_on = [vault_audit.postern]
}

# Only with a client secret: Vault's OIDC method has no public clients, and takes id and secret together or not at all.
# Terraform keeps data_json in its state: this is the one secret that can lie there. Without it the same fields are written by
# hand, once, and survive every apply.
resource "vault_generic_endpoint" "oidc_config" {
  count = var.oidc == null || nonsensitive(var.oidc_client_secret == null) ? 0 : 1

  path                 = "auth/${vault_auth_backend.oidc[0].path}/config"
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode(merge(
    {
      oidc_discovery_url = var.oidc.discovery_url
      oidc_client_id     = var.oidc.client_id
      oidc_client_secret = var.oidc_client_secret
      default_role       = "auditor"
    },
    var.oidc.discovery_ca_pem == null ? {} : { oidc_discovery_ca_pem = var.oidc.discovery_ca_pem },
  ))

  lifecycle {
    precondition {
      condition     = var.oidc.discovery_url != null && var.oidc.client_id != null
      error_message = "With oidc_client_secret set, oidc.discovery_url and oidc.client_id are needed too."
    }
  }
}

resource "vault_jwt_auth_backend_role" "people" {
  for_each = var.oidc == null ? toset([]) : toset(["operator", "auditor"])

  backend               = vault_auth_backend.oidc[0].path
  role_name             = each.key
  role_type             = "oidc"
  user_claim            = var.oidc.user_claim
  bound_claims          = { (var.oidc.roles_claim) = each.key }
  oidc_scopes           = ["profile", "email"]
  allowed_redirect_uris = var.oidc.redirect_uris
  token_policies        = [vault_policy.policy[each.key].name]

  # That one has what people need of it: Vault parses `default` anew for each request.
  token_no_default_policy = true

  token_ttl     = var.oidc.ttl
  token_max_ttl = var.oidc.max_ttl

  # For people: `postern whoami` and `issued_by` show them beside the subject. No policy reads them.
  claim_mappings = { email = "email", name = "name" }
}
