mock_provider "vault" {
  mock_data "vault_generic_secret" {
    defaults = { data_json = "{\"running_plugin_version\":\"v1.21.2+builtin.vault\"}" }
  }
}

# As the root module's defaults are.
variables {
  mounts                 = {}
  transit_key            = "postern"
  login_rate             = 2000
  cached_token_retention = 90000
  broker                 = {}
  broker_kubernetes      = null
  broker_jwt             = null
  plugin                 = null
  audit                  = {}
  oidc                   = null
  oidc_client_secret     = null
  admin_api              = null
  self_service           = null

  apis = {
    orders  = { audience = "https://orders.example.com", source = "auth0", scopes = ["write:orders", "read:orders", "read:orders"] }
    reports = { audience = "https://reports.example.com", source = "transit" }
  }
}

run "what_is_left_out_has_a_default" {
  command = plan

  assert {
    condition     = output.apis.orders.lifetime == 86400 && output.apis.reports.lifetime == 3600
    error_message = "Auth0's tokens live for a day and those of transit for an hour unless told."
  }

  assert {
    condition     = output.apis.orders.scopes == tolist(["read:orders", "write:orders"])
    error_message = "Scopes stand once and in order: ${jsonencode(output.apis.orders.scopes)}."
  }

  assert {
    condition     = length(vault_auth_backend.oidc) + length(vault_auth_backend.admin) + length(vault_auth_backend.self) + length(vault_auth_backend.break_glass) + length(vault_auth_backend.broker_jwt) + length(vault_auth_backend.broker_kubernetes) == 0
    error_message = "No way in is open that nobody asked for."
  }

  assert {
    condition     = length(vault_audit.postern) == 1 && length(vault_mount.plugin) == 0
    error_message = "An audit device and no plugin unless told."
  }
}

run "OpenBaos_audit_device_is_not_made_by_API" {
  command = plan

  override_data {
    target = data.vault_generic_secret.product
    values = { data_json = "{\"running_plugin_version\":\"v2.7.2+builtin.bao\"}" }
  }

  expect_failures = [vault_audit.postern]
}

run "no_audit_device_where_there_is_one" {
  command = plan

  variables {
    audit = null
  }

  assert {
    condition     = length(vault_audit.postern) == 0
    error_message = "audit = null makes none."
  }
}

run "the_broker_only_from_its_addresses" {
  command = plan

  variables {
    broker = { cidrs = ["10.0.0.9", "10.1.2.3/16"] }
  }

  assert {
    condition     = toset(vault_approle_auth_backend_role.broker.secret_id_bound_cidrs) == toset(["10.0.0.9/32", "10.1.0.0/16"])
    error_message = "broker.cidrs are canonical blocks: ${jsonencode(vault_approle_auth_backend_role.broker.secret_id_bound_cidrs)}."
  }
}

run "no_token_for_the_Management_API" {
  command = plan

  variables {
    apis = { evil = { audience = "https://acme.eu.auth0.com/api/v2/", source = "auth0" } }
  }

  expect_failures = [var.apis]
}

run "break-glass_logins_are_short" {
  command = plan

  variables {
    break_glass = { max_ttl = 86400 }
  }

  expect_failures = [var.break_glass]
}
