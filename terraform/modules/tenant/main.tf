locals {
  # Of a token's blocks Vault tells one of a single address without its length; written with it, each plan would find a difference.
  token_cidr = { for cidr in distinct(concat(var.tenant.cidrs, var.tenant.vault_cidrs)) : cidr => replace(replace(cidr, "/^([0-9.]+)[/]32$/", "$1"), "/[/]128$/", "") }

  granted_apis_unknown = [for grant in var.tenant.grants : grant.api if !contains(keys(var.apis), grant.api)]

  granted_scopes_unknown = flatten([
    for grant in var.tenant.grants : [
      for scope in grant.scopes : "${scope} on ${grant.api}" if !contains(try(var.apis[grant.api].scopes, []), scope)
    ] if contains(keys(var.apis), grant.api)
  ])
}

# The tenant's identity. No secret_id is made here: it would lie in the state. `postern secret issue` makes them.
resource "vault_approle_auth_backend_role" "tenant" {
  backend   = var.mounts.approle
  role_name = var.tenant.id

  # Batch: no lease is stored, however often a tenant logs in.
  token_type              = "batch"
  token_ttl               = var.tenant.token_ttl
  token_max_ttl           = var.tenant.token_ttl
  token_policies          = [var.policy]
  token_no_default_policy = true
  token_bound_cidrs       = length(var.tenant.vault_cidrs) == 0 ? null : [for cidr in var.tenant.vault_cidrs : local.token_cidr[cidr]]

  secret_id_ttl         = var.tenant.secret_id_ttl
  secret_id_num_uses    = var.tenant.secret_id_num_uses
  secret_id_bound_cidrs = length(var.tenant.cidrs) == 0 ? null : var.tenant.cidrs
}

# What the tenant may ask for. The broker reads it with the tenant's own token.
resource "vault_generic_secret" "tenant" {
  path                = "${var.mounts.kv}/tenants/${var.tenant.id}"
  delete_all_versions = true

  data_json = jsonencode({
    grants       = [for grant in var.tenant.grants : { api = grant.api, scopes = sort(distinct(grant.scopes)) }]
    default_api  = var.tenant.default_api
    introspects  = sort(distinct(var.tenant.introspects))
    organization = var.tenant.organization
    claims       = var.tenant.claims
    disabled     = var.tenant.disabled
  })

  lifecycle {
    precondition {
      condition     = length(setsubtract(var.tenant.introspects, keys(var.apis))) == 0
      error_message = "Tenant ${var.tenant.id} introspects an API that isn't among the apis: ${join(", ", setsubtract(var.tenant.introspects, keys(var.apis)))}."
    }

    precondition {
      condition     = length(local.granted_apis_unknown) == 0
      error_message = "Tenant ${var.tenant.id} is granted an API that isn't among the apis: ${join(", ", local.granted_apis_unknown)}."
    }

    precondition {
      condition     = length(local.granted_scopes_unknown) == 0
      error_message = "Tenant ${var.tenant.id} is granted scopes that the API doesn't have: ${join("; ", local.granted_scopes_unknown)}."
    }
  }
}
