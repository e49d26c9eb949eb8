locals {
  manages_auth0 = var.auth0 != null

  # What Auth0 was set up with fills in what var.oidc leaves out.
  oidc = var.oidc == null && !local.manages_auth0 ? null : {
    discovery_url    = try(coalesce(try(var.oidc.discovery_url, null), try("https://${var.auth0.domain}/", null)), null)
    discovery_ca_pem = try(var.oidc.discovery_ca_pem, null)
    client_id        = local.manages_auth0 && try(var.oidc.client_id, null) == null ? module.auth0[0].operators_client_id : try(var.oidc.client_id, null)
    redirect_uris    = local.manages_auth0 && try(var.oidc.redirect_uris, null) == null ? module.auth0[0].operators_redirect_uris : try(var.oidc.redirect_uris, null)
    roles_claim      = try(var.oidc.roles_claim, null)
    user_claim       = try(var.oidc.user_claim, null)
    ttl              = try(var.oidc.ttl, null)
    max_ttl          = try(var.oidc.max_ttl, null)
  }
}

locals {
  # What brokers read of them.
  api_documents = { for name, api in module.vault.apis : name => { for key, value in api : key => value if key != "manage" } }
}

module "auth0" {
  source = "./modules/auth0"
  count  = local.manages_auth0 ? 1 : 0

  settings  = var.auth0
  oidc_path = module.vault.mounts.oidc
  apis      = { for name, api in module.vault.apis : name => api if api.source == "auth0" }
}

module "vault" {
  source = "./modules/vault"

  apis                   = var.apis
  mounts                 = var.mounts
  transit_key            = var.transit_key
  login_rate             = var.login_rate
  cached_token_retention = var.cached_token_retention
  broker                 = var.broker
  broker_kubernetes      = var.broker_kubernetes
  broker_jwt             = var.broker_jwt
  audit                  = var.audit
  plugin                 = var.plugin
  oidc                   = local.oidc
  oidc_client_secret     = var.oidc_client_secret
  break_glass            = var.break_glass
  admin_api              = var.admin_api
  self_service           = var.self_service
}

module "tenant" {
  source   = "./modules/tenant"
  for_each = var.tenants

  tenant = merge(each.value, { id = each.key })
  apis   = module.vault.apis
  mounts = module.vault.mounts
  policy = module.vault.policies.tenant
  plugin = module.vault.plugin

  workload_policy = module.vault.policies.workload
  issuer          = var.issuer
  self_accessor   = module.vault.self_accessor
}

# Tells every broker, within a second, that APIs, tenants or registered keys changed, and who is disabled. Written after everything else,
# so that what brokers then read is what was applied.
resource "vault_generic_secret" "catalog" {
  path                = "${module.vault.mounts.kv}/state/catalog"
  delete_all_versions = true

  data_json = jsonencode({
    digest   = sha256(jsonencode({ apis = local.api_documents, tenants = { for id, tenant in module.tenant : id => tenant.digest } }))
    disabled = sort([for id, tenant in module.tenant : id if tenant.disabled])
  })

  depends_on = [module.vault, module.tenant]
}
