locals {
  policy_prefix = "postern-"

  # Canonical, as module tenant has it: Vault mangles some spellings of IPv6.
  canonical = {
    for cidr in distinct(concat(var.broker.cidrs, try(var.self_service.broker_cidrs, []))) :
    cidr => try(cidrsubnet(can(regex("/", cidr)) ? cidr : "${cidr}/${can(regex(":", cidr)) ? 128 : 32}", 0, 0), cidr)
  }
  broker_cidrs = distinct([for cidr in var.broker.cidrs : local.canonical[cidr]])

  # Of a token's blocks Vault tells one of a single address without its length.
  broker_token_cidrs = distinct([for cidr in local.broker_cidrs : replace(replace(cidr, "/^([0-9.]+)[/]32$/", "$1"), "/[/]128$/", "")])
  self_token_cidrs = distinct([
    for cidr in try(var.self_service.broker_cidrs, []) : replace(replace(local.canonical[cidr], "/^([0-9.]+)[/]32$/", "$1"), "/[/]128$/", "")
  ])

  # Auth0's own default is a day; a token that Postern signs can be as short as its API likes, for it costs no quota.
  apis = {
    for name, api in var.apis : name => merge(api, {
      scopes   = sort(distinct(api.scopes))
      lifetime = coalesce(api.lifetime, api.source == "auth0" ? 86400 : 3600)
    })
  }
}

# --- audit

# First of all, and last to go, so that everything else is recorded. Also, Vault may answer 500 to a request that is under way
# when a device is added, though it was carried out.
resource "vault_audit" "postern" {
  count = var.audit == null ? 0 : 1

  type        = var.audit.type
  path        = var.audit.path
  options     = var.audit.options
  description = "Postern"

  lifecycle {
    precondition {
      condition     = !strcontains(try(data.vault_generic_secret.product[0].data_json, ""), "+builtin.bao")
      error_message = "This is OpenBao, which takes audit devices from the configuration of its servers only. Set audit = null, and declare the device there: audit \"file\" \"postern\" { options { file_path = \"stdout\" } }"
    }
  }
}

# Every mount names what runs it: `v1.21.2+builtin.vault`, or `v2.7.2+builtin.bao`.
data "vault_generic_secret" "product" {
  count = var.audit == null ? 0 : 1

  path = "sys/mounts/cubbyhole"
}

# --- tenants' credentials

# For tenants only: operators manage the roles of this mount.
resource "vault_auth_backend" "approle" {
  type        = "approle"
  path        = var.mounts.approle
  description = "Postern: tenants"

  depends_on = [vault_audit.postern]
}

# - Lockout off: with it, whoever knows a role_id can lock a customer out for 15 minutes by five wrong secret_ids. The broker
#   throttles wrong credentials instead.
# - token_type batch: Vault then gives no service token on this mount, whatever a role says.
# - The longest TTL also cuts a secret_id's life short, silently: Vault's own default would end every one after 32 days. So it is a
#   year here, and the lives of tokens are limited by the operators' policy, which names them, and by brokers, which refuse others.
# Vault answers this endpoint with other fields than it takes, so it isn't read back; `postern doctor` checks it.
resource "vault_generic_endpoint" "approle_tune" {
  path                 = "sys/auth/${vault_auth_backend.approle.path}/tune"
  disable_read         = true
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode({
    token_type          = "batch"
    default_lease_ttl   = "300s"
    max_lease_ttl       = "31536000s"
    user_lockout_config = { lockout_disable = true }
  })
}

# Logins only: a quota on the whole mount would let a flood of guesses keep operators from revoking.
resource "vault_quota_rate_limit" "approle" {
  name = "postern-approle"
  path = "auth/${vault_auth_backend.approle.path}/login"
  rate = var.login_rate

  # Vault refuses a quota for a mount that isn't there yet.
  depends_on = [vault_auth_backend.approle]
}

# --- the broker's credential

# A mount of its own, which operators can't touch: whoever may issue secret_ids there may become the broker.
resource "vault_auth_backend" "broker" {
  type        = "approle"
  path        = var.mounts.broker_approle
  description = "Postern: the broker"

  depends_on = [vault_audit.postern]
}

# Lockout off here too: it would keep a restarted broker out after a stranger's five guesses.
resource "vault_generic_endpoint" "broker_tune" {
  path                 = "sys/auth/${vault_auth_backend.broker.path}/tune"
  disable_read         = true
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode({
    max_lease_ttl       = "31536000s"
    user_lockout_config = { lockout_disable = true }
  })
}

