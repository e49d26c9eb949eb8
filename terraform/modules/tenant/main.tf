locals {
  # Canonical (RFC 5952, no bits beyond the prefix): Vault mangles some spellings of IPv6, and each plan would find a difference.
  cidr = {
    for cidr in distinct(concat(var.tenant.cidrs, var.tenant.vault_cidrs)) :
    cidr => try(cidrsubnet(can(regex("/", cidr)) ? cidr : "${cidr}/${can(regex(":", cidr)) ? 128 : 32}", 0, 0), cidr)
  }
  cidrs = distinct([for cidr in var.tenant.cidrs : local.cidr[cidr]])

  # Those of a retired tenant are good from nowhere: that address is reserved (RFC 1112). Of a token's blocks Vault tells one of a single address without its length.
  vault_cidrs = var.tenant.retired ? ["240.0.0.0"] : distinct([for cidr in var.tenant.vault_cidrs : replace(replace(local.cidr[cidr], "/^([0-9.]+)[/]32$/", "$1"), "/[/]128$/", "")])

  # Those that the tenant is marked for, and those that are marked for everybody.
  published = [for grant in var.tenant.grants : grant.api if contains(var.tenant.publish, grant.api) || try(var.apis[grant.api].publish, false)]

  granted_apis_unknown = [for grant in var.tenant.grants : grant.api if !contains(keys(var.apis), grant.api)]

  granted_scopes_unknown = flatten([
    for grant in var.tenant.grants : [
      for scope in grant.scopes : "${scope} on ${grant.api}" if !contains(try(var.apis[grant.api].scopes, []), scope)
    ] if contains(keys(var.apis), grant.api)
  ])
}

locals {
  disabled = var.tenant.disabled || var.tenant.retired

  # Of the workloads that Vault knows by other ways: their tokens from before are worth nothing either.
  workload_policies = var.tenant.retired ? [] : [var.workload_policy]

  limits = try({ for name, quota in var.tenant.limits : name => quota if quota != null }, {})
  quota  = try({ for name, part in var.tenant.quota : name => part if part != null }, {})
  optional = merge(
    length(local.quota) == 0 ? {} : { quota = local.quota },
    var.tenant.self_service == null ? {} : { self_service = var.tenant.self_service },
    length(local.limits) == 0 ? {} : { limits = local.limits },
  )
  document = merge(local.optional, {
    # Whose document this is: a credential with another role_id is that of a former tenant of this name.
    client_id    = vault_approle_auth_backend_role.tenant.role_id
    grants       = [for grant in var.tenant.grants : { api = grant.api, scopes = sort(distinct(grant.scopes)) }]
    default_api  = var.tenant.default_api
    introspects  = sort(distinct(var.tenant.introspects))
    publish      = sort(distinct(var.tenant.publish))
    organization = var.tenant.organization
    claims       = var.tenant.claims
    disabled     = local.disabled
    # The CLI warns whoever changes it by hand: the next apply writes it anew.
    managed_by = "terraform"
  })
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

  secret_id_ttl         = var.tenant.secret_id_ttl
  secret_id_num_uses    = var.tenant.secret_id_num_uses
  secret_id_bound_cidrs = length(local.cidrs) == 0 ? null : local.cidrs

  # Written below.
  lifecycle {
    ignore_changes = [token_bound_cidrs]
  }
}

# Where its Vault tokens may be used from. Not an argument of the role: of single addresses, older providers can't take the form with
# a length without finding a difference at each plan, and newer ones warn of the form without. None where there are none: with 1,000 tenants
# each resource of a tenant costs a plan seconds.
resource "vault_generic_endpoint" "token_bound_cidrs" {
  count = length(local.vault_cidrs) > 0 ? 1 : 0

  path                 = "auth/${var.mounts.approle}/role/${vault_approle_auth_backend_role.tenant.role_name}/token-bound-cidrs"
  ignore_absent_fields = true

  data_json = jsonencode({ token_bound_cidrs = local.vault_cidrs })
}

# What the tenant may ask for. The broker reads it with the tenant's own token.
resource "vault_generic_secret" "tenant" {
  path                = "${var.mounts.kv}/tenants/${var.tenant.id}"
  delete_all_versions = true

  data_json = jsonencode(local.document)

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

# What brokers keep fresh in KV: all that they may know of a tenant on their own account, so only the grants that are published.
resource "vault_generic_secret" "publication" {
  for_each = length(local.published) > 0 ? toset([var.tenant.id]) : toset([])

  path                = "${var.mounts.kv}/publications/${each.key}"
  delete_all_versions = true

  data_json = jsonencode(merge(length(local.quota) == 0 ? {} : { quota = local.quota }, {
    client_id    = local.document.client_id
    grants       = [for grant in local.document.grants : grant if contains(local.published, grant.api)]
    publish      = local.document.publish
    organization = var.tenant.organization
    claims       = var.tenant.claims
    disabled     = local.disabled
  }))
}
