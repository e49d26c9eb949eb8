# --- APIs

locals {
  managed = { for name, api in var.apis : name => api if api.manage }
  found   = { for name, api in var.apis : name => api if !api.manage }
}

# APIs that were there before Postern: looked at, never changed or removed. What would make tokens other than is said here is refused.
data "auth0_resource_server" "api" {
  for_each = local.found

  identifier = each.value.audience

  lifecycle {
    postcondition {
      condition     = self.signing_alg == "RS256"
      error_message = "API ${each.key} (manage = false) signs its tokens by ${self.signing_alg} in Auth0: services can verify RS256 alone by a key set. Change it in Auth0."
    }

    postcondition {
      condition     = length(setsubtract(each.value.scopes, self.scopes[*].name)) == 0
      error_message = "API ${each.key} (manage = false) lacks scopes in Auth0 that it has here: ${join(", ", setsubtract(each.value.scopes, self.scopes[*].name))}. Add them there, or leave them out here."
    }

    postcondition {
      condition     = self.token_lifetime == each.value.lifetime
      error_message = "API ${each.key} (manage = false) has tokens of ${self.token_lifetime} s in Auth0, and a lifetime of ${each.value.lifetime} here: write lifetime = ${self.token_lifetime}, or change it in Auth0."
    }

    # An API that never said has the first.
    postcondition {
      condition     = coalesce(self.token_dialect, "access_token") == each.value.dialect
      error_message = "API ${each.key} (manage = false) has the dialect ${coalesce(self.token_dialect, "access_token")} in Auth0, and ${each.value.dialect} here: write dialect = \"${coalesce(self.token_dialect, "access_token")}\", or change it in Auth0."
    }
  }
}

resource "auth0_resource_server" "api" {
  for_each = local.managed

  name           = "${var.settings.application_name}: ${each.key}"
  identifier     = each.value.audience
  signing_alg    = "RS256"
  token_lifetime = each.value.lifetime
  token_dialect  = each.value.dialect

  # Auth0 adds `permissions` to a token only where it enforces them.
  enforce_policies = endswith(each.value.dialect, "_authz")

  # What is about people's logins: an API that was imported keeps it.
  lifecycle {
    ignore_changes = [allow_offline_access, skip_consent_for_verifiable_first_party_clients, verification_location]
  }
}

resource "auth0_resource_server_scopes" "api" {
  for_each = { for name, api in local.managed : name => api if length(api.scopes) > 0 }

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
# One that was there before Postern isn't looked at either: the provider's data source would read the secret into the state.
resource "auth0_client" "shared" {
  count = var.settings.client_id == null ? 1 : 0

  name        = var.settings.application_name
  description = "Fetches tokens for all tenants of Postern. Only the broker holds its secret."
  app_type    = "non_interactive"
  grant_types = ["client_credentials"]

  # By this mark the Action knows whose tokens to bind.
  client_metadata = { postern = "broker" }
}

locals {
  client_id           = var.settings.client_id == null ? auth0_client.shared[0].id : var.settings.client_id
  operators_client_id = var.settings.operators_client_id == null ? auth0_client.operators[0].id : var.settings.operators_client_id
}

# All of an API's scopes: the broker narrows them to what each tenant is granted. With binding by organization, the grant must also
# allow any organization, which the provider's first versions can't say: docs/limits.md tells how.
resource "auth0_client_grant" "shared" {
  for_each = var.settings.manage_grants ? var.apis : {}

  client_id = local.client_id
  audience  = each.value.manage ? auth0_resource_server.api[each.key].identifier : data.auth0_resource_server.api[each.key].identifier
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
  count = var.settings.operators_client_id == null ? 1 : 0

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
