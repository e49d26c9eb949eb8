# One API by Auth0, one signed by Vault; people log in through Auth0; the audit log goes to a file. Credentials by environment:
# VAULT_ADDR, VAULT_TOKEN, AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET (of an application that may use the Management API).
#
#   terraform apply -var-file=examples/production.tfvars

auth0 = {
  domain          = "example.eu.auth0.com"
  vault_addresses = ["https://vault.example.com"]

  # Other Actions run on this tenant's credentials-exchange trigger: ours is made but bound by hand, in the order they need.
  manage_trigger = false
}

audit = {
  options = { file_path = "/var/log/vault/audit.log" }
}

broker = {
  cidrs = ["10.20.0.0/16"]
}

login_rate = 500

apis = {
  orders = {
    audience = "https://orders.example.com"
    source   = "auth0"
    scopes   = ["read:orders", "write:orders"]
    dialect  = "access_token_authz"
  }
  reports = {
    audience = "https://reports.example.com"
    source   = "transit"
    scopes   = ["read:reports"]
    lifetime = 900
  }
}

tenants = {
  acme = {
    grants = [
      { api = "orders", scopes = ["read:orders", "write:orders"] },
      { api = "reports", scopes = ["read:reports"] },
    ]
    default_api   = "orders"
    cidrs         = ["203.0.113.0/24", "2001:db8::/32"]
    secret_id_ttl = 7776000 # 90 days, then a new one is issued
  }
  globex = {
    grants = [{ api = "orders", scopes = ["read:orders"] }]
    claims = { "https://postern.dev/plan" = "trial" }
  }
}
