# For a tenant's workloads that log in by another way than its AppRole: Kubernetes, JWT, userpass, its own key
# (RFC 7523). Terraform makes their Vault entities, writes the tenant's name into the metadata and attaches this
# policy to the entity; nobody else of Postern's may write under identity/. The same as the tenants' policy, by that name. Vault
# leaves the templated paths out for an entity without it.

# Who it is: the broker asks with the workload's own token, at each exchange.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

# Its own entity, which names the tenant.
path "identity/entity/id/{{identity.entity.id}}" {
  capabilities = ["read"]
}

# Its tenant's grants, organization and claims.
path "${kv}/data/tenants/{{identity.entity.metadata.postern_tenant}}" {
  capabilities = ["read"]
}

# Its tenant's access token by the secrets plugin, where that is mounted.
path "${plugin}/creds/{{identity.entity.metadata.postern_tenant}}" {
  capabilities = ["read"]
}

# Its tenant's cached access tokens in the secrets plugin, where brokers share them there.
path "${plugin}/tokens/{{identity.entity.metadata.postern_tenant}}/*" {
  capabilities = ["read"]
}

# Its tenant's cached access tokens.
path "${tokens}/data/{{identity.entity.metadata.postern_tenant}}/*" {
  capabilities = ["read"]
}