resource "vault_approle_auth_backend_role" "broker" {
  backend   = vault_auth_backend.broker.path
  role_name = "broker"

  # A service token, since a batch token can't be renewed.
  token_type              = "service"
  token_ttl               = var.broker.token_ttl
  token_max_ttl           = var.broker.token_max_ttl
  token_policies          = [vault_policy.policy["broker"].name]
  token_no_default_policy = true

  secret_id_ttl         = var.broker.secret_id_ttl
  secret_id_num_uses    = var.broker.secret_id_num_uses
  secret_id_bound_cidrs = length(local.broker_cidrs) == 0 ? null : local.broker_cidrs

  depends_on = [vault_generic_endpoint.broker_tune]
}

# --- documents

# apis/<api>, tenants/<tenant>, assertions/<client_id>, upstream/auth0, state/. Of state/ only the catalog is Terraform's: the rest must
# survive an apply. upstream/auth0 is secret.
resource "vault_mount" "kv" {
  path        = var.mounts.kv
  type        = "kv"
  options     = { version = "2" }
  description = "Postern: APIs, tenants, upstream credential, epoch"

  depends_on = [vault_audit.postern]
}

resource "vault_generic_secret" "api" {
  for_each = local.apis

  path                = "${vault_mount.kv.path}/apis/${each.key}"
  delete_all_versions = true

  # Who manages the API in Auth0 is no affair of brokers.
  data_json = jsonencode({ for name, value in each.value : name => value if name != "manage" && (name != "publish" || value == true) })

  depends_on = [vault_transit_secret_backend_key.signing]
}

# --- cached tokens

resource "vault_mount" "tokens" {
  path        = var.mounts.tokens
  type        = "kv"
  options     = { version = "2" }
  description = "Postern: cached access tokens"

  depends_on = [vault_audit.postern]
}

# Only the newest token of each key is kept, and no longer than a token can live.
resource "vault_generic_endpoint" "tokens_config" {
  path                 = "${vault_mount.tokens.path}/config"
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode({
    max_versions         = 1
    delete_version_after = format("%dh%dm%ds", floor(var.cached_token_retention / 3600), floor(var.cached_token_retention % 3600 / 60), var.cached_token_retention % 60)
  })

  lifecycle {
    precondition {
      condition     = var.cached_token_retention >= max(0, values(local.apis)[*].lifetime...)
      error_message = "cached_token_retention (${var.cached_token_retention} s) is shorter than an API's lifetime (${max(0, values(local.apis)[*].lifetime...)} s): Vault would remove tokens that are still good."
    }
  }

  depends_on = [vault_transit_secret_backend_key.signing]
}

# --- signing

# A new KV mount is not ready at once: on Raft, OpenBao refuses to write to it for some 20 to 70 ms ("Upgrading from non-versioned to
# versioned data"), and Terraform doesn't try again. So this mount and its key, which takes longer, come between a KV mount and what
# is written there.
resource "vault_mount" "transit" {
  path        = var.mounts.transit
  type        = "transit"
  description = "Postern: signs tokens of APIs whose source is transit"

  depends_on = [vault_audit.postern, vault_mount.kv, vault_mount.tokens, vault_mount.replay]
}

# The private key never leaves Vault: not exportable, no plaintext backup. Deletion is allowed so that `terraform destroy` can
# clean up; none of the policies gives it to anybody.
resource "vault_transit_secret_backend_key" "signing" {
  backend          = vault_mount.transit.path
  name             = var.transit_key
  type             = "rsa-2048"
  deletion_allowed = true
}

# --- policies

resource "vault_policy" "policy" {
  for_each = toset(["tenant", "workload", "broker", "operator", "auditor", "self"])

  name = "${local.policy_prefix}${each.key}"
  policy = templatefile("${path.module}/../../../vault-policies/${each.key}.hcl", {
    approle           = var.mounts.approle
    approle_accessor  = vault_auth_backend.approle.accessor
    broker_approle    = var.mounts.broker_approle
    broker_kubernetes = var.mounts.broker_kubernetes
    broker_jwt        = var.mounts.broker_jwt
    oidc              = var.mounts.oidc
    trust             = var.mounts.trust
    kv                = var.mounts.kv
    tokens            = var.mounts.tokens
    replay            = var.mounts.replay
    transit           = var.mounts.transit
    plugin            = var.mounts.plugin
    transit_key       = var.transit_key
    policy_prefix     = local.policy_prefix
    tenant_policy     = "${local.policy_prefix}tenant"
  })
}
