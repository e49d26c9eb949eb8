# Terraform's own token: what terraform/ makes under Postern's names, and nothing else of this Vault. Written once, by whoever sets the
# Vault up, before the first apply (docs/production.md):
#
#   vault policy write postern-terraform vault-policies/terraform.hcl
#   vault token create -policy=postern-terraform -ttl=1h
#
# The names are the defaults of the variables `mounts` and `transit_key`; who changes those changes them here. Unlike the other policies
# this one is not a template, and Terraform can't write it: a policy that its own token may change would limit nothing.
#
# What it keeps away: other people's mounts, policies, auth methods and secrets; secret_ids of tenants; cached tokens; the upstream
# credential (though not from somebody who goes about it, see below); seal, raw storage, snapshots, leases, other tokens.
#
# What it can't keep away: WHOEVER HOLDS THIS TOKEN OWNS POSTERN, AND IS NEAR TO ROOT. It writes the text of Postern's policies and says
# who has them, so it can give a login of its own whatever text it likes. Two sections make it so and can be taken out when they aren't
# needed: "policies" once an apply has written them and until an upgrade changes them (replace its capabilities by ["read"]), and
# "identity" where no tenant has workloads, trusts, assertion_keys or self_service. Without both it still owns Postern (it says whose
# OIDC claim makes an operator), but reaches nothing else in Vault. Give the token a short life, to your CI alone; keep the audit log.
#
# `sudo` stands only where Vault demands it: sys/auth/*, sys/audit and the plugin catalogue.

# --- the token itself

# The provider works with a child of this token, which lives for 20 minutes and can have no policy that this one lacks.
path "auth/token/create" {
  capabilities = ["update"]
}

# The provider asks what it was given.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

# A job that is done gives its token back.
path "auth/token/revoke-self" {
  capabilities = ["update"]
}

# --- Vault's lists: what is mounted, what records

# Paths and types of every secrets engine: Terraform looks its own up there, and sees the others' names.
path "sys/mounts" {
  capabilities = ["read"]
}

# Vault or OpenBao: every mount names what runs it.
path "sys/mounts/cubbyhole" {
  capabilities = ["read"]
}

# Paths, types and accessors of every auth method.
path "sys/auth" {
  capabilities = ["read"]
}

# Every audit device and its options.
path "sys/audit" {
  capabilities = ["read", "sudo"]
}

# --- audit: var.audit

# One device by that name. Vault's own process writes the file that its options name: leave this out where Vault has a device
# already, and set audit = null.
path "sys/audit/postern" {
  capabilities = ["update", "delete", "sudo"]
}

# --- secrets engines

# APIs, tenants, what operators announce.
path "sys/mounts/postern" {
  capabilities = ["read", "update", "delete"]
  allowed_parameters = {
    "type" = ["kv"]
    "*"    = []
  }
}

path "sys/mounts/postern/tune" {
  capabilities = ["read", "update"]
}

# Cached tokens.
path "sys/mounts/postern-tokens" {
  capabilities = ["read", "update", "delete"]
  allowed_parameters = {
    "type" = ["kv"]
    "*"    = []
  }
}

path "sys/mounts/postern-tokens/tune" {
  capabilities = ["read", "update"]
}

# Used assertions.
path "sys/mounts/postern-replay" {
  capabilities = ["read", "update", "delete"]
  allowed_parameters = {
    "type" = ["kv"]
    "*"    = []
  }
}

path "sys/mounts/postern-replay/tune" {
  capabilities = ["read", "update"]
}

# The signing key.
path "sys/mounts/transit" {
  capabilities = ["read", "update", "delete"]
  allowed_parameters = {
    "type" = ["transit"]
    "*"    = []
  }
}

path "sys/mounts/transit/tune" {
  capabilities = ["read", "update"]
}

# The secrets plugin: var.plugin.
path "sys/mounts/auth0" {
  capabilities = ["read", "update", "delete"]
  allowed_parameters = {
    "type" = ["postern-auth0"]
    "*"    = []
  }
}

path "sys/mounts/auth0/tune" {
  capabilities = ["read", "update"]
}

