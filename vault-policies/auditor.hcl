# People who look and change nothing: everything an operator sees that is not secret, and not one write. Accessors
# identify a secret_id without being it; metadata of a document holds no value.

# --- one's own token
# In place of Vault's `default` policy: that has templates, which Vault parses anew for each request, and a third of what a read costs.

path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "auth/token/revoke-self" {
  capabilities = ["update"]
}

# What it may do, for `postern whoami` and for Vault's own pages.
path "sys/capabilities-self" {
  capabilities = ["update"]
}

path "sys/internal/ui/resultant-acl" {
  capabilities = ["read"]
}

# --- tenants' AppRole roles

# Which tenants there are.
path "auth/${approle}/role" {
  capabilities = ["list"]
}

# A tenant's limits: TTLs, CIDRs, policies.
path "auth/${approle}/role/+" {
  capabilities = ["read"]
}

# The public half of a credential, to match it with a log.
path "auth/${approle}/role/+/role-id" {
  capabilities = ["read"]
}

# How many secret_ids a tenant has, by accessor. The same path creates one, which takes `update`: not granted.
path "auth/${approle}/role/+/secret-id" {
  capabilities = ["list"]
}

# Age, uses and metadata of a secret_id. Vault makes this look-up a write (`update`); it changes nothing.
path "auth/${approle}/role/+/secret-id-accessor/lookup" {
  capabilities = ["update"]
}

# The broker's role: is it as Terraform wrote it? Not its secret_ids.
path "auth/${broker_approle}/role/+" {
  capabilities = ["read"]
}

# The same where the broker logs in by what its platform gives it: who may be the broker?
path "auth/${broker_kubernetes}/role/+" {
  capabilities = ["read"]
}

path "auth/${broker_jwt}/role/+" {
  capabilities = ["read"]
}

# --- documents

# Who may have what.
path "${kv}/data/tenants/+" {
  capabilities = ["read"]
}

path "${kv}/data/apis/+" {
  capabilities = ["read"]
}

# What was revoked and who is disabled.
path "${kv}/data/state/epoch" {
  capabilities = ["read"]
}

# Which credentials ended, which names may not be used again, and what Terraform announced.
path "${kv}/data/state/ended" {
  capabilities = ["read"]
}

path "${kv}/data/state/ended/+" {
  capabilities = ["read"]
}

path "${kv}/data/state/tombstones/+" {
  capabilities = ["read"]
}

path "${kv}/data/state/catalog" {
  capabilities = ["read"]
}

# Which workloads of which issuers are a tenant's.
path "${kv}/data/trusts/+/+" {
  capabilities = ["read"]
}

path "${kv}/metadata/trusts/+" {
  capabilities = ["list"]
}

# Where they are found where no client_id is sent.
path "${kv}/data/trust-index/+/+" {
  capabilities = ["read"]
}

# Where the keys of trusted issuers come from.
path "auth/${trust}/+/+/config" {
  capabilities = ["read"]
}

# What Vault itself judges their tokens by.
path "auth/${trust}/+/+/role/+" {
  capabilities = ["read"]
}

# Registered public keys.
path "${kv}/data/assertions/+" {
  capabilities = ["read"]
}

# Whose credentials are being replaced, and who has trusts: one list in place of a read of each tenant.
path "${kv}/metadata/keys" {
  capabilities = ["list"]
}

path "${kv}/metadata/trusts" {
  capabilities = ["list"]
}

# Which API keys are being replaced, and when keys were last used.
path "${kv}/data/keys/+" {
  capabilities = ["read"]
}

path "${kv}/data/state/usage/+" {
  capabilities = ["read"]
}

# How many of Auth0's tokens each tenant has had, by month. Brokers write it.
path "${kv}/data/state/quota/+/+" {
  capabilities = ["read"]
}

# Names, versions and times of every document, the upstream credential's too; never a value.
path "${kv}/metadata/*" {
  capabilities = ["read", "list"]
}

# Which tokens are cached, and since when; never a token.
path "${tokens}/metadata/*" {
  capabilities = ["read", "list"]
}

# Whether the cache forgets old tokens.
path "${tokens}/config" {
  capabilities = ["read"]
}

# --- signing key

# Version numbers and public keys.
path "${transit}/keys/${transit_key}" {
  capabilities = ["read"]
}

# --- the secrets plugin, where it is mounted

# Who may have what. Not creds/ and not tokens/: those are tokens.
path "${plugin}/roles/+" {
  capabilities = ["read"]
}

path "${plugin}/roles" {
  capabilities = ["list"]
}

path "${plugin}/apis/+" {
  capabilities = ["read"]
}

path "${plugin}/apis" {
  capabilities = ["list"]
}

# Which Auth0 tenant, and since when with this secret; never the secret.
path "${plugin}/config" {
  capabilities = ["read"]
}

# Version, start, how many tokens, how many calls to Auth0.
path "${plugin}/info" {
  capabilities = ["read"]
}

# The same for Prometheus.
path "${plugin}/metrics" {
  capabilities = ["read"]
}

# --- Vault itself

# Which secrets engines there are.
path "sys/mounts" {
  capabilities = ["read"]
}

# Which auth methods there are.
path "sys/auth" {
  capabilities = ["read"]
}

# Lockout and token type. Vault wants sudo for this path; read alone changes nothing.
path "sys/auth/${approle}/tune" {
  capabilities = ["read", "sudo"]
}

# Where the audit log goes. Vault wants sudo for this path too.
path "sys/audit" {
  capabilities = ["read", "sudo"]
}

# What each role of people and machines may do.
path "sys/policies/acl/${policy_prefix}*" {
  capabilities = ["read"]
}

# Limits of the login rate. First the list, then each.
path "sys/quotas/rate-limit" {
  capabilities = ["list"]
}

path "sys/quotas/rate-limit/+" {
  capabilities = ["read"]
}

# How people log in; Vault leaves the client secret out of the answer.
path "auth/${oidc}/config" {
  capabilities = ["read"]
}

path "auth/${oidc}/role/+" {
  capabilities = ["read"]
}
