# People who manage tenants, through the postern CLI or the admin API. They create tenants, grant them any scope of any API that
# Terraform made, hand out and revoke credentials, and set the upstream credential. They can't read that credential or a
# cached token, can't make an API, and can't give anybody, themselves included, more than the tenants' policy or a Vault token
# that lives for more than an hour: role parameters are limited to the values below, the roles' sub-paths (which set one
# parameter each and see no such limit) are not granted, and the broker's AppRole mount, identity/* and policy writes are not
# named at all. docs/operator-limits.md shows the worst value of each parameter and who refuses it.

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

# One role is one tenant. `+` is one path segment, so the sub-paths (…/policies, …/token-type, …/custom-secret-id) are outside.
# A parameter that isn't listed is refused. [] means any value. Lists and comma-separated strings are checked item by item; OpenBao
# refuses lists where values are named here, and takes text.
# A batch token can't be revoked, so its life is one of those named here. Vault compares text with text only: a life is sent as text,
# in seconds ("300", as `vault write … token_ttl=300` does). The mount's own longest life is a year, since it also cuts short how
# long a secret_id lives.
path "auth/${approle}/role/+" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "token_policies"          = ["${tenant_policy}"]
    "token_type"              = ["batch"]
    "token_no_default_policy" = [true, "true"]
    "bind_secret_id"          = [true, "true"]
    "token_ttl"               = ["30", "60", "120", "300", "600", "900", "1800", "3600"]
    "token_max_ttl"           = ["30", "60", "120", "300", "600", "900", "1800", "3600"]
    "token_bound_cidrs"       = []
    "secret_id_ttl"           = []
    "secret_id_num_uses"      = []
    "secret_id_bound_cidrs"   = []
  }
}

# Lists tenants' roles.
path "auth/${approle}/role" {
  capabilities = ["list"]
}

# The public half of a credential. Read only: choosing a role_id could take over another tenant's identity alias.
path "auth/${approle}/role/+/role-id" {
  capabilities = ["read"]
}

# Issues a secret_id (the CLI asks for it wrapped), and lists the accessors of those issued.
path "auth/${approle}/role/+/secret-id" {
  capabilities = ["update", "list"]
  allowed_parameters = {
    "metadata"          = []
    "ttl"               = []
    "num_uses"          = []
    "cidr_list"         = []
    "token_bound_cidrs" = []
  }
}

# Age, uses and metadata of a secret_id, by its accessor; the secret itself is never returned.
path "auth/${approle}/role/+/secret-id-accessor/lookup" {
  capabilities = ["update"]
}

# Whose a credential is that somebody found (`postern key identify`). It answers whoever has the secret, and never tells one.
path "auth/${approle}/role/+/secret-id/lookup" {
  capabilities = ["update"]
  allowed_parameters = {
    "secret_id" = []
  }
}

# Revokes a secret_id by its accessor.
path "auth/${approle}/role/+/secret-id-accessor/destroy" {
  capabilities = ["update"]
}

# --- documents

# A tenant's grants, organization, claims.
path "${kv}/data/tenants/+" {
  capabilities = ["create", "read", "update", "delete"]
}

# Lists tenants.
path "${kv}/metadata/tenants" {
  capabilities = ["list"]
}

# A deleted tenant's document goes with all its versions.
path "${kv}/metadata/tenants/+" {
  capabilities = ["read", "delete"]
}

# What brokers keep fresh in KV of a tenant that is marked.
path "${kv}/data/publications/+" {
  capabilities = ["create", "update"]
}

path "${kv}/metadata/publications/+" {
  capabilities = ["delete"]
}

path "${kv}/metadata/publications" {
  capabilities = ["list"]
}

# Checks a grant against what the API offers. APIs themselves are Terraform's.
path "${kv}/data/apis/+" {
  capabilities = ["read"]
}

# Lists APIs.
path "${kv}/metadata/apis" {
  capabilities = ["list"]
}

# Announces a revocation or a disabled tenant to every broker, with check-and-set.
path "${kv}/data/state/epoch" {
  capabilities = ["create", "read", "update"]
}