# How long cached tokens are kept, and that used assertions are written with check-and-set.
path "postern-tokens/config" {
  capabilities = ["read", "update"]
}

path "postern-replay/config" {
  capabilities = ["read", "update"]
}

# --- auth methods

# Tenants.
path "sys/auth/approle" {
  capabilities = ["read", "update", "delete", "sudo"]
  allowed_parameters = {
    "type" = ["approle"]
    "*"    = []
  }
}

path "sys/mounts/auth/approle/tune" {
  capabilities = ["read", "update"]
}

# The broker.
path "sys/auth/approle-broker" {
  capabilities = ["read", "update", "delete", "sudo"]
  allowed_parameters = {
    "type" = ["approle"]
    "*"    = []
  }
}

path "sys/mounts/auth/approle-broker/tune" {
  capabilities = ["read", "update"]
}

# The broker by its service account: var.broker_kubernetes.
path "sys/auth/kubernetes-broker" {
  capabilities = ["read", "update", "delete", "sudo"]
  allowed_parameters = {
    "type" = ["kubernetes"]
    "*"    = []
  }
}

path "sys/mounts/auth/kubernetes-broker/tune" {
  capabilities = ["read", "update"]
}

# The broker by its platform's JWT: var.broker_jwt.
path "sys/auth/jwt-broker" {
  capabilities = ["read", "update", "delete", "sudo"]
  allowed_parameters = {
    "type" = ["jwt"]
    "*"    = []
  }
}

path "sys/mounts/auth/jwt-broker/tune" {
  capabilities = ["read", "update"]
}

# People: var.oidc.
path "sys/auth/oidc" {
  capabilities = ["read", "update", "delete", "sudo"]
  allowed_parameters = {
    "type" = ["oidc"]
    "*"    = []
  }
}

path "sys/mounts/auth/oidc/tune" {
  capabilities = ["read", "update"]
}

# Break-glass: var.break_glass. Its users are not Terraform's.
path "sys/auth/userpass" {
  capabilities = ["read", "update", "delete", "sudo"]
  allowed_parameters = {
    "type" = ["userpass"]
    "*"    = []
  }
}

path "sys/mounts/auth/userpass/tune" {
  capabilities = ["read", "update"]
}

# Back ends that call the admin API: var.admin_api.
path "sys/auth/postern-admin" {
  capabilities = ["read", "update", "delete", "sudo"]
  allowed_parameters = {
    "type" = ["jwt"]
    "*"    = []
  }
}

path "sys/mounts/auth/postern-admin/tune" {
  capabilities = ["read", "update"]
}

# People who make keys of their own: var.self_service.
path "sys/auth/postern-self" {
  capabilities = ["read", "update", "delete", "sudo"]
  allowed_parameters = {
    "type" = ["jwt"]
    "*"    = []
  }
}

path "sys/mounts/auth/postern-self/tune" {
  capabilities = ["read", "update"]
}

# One for each tenant with assertion_keys.
path "sys/auth/postern-assertion/+" {
  capabilities = ["read", "update", "delete", "sudo"]
  allowed_parameters = {
    "type" = ["jwt"]
    "*"    = []
  }
}

path "sys/mounts/auth/postern-assertion/+/tune" {
  capabilities = ["read", "update"]
}

# One for each issuer that a tenant trusts.
path "sys/auth/postern-trust/+/+" {
  capabilities = ["read", "update", "delete", "sudo"]
  allowed_parameters = {
    "type" = ["jwt"]
    "*"    = []
  }
}

path "sys/mounts/auth/postern-trust/+/+/tune" {
  capabilities = ["read", "update"]
}

# Lockout off, batch tokens only, and how long a secret_id may live.
path "sys/auth/approle/tune" {
  capabilities = ["update", "sudo"]
}

path "sys/auth/approle-broker/tune" {
  capabilities = ["update", "sudo"]
}

# Tenants' logins a second: var.login_rate.
path "sys/quotas/rate-limit/postern-approle" {
  capabilities = ["read", "update", "delete"]
}

# --- roles: who logs in, and which of Postern's policies that gives. Not one of them can be given another policy.

