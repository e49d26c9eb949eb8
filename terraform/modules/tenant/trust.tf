# Workloads known by the OIDC tokens that they already have. The broker looks at a token by the trust that is written down, and Vault
# again on a mount for this tenant and issuer alone, so that the broker can't become a tenant on its own say-so. Operators may write
# further trusts (roles) there, and can't make a mount, choose an issuer's keys, or map a mount to a tenant.
locals {
  trusts = {
    for name, trust in var.tenant.trusts : name => merge(trust, {
      issuer_id = substr(sha256(trust.issuer), 0, 16)
      # Vault's globs know no segments: it is the broker that holds a * to one.
      sub_glob = trust.subject != null ? trust.subject : replace(coalesce(trust.subject_pattern, "-"), "**", "*")
      cidrs = length(trust.cidrs) == 0 || var.tenant.retired ? local.assertion_cidrs : distinct([
        for cidr in trust.cidrs : replace(replace(
          try(cidrsubnet(can(regex("/", cidr)) ? cidr : "${cidr}/${can(regex(":", cidr)) ? 128 : 32}", 0, 0), cidr),
        "/^([0-9.]+)[/]32$/", "$1"), "/[/]128$/", "")
      ])
      source = {
        jwks_url = try(var.tenant.issuers[trust.issuer].jwks_url, null)
        ca_pem   = try(var.tenant.issuers[trust.issuer].ca_pem, null)
        keys     = try([for key in var.tenant.issuers[trust.issuer].keys : trimspace(key)], null)
      }
    })
  }

  issuers = {
    for issuer in distinct(concat(keys(var.tenant.issuers), [for trust in values(var.tenant.trusts) : trust.issuer])) : issuer => {
      id       = substr(sha256(issuer), 0, 16)
      jwks_url = try(var.tenant.issuers[issuer].jwks_url, null)
      ca_pem   = try(var.tenant.issuers[issuer].ca_pem, null)
      keys     = try([for key in var.tenant.issuers[issuer].keys : trimspace(key)], null)
    }
  }
}

resource "vault_auth_backend" "trust" {
  for_each = local.issuers

  type        = "jwt"
  path        = "${var.mounts.trust}/${var.tenant.id}/${each.value.id}"
  description = "Postern: workloads of ${var.tenant.id} known by ${each.key}"
}

resource "vault_generic_endpoint" "trust_config" {
  for_each = local.issuers

  path                 = "auth/${vault_auth_backend.trust[each.key].path}/config"
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode(merge(
    {
      bound_issuer       = each.key
      jwt_supported_algs = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384"]
    },
    { for name, value in { jwt_validation_pubkeys = each.value.keys } : name => value if value != null },
    each.value.keys != null ? {} : {
      for name, value in {
        oidc_discovery_url    = each.value.jwks_url == null ? each.key : null
        oidc_discovery_ca_pem = each.value.jwks_url == null ? each.value.ca_pem : null
        jwks_url              = each.value.jwks_url
        jwks_ca_pem           = each.value.jwks_url == null ? null : each.value.ca_pem
      } : name => value if value != null
    },
  ))
}

# By the issuer, which every token of this mount has: whoever logs in here is this tenant.
resource "vault_identity_entity" "trust" {
  for_each = local.issuers

  # Two dots: no workload has this name.
  name     = "postern.${var.tenant.id}..trust.${each.value.id}"
  policies = local.workload_policies

  metadata = {
    postern_tenant    = var.tenant.id
    postern_client_id = vault_approle_auth_backend_role.tenant.role_id
  }
}

resource "vault_identity_entity_alias" "trust" {
  for_each = local.issuers

  name           = each.key
  mount_accessor = vault_auth_backend.trust[each.key].accessor
  canonical_id   = vault_identity_entity.trust[each.key].id
}

# Not the provider's own resource for it, whose bound_claims take a comma for the end of one value and the beginning of another.
resource "vault_generic_endpoint" "trust" {
  for_each = local.trusts

  path                 = "auth/${vault_auth_backend.trust[each.value.issuer].path}/role/${each.key}"
  ignore_absent_fields = true

  data_json = jsonencode({
    role_type         = "jwt"
    user_claim        = "iss"
    bound_audiences   = [each.value.audience]
    bound_subject     = each.value.subject == null ? "" : each.value.subject
    bound_claims      = merge(each.value.claims, { sub = each.value.sub_glob })
    bound_claims_type = each.value.subject == null ? "glob" : "string"

    # As the broker takes them.
    clock_skew_leeway = 30
    expiration_leeway = 30
    not_before_leeway = 30

    # What the token may do comes with the entity above, and from nowhere else.
    token_type              = "batch"
    token_ttl               = var.tenant.token_ttl
    token_max_ttl           = var.tenant.token_ttl
    token_no_default_policy = true
    token_bound_cidrs       = each.value.cidrs
  })

  depends_on = [vault_generic_endpoint.trust_config]
}

# Last: from here on the broker knows of it, and a login before the alias is there would make Vault invent an entity.
resource "vault_generic_secret" "trust" {
  for_each = local.trusts

  path                = "${var.mounts.kv}/trusts/${vault_approle_auth_backend_role.tenant.role_id}/${each.key}"
  delete_all_versions = true

  data_json = jsonencode(merge(
    {
      tenant     = var.tenant.id
      issuer     = each.value.issuer
      audience   = each.value.audience
      claims     = each.value.claims
      cidrs      = each.value.cidrs
      managed_by = "terraform"
    },
    {
      for name, value in {
        subject         = each.value.subject
        subject_pattern = each.value.subject_pattern
        jwks_url        = each.value.source.jwks_url
        ca_pem          = each.value.source.ca_pem
      } : name => value if value != null
    },
    each.value.scopes == null ? {} : { scopes = sort(distinct(each.value.scopes)) },
    each.value.source.keys == null ? {} : { keys = each.value.source.keys },
  ))

  depends_on = [vault_generic_endpoint.trust, vault_identity_entity_alias.trust]
}

# Whom to ask where a client sends no client_id: the digest is of issuer and audience.
resource "vault_generic_secret" "trust_index" {
  for_each = local.trusts

  path                = "${var.mounts.kv}/trust-index/${sha256("${each.value.issuer}\n${each.value.audience}")}/${vault_approle_auth_backend_role.tenant.role_id}.${each.key}"
  delete_all_versions = true

  data_json = jsonencode({ tenant = var.tenant.id })

  depends_on = [vault_generic_secret.trust]
}