# Announces ended credentials and the time from which all that a tenant held is void, with check-and-set.
path "${kv}/data/state/ended" {
  capabilities = ["create", "read", "update"]
}

# Older ones, in shards.
path "${kv}/data/state/ended/+" {
  capabilities = ["create", "read", "update"]
}

# Announces people who went (`postern owners sync`), beside what brokers announce themselves.
path "${kv}/data/state/departures" {
  capabilities = ["create", "read", "update"]
}

# Older ones, in shards.
path "${kv}/data/state/departures/+" {
  capabilities = ["create", "read", "update"]
}

# Until when the name of a deleted tenant may not be used again.
path "${kv}/data/state/tombstones/+" {
  capabilities = ["create", "read", "update"]
}

# Which names those are.
path "${kv}/metadata/state/tombstones" {
  capabilities = ["list"]
}

# What Terraform announced last. Only Terraform writes it.
path "${kv}/data/state/catalog" {
  capabilities = ["read"]
}

# A deleted tenant's registered public keys are found by what they say, and go with all their versions. Only Terraform
# writes them.
path "${kv}/data/assertions/+" {
  capabilities = ["read"]
}

path "${kv}/metadata/assertions" {
  capabilities = ["list"]
}

path "${kv}/metadata/assertions/+" {
  capabilities = ["delete"]
}

# --- trusts: which workloads of an issuer are a tenant's

# One role is one trust. Which issuers there are, by which keys, and which tenant a mount stands for is Terraform's: nothing else
# below the mounts is named here. What a role's token may do comes with the mount's entity, so no policy can be set.
path "auth/${trust}/+/+/role/+" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "role_type"               = ["jwt"]
    "user_claim"              = ["iss"]
    "bound_audiences"         = []
    "bound_subject"           = []
    "bound_claims"            = []
    "bound_claims_type"       = ["string", "glob"]
    "clock_skew_leeway"       = ["30"]
    "expiration_leeway"       = ["30"]
    "not_before_leeway"       = ["30"]
    "token_type"              = ["batch"]
    "token_ttl"               = ["30", "60", "120", "300", "600", "900", "1800", "3600"]
    "token_max_ttl"           = ["30", "60", "120", "300", "600", "900", "1800", "3600"]
    "token_no_default_policy" = [true, "true"]
    "token_bound_cidrs"       = []
  }
}

# Where the keys of an issuer come from; all of it is public.
path "auth/${trust}/+/+/config" {
  capabilities = ["read"]
}

# What brokers know of a trust.
path "${kv}/data/trusts/+/+" {
  capabilities = ["create", "read", "update"]
}

path "${kv}/metadata/trusts/+" {
  capabilities = ["list"]
}

# The same for OpenBao, which compares a list with a slash at its end, and would take the rule below for it.
path "${kv}/metadata/trusts/+/" {
  capabilities = ["list"]
}

path "${kv}/metadata/trusts/+/+" {
  capabilities = ["delete"]
}

# Who trusts an issuer for an audience.
path "${kv}/data/trust-index/+/+" {
  capabilities = ["create", "read", "update"]
}

path "${kv}/metadata/trust-index/+/+" {
  capabilities = ["delete"]
}

# What the admin API answered to requests that may be repeated (Idempotency-Key), encrypted under the request's own key.
path "${kv}/data/state/idempotency/+" {
  capabilities = ["create", "read", "update"]
}

# Whose credentials are being replaced, and who has trusts: one list in place of a read of each tenant.
path "${kv}/metadata/keys" {
  capabilities = ["list"]
}

path "${kv}/metadata/trusts" {
  capabilities = ["list"]
}

# Which API keys are being replaced, and when each ends. With check-and-set: of two who rotate one key at once, one goes on.
path "${kv}/data/keys/+" {
  capabilities = ["create", "read", "update"]
}

# Goes with a deleted tenant.
path "${kv}/metadata/keys/+" {
  capabilities = ["delete"]
}