# A tenant. Its sub-paths, but for the two below, are not granted: no secret_id can be made or looked up.
path "auth/approle/role/+" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "token_policies" = ["postern-tenant", ["postern-tenant"]]
    "policies"       = ["postern-tenant", ["postern-tenant"]]
    "*"              = []
  }
}

# The public half of its credential.
path "auth/approle/role/+/role-id" {
  capabilities = ["read"]
}

# vault_cidrs.
path "auth/approle/role/+/token-bound-cidrs" {
  capabilities = ["read", "update", "delete"]
}

# The broker, by any of three ways. Its secret_id is made by an administrator, not with this token.
path "auth/approle-broker/role/broker" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "token_policies" = ["postern-broker", ["postern-broker"]]
    "policies"       = ["postern-broker", ["postern-broker"]]
    "*"              = []
  }
}

path "auth/approle-broker/role/broker/role-id" {
  capabilities = ["read"]
}

path "auth/kubernetes-broker/config" {
  capabilities = ["read", "update"]
}

path "auth/kubernetes-broker/role/broker" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "token_policies" = ["postern-broker", ["postern-broker"]]
    "policies"       = ["postern-broker", ["postern-broker"]]
    "*"              = []
  }
}

path "auth/jwt-broker/config" {
  capabilities = ["read", "update"]
}

path "auth/jwt-broker/role/broker" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "token_policies" = ["postern-broker", ["postern-broker"]]
    "policies"       = ["postern-broker", ["postern-broker"]]
    "*"              = []
  }
}

# People. Whose discovery document counts, and which claim makes an operator.
path "auth/oidc/config" {
  capabilities = ["read", "update"]
}

path "auth/oidc/role/operator" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "token_policies" = ["postern-operator", ["postern-operator"]]
    "policies"       = ["postern-operator", ["postern-operator"]]
    "*"              = []
  }
}

path "auth/oidc/role/auditor" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "token_policies" = ["postern-auditor", ["postern-auditor"]]
    "policies"       = ["postern-auditor", ["postern-auditor"]]
    "*"              = []
  }
}

# Back ends that call the admin API.
path "auth/postern-admin/config" {
  capabilities = ["read", "update"]
}

path "auth/postern-admin/role/write" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "token_policies" = ["postern-operator", ["postern-operator"]]
    "policies"       = ["postern-operator", ["postern-operator"]]
    "*"              = []
  }
}

path "auth/postern-admin/role/read" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "token_policies" = ["postern-auditor", ["postern-auditor"]]
    "policies"       = ["postern-auditor", ["postern-auditor"]]
    "*"              = []
  }
}

# People who make keys of their own.
path "auth/postern-self/config" {
  capabilities = ["read", "update"]
}

path "auth/postern-self/role/self" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "token_policies" = ["postern-self", ["postern-self"]]
    "policies"       = ["postern-self", ["postern-self"]]
    "*"              = []
  }
}

# Assertions and trusts: what such a login may do comes with its entity, so the role names no policy at all.
path "auth/postern-assertion/+/config" {
  capabilities = ["read", "update"]
}

path "auth/postern-assertion/+/role/+" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "token_policies" = [[]]
    "policies"       = [[]]
    "*"              = []
  }
}

path "auth/postern-trust/+/+/config" {
  capabilities = ["read", "update"]
}

path "auth/postern-trust/+/+/role/+" {
  capabilities = ["create", "read", "update", "delete"]
  allowed_parameters = {
    "token_policies" = [[]]
    "policies"       = [[]]
    "*"              = []
  }
}

# --- identity: whose a workload is. NEAR TO ROOT: an alias can be put on anybody's entity, and who then logs in by it is that entity.

# Under Postern's names and with the workloads' policy only. An entity can't be found by its name here, only by its id.
path "identity/entity" {
  capabilities = ["update"]
  allowed_parameters = {
    "name"     = ["postern.*", "postern-self.*"]
    "policies" = ["postern-workload", ["postern-workload"], []]
    "metadata" = []
  }
}

# Vault lets a policy see the id only, which is random.
path "identity/entity/id/+" {
  capabilities = ["read", "update", "delete"]
  allowed_parameters = {
    "name"     = ["postern.*", "postern-self.*"]
    "policies" = ["postern-workload", ["postern-workload"], []]
    "*"        = []
  }
}

