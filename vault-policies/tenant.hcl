# One policy for all tenants. Vault fills in the name of the AppRole role that the caller logged in with, so that each
# tenant reaches its own documents and no other's, whatever the broker asks for on its behalf. Nothing isolates by `deny`:
# what is not named here is refused.
#
# The name comes from the login's alias on the tenants' AppRole mount (accessor ${approle_accessor}). A token from any other
# auth method has no such alias; Vault then leaves the templated paths out.

# Its grants, organization and claims: the broker reads them with the tenant's own token at each login.
path "${kv}/data/tenants/{{identity.entity.aliases.${approle_accessor}.metadata.role_name}}" {
  capabilities = ["read"]
}

# Which of its API keys end, and when: the broker looks at each verification of one.
path "${kv}/data/keys/{{identity.entity.aliases.${approle_accessor}.metadata.role_name}}" {
  capabilities = ["read"]
}

# Whose token it is: the broker asks with the token itself where a workload exchanges it (RFC 8693).
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

# Its own entity, whose alias holds the role_id.
path "identity/entity/id/{{identity.entity.id}}" {
  capabilities = ["read"]
}

# Its access token by the secrets plugin, where that is mounted.
path "${plugin}/creds/{{identity.entity.aliases.${approle_accessor}.metadata.role_name}}" {
  capabilities = ["read"]
}

# Its cached access tokens in the secrets plugin, where brokers share them there (TOKEN_STORE=plugin).
path "${plugin}/tokens/{{identity.entity.aliases.${approle_accessor}.metadata.role_name}}/*" {
  capabilities = ["read"]
}

# Its cached access tokens: <tenant>/<api>, and <tenant>/<api>/<digest> for a narrower set of scopes.
path "${tokens}/data/{{identity.entity.aliases.${approle_accessor}.metadata.role_name}}/*" {
  capabilities = ["read"]
}