# How many of Auth0's tokens each tenant has had, by month. Brokers write it.
path "${kv}/data/state/quota/+/+" {
  capabilities = ["read"]
}

path "${kv}/metadata/state/quota/+" {
  capabilities = ["list"]
}

# When API keys were last used. Brokers write it.
path "${kv}/data/state/usage/+" {
  capabilities = ["read"]
}

# Sets the shared Auth0 application's credential. No `read`: only brokers read it.
path "${kv}/data/upstream/auth0" {
  capabilities = ["create", "update"]
}

# Whether and when that credential was set; metadata holds no value.
path "${kv}/metadata/upstream/auth0" {
  capabilities = ["read"]
}

# --- cached tokens: throw away, never read

path "${tokens}/data/*" {
  capabilities = ["delete"]
}

# Finds a tenant's cache entries and removes them with all their versions.
path "${tokens}/metadata/*" {
  capabilities = ["list", "delete"]
}

# --- signing key

# Version numbers and public keys.
path "${transit}/keys/${transit_key}" {
  capabilities = ["read"]
}

# Rotates it; older versions stay in the JWKS.
path "${transit}/keys/${transit_key}/rotate" {
  capabilities = ["update"]
}

# Retires older versions (min_decryption_version): services refuse what they signed. Nothing else of the key can be set.
path "${transit}/keys/${transit_key}/config" {
  capabilities = ["update"]
  allowed_parameters = {
    "min_decryption_version" = []
  }
}

# --- the secrets plugin, where it is mounted

# Which tenants it hands tokens to, and what each may have.
path "${plugin}/roles/+" {
  capabilities = ["create", "read", "update", "delete"]
}

path "${plugin}/roles" {
  capabilities = ["list"]
}

# The APIs that roles can grant. Only Terraform writes them, as it does the brokers': whoever made one could have tokens for whatever
# Auth0 grants to the shared application.
path "${plugin}/apis/+" {
  capabilities = ["read"]
}

path "${plugin}/apis" {
  capabilities = ["list"]
}

# Renews the shared application's credential; reading shows everything but the secrets. Which Auth0 that is, how tokens are bound to
# tenants, and the application that rotates are a platform engineer's to write.
path "${plugin}/config" {
  capabilities = ["read", "update"]
  allowed_parameters = {
    "client_id"     = []
    "client_secret" = []
  }
}

# Has Auth0 make a new secret, which nobody sees.
path "${plugin}/config/rotate" {
  capabilities = ["update"]
}

# Drops a tenant's cached tokens. Not creds/: that is where tokens are read.
path "${plugin}/revoke/+" {
  capabilities = ["update"]
}

# Removes what brokers share of a tenant there; a token is not read.
path "${plugin}/tokens/*" {
  capabilities = ["list", "delete"]
}

# Version, start, how many tokens, how many calls to Auth0.
path "${plugin}/info" {
  capabilities = ["read"]
}

# The same for Prometheus.
path "${plugin}/metrics" {
  capabilities = ["read"]
}

# --- what `postern doctor` looks at, all read-only

# Are the secrets engines mounted?
path "sys/mounts" {
  capabilities = ["read"]
}

# Are the auth methods mounted?
path "sys/auth" {
  capabilities = ["read"]
}

# Is lockout off, and are tokens of type batch? Vault wants sudo for this path; read alone changes nothing.
path "sys/auth/${approle}/tune" {
  capabilities = ["read", "sudo"]
}

# Is anything recorded? Vault wants sudo for this path too.
path "sys/audit" {
  capabilities = ["read", "sudo"]
}

# Are the policies what Terraform wrote?
path "sys/policies/acl/${policy_prefix}*" {
  capabilities = ["read"]
}

# Does the cache forget old tokens?
path "${tokens}/config" {
  capabilities = ["read"]
}

# Are logins limited? First the list, then each.
path "sys/quotas/rate-limit" {
  capabilities = ["list"]
}

path "sys/quotas/rate-limit/+" {
  capabilities = ["read"]
}