path "identity/entity-alias" {
  capabilities = ["update"]
}

path "identity/entity-alias/id/+" {
  capabilities = ["read", "update", "delete"]
}

# --- documents

# APIs: Terraform's alone.
path "postern/data/apis/+" {
  capabilities = ["create", "read", "update"]
}

path "postern/metadata/apis/+" {
  capabilities = ["delete"]
}

# Tenants' grants.
path "postern/data/tenants/+" {
  capabilities = ["create", "read", "update"]
}

path "postern/metadata/tenants/+" {
  capabilities = ["delete"]
}

# What brokers keep fresh in KV of it.
path "postern/data/publications/+" {
  capabilities = ["create", "read", "update"]
}

path "postern/metadata/publications/+" {
  capabilities = ["delete"]
}

# Registered public keys: Terraform's alone.
path "postern/data/assertions/+" {
  capabilities = ["create", "read", "update"]
}

path "postern/metadata/assertions/+" {
  capabilities = ["delete"]
}

# Trusts in other issuers, and where the broker finds them.
path "postern/data/trusts/+/+" {
  capabilities = ["create", "read", "update"]
}

path "postern/metadata/trusts/+/+" {
  capabilities = ["delete"]
}

path "postern/data/trust-index/+/+" {
  capabilities = ["create", "read", "update"]
}

path "postern/metadata/trust-index/+/+" {
  capabilities = ["delete"]
}

# What brokers look at each second. Of state/ this and the next only.
path "postern/data/state/catalog" {
  capabilities = ["create", "read", "update"]
}

path "postern/metadata/state/catalog" {
  capabilities = ["delete"]
}

# Which tenants the last apply made: without it, none is taken out before it was retired.
path "postern/data/state/terraform" {
  capabilities = ["create", "read", "update"]
}

path "postern/metadata/state/terraform" {
  capabilities = ["delete"]
}

# --- signing key

# Made, looked at, and removed by a destroy. It is not exportable, and Vault makes no key exportable later but by the next path.
path "transit/keys/postern" {
  capabilities = ["read", "update", "delete"]
}

# So that a destroy can remove it.
path "transit/keys/postern/config" {
  capabilities = ["update"]
  allowed_parameters = {
    "deletion_allowed"       = [true, "true"]
    "exportable"             = [false, "false"]
    "allow_plaintext_backup" = [false, "false"]
    "*"                      = []
  }
}

# --- the secrets plugin: var.plugin

# Vault runs this file of its plugin directory as a program: the name must begin as `make plugin` names it, and neither arguments nor
# another environment can be given.
path "sys/plugins/catalog/secret/postern-auth0" {
  capabilities = ["update", "sudo"]
  allowed_parameters = {
    "version" = []
    "sha256"  = []
    "command" = ["postern-auth0*"]
    "env"     = ["MALLOC_ARENA_MAX=1", ["MALLOC_ARENA_MAX=1"]]
  }
}

# An upgrade takes effect by it.
path "sys/plugins/reload/backend" {
  capabilities = ["update"]
  allowed_parameters = {
    "mounts" = ["auth0/", ["auth0/"]]
  }
}

# What roles can grant.
path "auth0/apis/+" {
  capabilities = ["create", "read", "update", "delete"]
}

# What a tenant may have there. Not creds/ and not tokens/: those are tokens. Not config: that is a secret.
path "auth0/roles/+" {
  capabilities = ["create", "read", "update", "delete"]
}

# --- policies. NEAR TO ROOT: see above.

path "sys/policies/acl/postern-tenant" {
  capabilities = ["read", "update", "delete"]
}

path "sys/policies/acl/postern-workload" {
  capabilities = ["read", "update", "delete"]
}

path "sys/policies/acl/postern-broker" {
  capabilities = ["read", "update", "delete"]
}

path "sys/policies/acl/postern-operator" {
  capabilities = ["read", "update", "delete"]
}

path "sys/policies/acl/postern-auditor" {
  capabilities = ["read", "update", "delete"]
}

path "sys/policies/acl/postern-self" {
  capabilities = ["read", "update", "delete"]
}
