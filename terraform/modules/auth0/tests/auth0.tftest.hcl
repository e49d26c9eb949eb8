mock_provider "auth0" {}

variables {
  settings  = { domain = "acme.eu.auth0.com" }
  oidc_path = "oidc"
  apis = {
    orders = { audience = "https://orders.example.com", scopes = ["read:orders"], lifetime = 3600, dialect = "access_token_authz" }
    plain  = { audience = "https://plain.example.com", scopes = [], lifetime = 86400, dialect = "access_token" }
  }
}

run "one_application_for_all_tenants" {
  assert {
    condition     = auth0_client.shared.app_type == "non_interactive" && auth0_client.shared.grant_types == tolist(["client_credentials"])
    error_message = "The shared application has client_credentials and nothing else."
  }

  assert {
    condition     = toset(keys(auth0_client_grant.shared)) == toset(["orders", "plain"])
    error_message = "It is granted each API: ${jsonencode(keys(auth0_client_grant.shared))}."
  }

  assert {
    condition     = auth0_resource_server.api["orders"].enforce_policies && !auth0_resource_server.api["plain"].enforce_policies
    error_message = "Permissions are enforced where the dialect has them."
  }

  assert {
    condition     = toset(keys(auth0_resource_server_scopes.api)) == toset(["orders"])
    error_message = "An API without scopes has no list of them."
  }
}

run "where_other_Actions_are_bound_the_trigger_is_left_alone" {
  command = plan

  variables {
    settings = { domain = "acme.eu.auth0.com", manage_trigger = false }
  }

  assert {
    condition     = length(auth0_trigger_actions.bind) == 0
    error_message = "manage_trigger = false writes no list of Actions."
  }
}

run "a_domain_is_bare" {
  command = plan

  variables {
    settings = { domain = "https://acme.eu.auth0.com/" }
  }

  expect_failures = [var.settings]
}
