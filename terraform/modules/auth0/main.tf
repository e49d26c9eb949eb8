# --- APIs

resource "auth0_resource_server" "api" {
  for_each = var.apis

  name           = "${var.settings.application_name}: ${each.key}"
  identifier     = each.value.audience
  signing_alg    = "RS256"
  token_lifetime = each.value.lifetime
  token_dialect  = each.value.dialect

  # Auth0 adds `permissions` to a token only where it enforces them.
  enforce_policies = endswith(each.value.dialect, "_authz")
}

resource "auth0_resource_server_scopes" "api" {
  for_each = { for name, api in var.apis : name => api if length(api.scopes) > 0 }

  resource_server_identifier = auth0_resource_server.api[each.key].identifier

  dynamic "scopes" {
    for_each = toset(each.value.scopes)
    content {
      name        = scopes.value
      description = scopes.value
    }
  }
}

# --- the one application that all tenants share

# Its secret isn't read: the provider would keep it in the state. It goes from Auth0's dashboard or Management API to Vault by
# `postern upstream set`. The authentication method is Auth0's default for this kind, client_secret_post.
resource "auth0_client" "shared" {
  name        = var.settings.application_name
  description = "Fetches tokens for all tenants of Postern. Only the broker holds its secret."
  app_type    = "non_interactive"
  grant_types = ["client_credentials"]

  # By this mark the Action knows whose tokens to bind.
  client_metadata = { postern = "broker" }
}

# All of an API's scopes: the broker narrows them to what each tenant is granted. With binding by organization, the grant must also
# allow any organization, which the provider's first versions can't say: docs/limits.md tells how.
resource "auth0_client_grant" "shared" {
  for_each = var.apis

  client_id = auth0_client.shared.id
  audience  = auth0_resource_server.api[each.key].identifier
  scopes    = each.value.scopes

  # Auth0 refuses a grant of scopes that the API doesn't have yet.
  depends_on = [auth0_resource_server_scopes.api]
}

# --- binding a token to its tenant

resource "auth0_action" "bind" {
  count = var.settings.binding == "action" ? 1 : 0

  name    = "${var.settings.application_name}: bind the token to its tenant"
  runtime = var.settings.action_runtime
  code    = file("${path.module}/action.js")
  deploy  = true

  supported_triggers {
    id      = "credentials-exchange"
    version = "v2"
  }
}

# Owns the trigger's whole list, which is why it can be turned off.
resource "auth0_trigger_actions" "bind" {
  count = var.settings.binding == "action" && var.settings.manage_trigger ? 1 : 0

  trigger = "credentials-exchange"

  actions {
    id           = auth0_action.bind[0].id
    display_name = auth0_action.bind[0].name
  }
}

# --- people's login to Vault

locals {
  redirect_uris = concat(
    ["http://localhost:8250/oidc/callback"],
    [for address in var.settings.vault_addresses : "${address}/ui/vault/auth/${var.oidc_path}/oidc/callback"],
  )
}

# Which people are operators or auditors is Auth0's to say: an Action on its post-login trigger, or roles, put the words into
# the claim https://postern.dev/roles of the ID token. That is a company's own affair and isn't made here.
resource "auth0_client" "operators" {
  name            = "${var.settings.application_name}: operators"
  description     = "Operators and auditors log in to Vault with it."
  app_type        = "regular_web"
  grant_types     = ["authorization_code"]
  callbacks       = local.redirect_uris
  oidc_conformant = true

  # Vault verifies RS256 by the JWKS.
  jwt_configuration {
    alg = "RS256"
  }
}
