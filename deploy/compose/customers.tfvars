# APIs and customers. After a change: docker compose up --detach

apis = {
  orders = {
    audience = "https://orders.example.com"
    source   = "transit"
    scopes   = ["read:orders", "write:orders"]
  }
}

tenants = {
  acme = {
    grants      = [{ api = "orders", scopes = ["read:orders"] }]
    default_api = "orders"
  }
}
