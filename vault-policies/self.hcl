# A person who manages keys of their own, by the self-service API: the broker hands their Auth0 access token to a JWT mount, and Vault
# answers with this. The organization in that token (org_id) is the name of an alias, whose entity Terraform made for one tenant; the
# entity's metadata names it. So whatever the broker asks for on a person's behalf, it reaches that tenant's credentials and no other's.
# Vault leaves the templated paths out for an entity without that name.
#
# Which of the tenant's keys are this person's own, what they may put into one, and how many they may have, Vault can't tell by a path:
# the broker does, and docs/user-keys.md lists it. Nothing here announces anything to brokers, or touches a grant.

# Whose token it is.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

# The entity of their organization, which names the tenant.
path "identity/entity/id/{{identity.entity.id}}" {
  capabilities = ["read"]
}

# What the tenant may have, and within what its people make keys.
path "${kv}/data/tenants/{{identity.entity.metadata.postern_self_tenant}}" {
  capabilities = ["read"]
}

# The role's own limits: addresses, longest life.
path "auth/${approle}/role/{{identity.entity.metadata.postern_self_tenant}}" {
  capabilities = ["read"]
}

# The public half of a key.
path "auth/${approle}/role/{{identity.entity.metadata.postern_self_tenant}}/role-id" {
  capabilities = ["read"]
}

# Makes a key, and lists the accessors of those there are. No choice of what the Vault token behind it may do.
path "auth/${approle}/role/{{identity.entity.metadata.postern_self_tenant}}/secret-id" {
  capabilities = ["update", "list"]
  allowed_parameters = {
    "metadata"  = []
    "ttl"       = []
    "cidr_list" = []
  }
}

# Age and metadata of a key, by its accessor; the secret itself is never returned.
path "auth/${approle}/role/{{identity.entity.metadata.postern_self_tenant}}/secret-id-accessor/lookup" {
  capabilities = ["update"]
}

# Ends a key by its accessor.
path "auth/${approle}/role/{{identity.entity.metadata.postern_self_tenant}}/secret-id-accessor/destroy" {
  capabilities = ["update"]
}

# Which of the tenant's keys are being replaced, and what their owners call them now.
path "${kv}/data/keys/{{identity.entity.metadata.postern_self_tenant}}" {
  capabilities = ["create", "read", "update"]
}

# Answers to requests that may be repeated (Idempotency-Key), encrypted under the request's own key.
path "${kv}/data/state/self/{{identity.entity.metadata.postern_self_tenant}}/+" {
  capabilities = ["create", "read", "update"]
}
