mock_provider "vault" {}

variables {
  apis   = { orders = { audience = "https://orders.example.com", source = "auth0", scopes = ["read:orders"], lifetime = 3600, dialect = "access_token" } }
  policy = "postern-tenant"
  mounts = {
    approle = "approle", assertion = "jwt-assertion", trust = "jwt-trust", kv = "postern", transit = "transit", plugin = "auth0", self = "postern-self"
  }
  workload_policy = "postern-workload"
}

run "a_role_whose_logins_are_short_and_leave_no_lease" {
  variables {
    tenant = { id = "acme", grants = [{ api = "orders", scopes = ["read:orders"] }] }
  }

  assert {
    condition     = vault_approle_auth_backend_role.tenant.token_type == "batch" && vault_approle_auth_backend_role.tenant.token_ttl == 300
    error_message = "Logins of a tenant are batch tokens of 300 s."
  }

  assert {
    condition     = toset(vault_approle_auth_backend_role.tenant.token_policies) == toset(["postern-tenant"]) && vault_approle_auth_backend_role.tenant.token_no_default_policy
    error_message = "A tenant has its policy and no other."
  }

  assert {
    condition     = vault_approle_auth_backend_role.tenant.secret_id_bound_cidrs == null
    error_message = "Without cidrs a credential may be used from anywhere."
  }

  assert {
    condition     = output.settings.disabled == false && output.settings.secret_id_ttl == 0
    error_message = "Defaults are filled in."
  }
}

run "addresses_in_canonical_form" {
  variables {
    tenant = { id = "acme", cidrs = ["203.0.113.7", "10.1.2.3/8", "2001:DB8::/32"], vault_cidrs = ["10.0.0.1", "2001:db8::1"] }
  }

  assert {
    condition     = toset(vault_approle_auth_backend_role.tenant.secret_id_bound_cidrs) == toset(["203.0.113.7/32", "10.0.0.0/8", "2001:db8::/32"])
    error_message = "cidrs are canonical blocks: ${jsonencode(vault_approle_auth_backend_role.tenant.secret_id_bound_cidrs)}."
  }
}

run "no_API_that_there_is_not" {
  command = plan

  variables {
    tenant = { id = "acme", grants = [{ api = "payroll", scopes = [] }] }
  }

  expect_failures = [vault_generic_secret.tenant]
}

run "no_scope_that_its_API_has_not" {
  command = plan

  variables {
    tenant = { id = "acme", grants = [{ api = "orders", scopes = ["write:orders"] }] }
  }

  expect_failures = [vault_generic_secret.tenant]
}

run "no_id_that_a_path_could_read_differently" {
  command = plan

  variables {
    tenant = { id = "acme/globex" }
  }

  expect_failures = [var.tenant]
}

run "what_brokers_keep_fresh_is_marked_at_the_tenant_or_at_the_api" {
  variables {
    apis = {
      orders  = { audience = "https://orders.example.com", source = "auth0", scopes = ["read:orders"], lifetime = 3600, dialect = "access_token", publish = true }
      reports = { audience = "https://reports.example.com", source = "transit", scopes = [], lifetime = 3600, dialect = "access_token" }
      payroll = { audience = "https://payroll.example.com", source = "transit", scopes = [], lifetime = 3600, dialect = "access_token" }
    }
    tenant = { id = "acme", grants = [{ api = "orders", scopes = ["read:orders"] }, { api = "reports" }, { api = "payroll" }], publish = ["payroll"] }
  }

  assert {
    condition     = jsondecode(vault_generic_secret.publication["acme"].data_json).grants[*].api == ["orders", "payroll"]
    error_message = "Brokers learn of the grants that are published, and of no other."
  }

  assert {
    condition     = jsondecode(vault_generic_secret.publication["acme"].data_json).publish == ["payroll"]
    error_message = "Brokers learn which the tenant itself is marked for."
  }
}

run "nothing_is_kept_fresh_unasked" {
  variables {
    tenant = { id = "acme", grants = [{ api = "orders", scopes = ["read:orders"] }] }
  }

  assert {
    condition     = length(vault_generic_secret.publication) == 0
    error_message = "Without a mark brokers learn nothing of a tenant."
  }
}
