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
    condition     = auth0_client.shared[0].app_type == "non_interactive" && auth0_client.shared[0].grant_types == tolist(["client_credentials"])
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

run "what_is_there_already_is_looked_at_and_left_alone" {
  command = plan

  override_data {
    target = data.auth0_resource_server.api
    values = {
      identifier     = "https://orders.example.com"
      signing_alg    = "RS256"
      token_lifetime = 3600
      token_dialect  = ""
      scopes         = [{ name = "read:orders", description = "" }, { name = "admin:orders", description = "" }]
    }
  }

  variables {
    settings = { domain = "acme.eu.auth0.com", client_id = "sharedABC", operators_client_id = "people_1" }
    apis = {
      orders = { audience = "https://orders.example.com", scopes = ["read:orders"], lifetime = 3600, dialect = "access_token", manage = false }
      plain  = { audience = "https://plain.example.com", scopes = [], lifetime = 86400, dialect = "access_token" }
    }
  }

  assert {
    condition     = length(auth0_client.shared) == 0 && length(auth0_client.operators) == 0 && keys(auth0_resource_server.api) == ["plain"]
    error_message = "Neither the applications nor the API are made."
  }

  assert {
    condition     = output.client_id == "sharedABC" && output.operators_client_id == "people_1" && auth0_client_grant.shared["orders"].client_id == "sharedABC"
    error_message = "They are the shared and the operators' application."
  }
}

run "an_API_that_differs_is_refused" {
  command = plan

  override_data {
    target = data.auth0_resource_server.api
    values = {
      identifier     = "https://orders.example.com"
      signing_alg    = "HS256"
      token_lifetime = 7200
      token_dialect  = "access_token_authz"
      scopes         = []
    }
  }

  variables {
    apis = {
      orders = { audience = "https://orders.example.com", scopes = ["read:orders"], lifetime = 3600, dialect = "access_token", manage = false }
    }
  }

  expect_failures = [data.auth0_resource_server.api]
}

run "an_application_without_its_grants_is_not_left_without" {
  command = plan

  variables {
    settings = { domain = "acme.eu.auth0.com", manage_grants = false }
  }

  expect_failures = [var.settings]
}

run "people_do_not_log_in_with_the_shared_application" {
  command = plan

  variables {
    settings = { domain = "acme.eu.auth0.com", client_id = "one", operators_client_id = "one" }
  }

  expect_failures = [var.settings]
}
