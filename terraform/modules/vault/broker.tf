# Ways for the broker to log in with an identity that its platform gives it, so that nobody needs to hand it a secret_id at a restart.
# Each has a mount of its own, which operators can't touch: whoever may write a role there may become the broker.

locals {
  # As the AppRole's role has them.
  broker_token = {
    token_type              = "service"
    token_ttl               = var.broker.token_ttl
    token_max_ttl           = var.broker.token_max_ttl
    token_policies          = [vault_policy.policy["broker"].name]
    token_no_default_policy = true
  }
}

# --- a pod's service account

resource "vault_auth_backend" "broker_kubernetes" {
  count = var.broker_kubernetes == null ? 0 : 1

  type        = "kubernetes"
  path        = var.mounts.broker_kubernetes
  description = "Postern: the broker, by its service account"

  depends_on = [vault_audit.postern]
}

# No token_reviewer_jwt, which would lie in the state and end: a Vault in a cluster reviews with its own service account's token, and one
# outside with the token that logs in, whose service account then needs the cluster role system:auth-delegator.
resource "vault_generic_endpoint" "broker_kubernetes_config" {
  count = var.broker_kubernetes == null ? 0 : 1

  path                 = "auth/${vault_auth_backend.broker_kubernetes[0].path}/config"
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode(merge(
    {
      kubernetes_host      = var.broker_kubernetes.host
      disable_local_ca_jwt = !var.broker_kubernetes.vault_in_cluster
    },
    var.broker_kubernetes.ca_pem == null ? {} : { kubernetes_ca_cert = var.broker_kubernetes.ca_pem },
  ))
}

resource "vault_kubernetes_auth_backend_role" "broker" {
  count = var.broker_kubernetes == null ? 0 : 1

  backend                          = vault_auth_backend.broker_kubernetes[0].path
  role_name                        = "broker"
  bound_service_account_names      = var.broker_kubernetes.service_accounts
  bound_service_account_namespaces = var.broker_kubernetes.namespaces
  audience                         = var.broker_kubernetes.audience

  token_type              = local.broker_token.token_type
  token_ttl               = local.broker_token.token_ttl
  token_max_ttl           = local.broker_token.token_max_ttl
  token_policies          = local.broker_token.token_policies
  token_no_default_policy = local.broker_token.token_no_default_policy

  # Written below.
  lifecycle {
    ignore_changes = [token_bound_cidrs]
  }

  depends_on = [vault_generic_endpoint.broker_kubernetes_config]
}

# --- another platform's JWT

resource "vault_auth_backend" "broker_jwt" {
  count = var.broker_jwt == null ? 0 : 1

  type        = "jwt"
  path        = var.mounts.broker_jwt
  description = "Postern: the broker, by its platform's JWT"

  depends_on = [vault_audit.postern]
}

resource "vault_generic_endpoint" "broker_jwt_config" {
  count = var.broker_jwt == null ? 0 : 1

  path                 = "auth/${vault_auth_backend.broker_jwt[0].path}/config"
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode(merge(
    {
      bound_issuer           = var.broker_jwt.issuer
      jwt_supported_algs     = var.broker_jwt.algorithms
      jwt_validation_pubkeys = [for pem in coalesce(var.broker_jwt.public_keys, []) : trimspace(pem)]
      jwks_url               = var.broker_jwt.jwks_url == null ? "" : var.broker_jwt.jwks_url
      # Where neither keys nor their address are given, the issuer's discovery document tells it.
      oidc_discovery_url = var.broker_jwt.public_keys == null && var.broker_jwt.jwks_url == null ? var.broker_jwt.issuer : ""
    },
    # A discovery document and a key set each have a certificate setting of their own.
    var.broker_jwt.ca_pem == null ? {} : var.broker_jwt.jwks_url == null ? { oidc_discovery_ca_pem = var.broker_jwt.ca_pem } : { jwks_ca_pem = var.broker_jwt.ca_pem },
  ))
}

resource "vault_jwt_auth_backend_role" "broker" {
  count = var.broker_jwt == null ? 0 : 1

  backend         = vault_auth_backend.broker_jwt[0].path
  role_name       = "broker"
  role_type       = "jwt"
  user_claim      = "sub"
  bound_audiences = var.broker_jwt.audiences
  bound_subject   = var.broker_jwt.subject
  bound_claims    = var.broker_jwt.claims

  token_type              = local.broker_token.token_type
  token_ttl               = local.broker_token.token_ttl
  token_max_ttl           = local.broker_token.token_max_ttl
  token_policies          = local.broker_token.token_policies
  token_no_default_policy = local.broker_token.token_no_default_policy

  # Written below.
  lifecycle {
    ignore_changes = [token_bound_cidrs]
  }

  depends_on = [vault_generic_endpoint.broker_jwt_config]
}

# --- where its tokens may be used from

# Apart from the roles, for the reason that module tenant gives: providers disagree about the form of a single address.
resource "vault_generic_endpoint" "broker_cidrs" {
  for_each = merge(
    { for role in vault_kubernetes_auth_backend_role.broker : "kubernetes" => { path = "auth/${role.backend}/role/${role.role_name}", more = {} } },
    # Left out, it would become `oidc`.
    { for role in vault_jwt_auth_backend_role.broker : "jwt" => { path = "auth/${role.backend}/role/${role.role_name}", more = { role_type = "jwt" } } },
  )

  path                 = each.value.path
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode(merge(each.value.more, { token_bound_cidrs = local.broker_token_cidrs }))
}
