# The broker's own identity. It fills the token cache and uses the upstream credential and the signing key. It can't read
# a tenant's document or cached tokens (the tenant's own token does that), can't see or make a secret_id, and has
# nothing under identity/ or sys/.

# Its token lives an hour and is renewed by the broker itself.
path "auth/token/renew-self" {
  capabilities = ["update"]
}

# How long its token still lives, and whether Vault still knows it.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

# How long its own secret_id still lives. Whoever asks must have that secret_id; nobody learns of others or how many there are.
path "auth/${broker_approle}/role/broker/secret-id/lookup" {
  capabilities = ["update"]
  allowed_parameters = {
    "secret_id" = []
  }
}

# A broker that stops gives its token back, so that no lease outlives the process.
path "auth/token/revoke-self" {
  capabilities = ["update"]
}

# Fills the token cache, with check-and-set. No `read`: a tenant's cached token is read with that tenant's token only.
path "${tokens}/data/*" {
  capabilities = ["create", "update"]
}

# The same cache in the secrets plugin (TOKEN_STORE=plugin). No `read` there either, and nothing else of the plugin.
path "${plugin}/tokens/*" {
  capabilities = ["create", "update"]
}

# What each API is: audience, source, scopes, lifetime, dialect.
path "${kv}/data/apis/+" {
  capabilities = ["read"]
}

# Which APIs there are, to load them all at start.
path "${kv}/metadata/apis" {
  capabilities = ["list"]
}

# The epoch that announces revoked credentials and disabled tenants; polled each second.
path "${kv}/data/state/epoch" {
  capabilities = ["read"]
}

# What Terraform changed: a digest of the APIs, tenants and registered keys, and who is disabled; polled each second.
path "${kv}/data/state/catalog" {
  capabilities = ["read"]
}

# Which tenants' tokens it keeps fresh in KV though nobody asks, and with which of their grants: operators and Terraform wrote that down
# for it. It can't read the documents of those that aren't marked.
path "${kv}/data/publications/+" {
  capabilities = ["read"]
}

path "${kv}/metadata/publications" {
  capabilities = ["list"]
}

# Which replica does it: a lease by check-and-set.
path "${kv}/data/state/publisher" {
  capabilities = ["create", "read", "update"]
}

# What it has published until when: SHA-256 and times, no token.
path "${kv}/data/state/published/+" {
  capabilities = ["create", "read", "update"]
}

# And of whom, so that what is not marked any more goes though another replica published it; then it is forgotten.
path "${kv}/metadata/state/published" {
  capabilities = ["list"]
}

path "${kv}/metadata/state/published/+" {
  capabilities = ["delete"]
}

# The version of a cached token, which check-and-set needs where no tenant's token reads it. The token itself isn't in the metadata.
path "${tokens}/metadata/+/+" {
  capabilities = ["read"]
}

# Which credentials ended, and from when on all that a tenant held is void. Operators write it; the broker only reads.
path "${kv}/data/state/ended" {
  capabilities = ["read"]
}

# Older ones, in shards: read at start, and when a replica missed some.
path "${kv}/data/state/ended/+" {
  capabilities = ["read"]
}

# Who left, and which keys people revoked themselves: what a broker writes there is refused by all of them. It makes nothing good
# again, since operators' endings lie elsewhere.
path "${kv}/data/state/departures" {
  capabilities = ["create", "read", "update"]
}

# Older ones, in shards.
path "${kv}/data/state/departures/+" {
  capabilities = ["create", "read", "update"]
}

# When API keys were last used: key ids and minutes, sharded, written every few minutes with check-and-set.
path "${kv}/data/state/usage/+" {
  capabilities = ["create", "read", "update"]
}

# How many of Auth0's tokens each tenant has had, by month: what every replica counts before it asks for one, with check-and-set.
path "${kv}/data/state/quota/+/+" {
  capabilities = ["create", "read", "update"]
}

# Which of these there are.
path "${kv}/metadata/state/quota/+" {
  capabilities = ["list"]
}

# Which tokens were revoked before their end: only their SHA-256. Every replica reads the latest each second, and writes with
# check-and-set what its clients revoke. Not the epoch's document, which only operators write: a broker can't enable a tenant.
path "${kv}/data/state/revocations" {
  capabilities = ["create", "read", "update"]
}

# Older ones, by the first digit of the SHA-256: read at start, and when a replica missed some.
path "${kv}/data/state/revocations/+" {
  capabilities = ["create", "read", "update"]
}

# The one Auth0 application that all tenants share. Only this policy reads it.
path "${kv}/data/upstream/auth0" {
  capabilities = ["read"]
}

# Public keys of clients that authenticate by assertions. Terraform writes them.
path "${kv}/data/assertions/+" {
  capabilities = ["read"]
}

# Which workloads of which issuers are a tenant's: `<client_id>/<name>`. Terraform and operators write them.
path "${kv}/data/trusts/+/+" {
  capabilities = ["read"]
}

path "${kv}/metadata/trusts/+" {
  capabilities = ["list"]
}

# Who trusts an issuer for an audience: names alone.
path "${kv}/metadata/trust-index/+" {
  capabilities = ["list"]
}

# Which assertions were used: <hour>/<digest>. A second record of one name is refused by check-and-set, which the mount demands;
# `update` only makes that refusal tell itself from a missing right. It can't make a record unmade: any version counts.
path "${replay}/data/+/+" {
  capabilities = ["create", "update"]
}

# Throws away the records of hours that are long over.
path "${replay}/metadata" {
  capabilities = ["list"]
}

path "${replay}/metadata/+" {
  capabilities = ["list"]
}

# The same for OpenBao, which compares a list with a slash at its end, and would take the rule below for it.
path "${replay}/metadata/+/" {
  capabilities = ["list"]
}

path "${replay}/metadata/+/+" {
  capabilities = ["delete"]
}

# Signs tokens of APIs whose source is transit. Vault takes the hash algorithm from the path or from the body, and a policy
# sees only the path, so both spellings are named.
path "${transit}/sign/${transit_key}/sha2-256" {
  capabilities = ["update"]
}

path "${transit}/sign/${transit_key}" {
  capabilities = ["update"]
}

# Public keys of every version, for the JWKS.
path "${transit}/keys/${transit_key}" {
  capabilities = ["read"]
}
