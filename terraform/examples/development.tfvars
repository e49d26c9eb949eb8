# Two customers and two APIs on a Vault for development; Auth0 is left alone, and Postern signs every token itself:
#
#   VAULT_ADDR=http://127.0.0.1:8200 VAULT_TOKEN=… terraform apply -var-file=examples/development.tfvars

apis = {
  orders = {
    audience = "https://orders.example.com"
    source   = "transit"
    scopes   = ["read:orders", "write:orders"]
  }
  billing = {
    audience = "https://billing.example.com"
    source   = "transit"
    scopes   = ["read:invoices"]
    lifetime = 600
  }
}

tenants = {
  acme = {
    grants = [
      { api = "orders", scopes = ["read:orders", "write:orders"] },
      { api = "billing", scopes = ["read:invoices"] },
    ]
    default_api = "orders"
    claims      = { "https://postern.dev/plan" = "gold" }
  }
  globex = {
    grants = [{ api = "orders", scopes = ["read:orders"] }]
  }
}
