# Meaning only: each module checks its own input, where types and defaults are too (modules/*/variables.tf), so that a module used alone is
# checked as well. Objects are taken as they are written, so that attributes.tf sees what no module knows.

variable "apis" {
  description = <<-EOT
    APIs that tokens are issued for, by name. `source` says who issues: "auth0" (the shared Auth0 application) or "transit"
    (Postern signs with Vault's transit key). `lifetime` is in seconds; unset, it is 86400 for auth0 and 3600 for transit.
    `dialect` is Auth0's token dialect; unset, it is "access_token". `manage = false` is for an API that is in Auth0 already and is to
    stay as it is: Terraform looks at it, refuses where it differs from what is said here, and never changes or removes it.
    With `publish` brokers keep its token fresh in KV for each tenant that is granted it (docs/sidecar.md).
  EOT
  type        = any
  default     = {}
  nullable    = false
}

variable "tenants" {
  description = <<-EOT
    Customers, by tenant id, which is also the name of the AppRole role. `grants` lists what each may ask for; `introspects` names
    APIs that it serves itself, so that it may ask at /oauth/introspect about every tenant's tokens for them. `cidrs` limits where
    a credential may be used from (behind a broker, Vault sees the broker's address unless it forwards the client's).
    `vault_cidrs` limits where the Vault tokens of its logins may be used from: with the brokers' addresses, who logs in at Vault itself with
    its credential can do nothing there (not with POSTERN_FORWARD_CLIENT_ADDRESS, where brokers use them in the client's name).
    `token_ttl` is the life of the Vault token behind one login; `secret_id_ttl` 0 means until revoked; both in seconds.
    `cidrs` and `vault_cidrs` may be spelled in any way, single addresses included; Vault gets them in canonical form.
    `disabled` is for a tenant that is to stay off, at every door within 2 s of an apply; the CLI's `tenant disable` is kept in a
    document that Terraform doesn't manage, so that an apply never turns a tenant on again.
    `retired = true` is the first of two steps to take a tenant out: nothing is issued to it, and the Vault tokens
    of its logins are good for nothing, until that is taken back. Its line can then be taken out, which removes it for good; without the first step that is refused (see `cut_off`).
    `publish` names APIs whose token brokers keep fresh in KV, for a Vault Agent where the plugin can't run (docs/sidecar.md).
    `workloads` maps logins by other auth methods to the tenant, by a name of your choice: the accessor of the auth mount, and the
    name of the alias there (Kubernetes: the service account's UID; JWT: what user_claim says). Their Vault tokens can then be exchanged.
    `limits` says how often it may ask for a token, all its credentials together: `per_second`, `per_minute`, `per_day`, and `burst`, so many
    more than `per_second` in each minute (docs/rate-limits.md).
    `quota` is its part of the tokens that Auth0 counts: `monthly`, new tokens in a month, or `share`, a part of the application's
    (POSTERN_QUOTA_MONTHLY), such as 0.05 (docs/quota.md).
    `self_service` lets the people of its organization make keys of their own: at most `keys_per_user` (10) each and `keys` (1000)
    together, of `max_ttl` (7776000 s, 90 days) at most.
    `assertion_keys` are public keys, PEM, by which the tenant may authenticate with private_key_jwt; `issuer` must be set then.
    `trusts` are workloads known by an OIDC token that they already have, by a name of your choice (docs/keyless.md): `issuer` and
    `audience` as the token has them, `subject` or a `subject_pattern`, further `claims`, and the `scopes` and `cidrs` it is narrowed to.
    `issuers` says of an issuer, by its address, where its keys come from if not from its discovery document: `jwks_url` or `keys` (PEM),
    and `ca_pem`. One without a trust is for operators, who may then write trusts of it by the CLI.
  EOT
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = can(keys(var.tenants))
    error_message = "tenants is a map of customers by tenant id, such as { acme = { grants = [...] } }."
  }

  # Vault knows people by their organization alone.
  validation {
    condition = length(distinct([for tenant in values(var.tenants) : try(tenant.organization, null) if try(tenant.self_service, null) != null])) == length([
      for tenant in values(var.tenants) : tenant if try(tenant.self_service, null) != null
    ])
    error_message = "Two tenants with self_service have one organization: Vault could not tell whose keys its people make."
  }
}

variable "cut_off" {
  description = "Ids of tenants whose lines may be taken out of `tenants` without having been retired first. Empty it after that apply."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "issuer" {
  description = "The broker's public address, with its trailing slash (POSTERN_ISSUER): the audience of clients' assertions. Needed where a tenant has assertion_keys."
  type        = string
  default     = null
}

variable "mounts" {
  description = "Where things are mounted in Vault. The broker and the CLI must be told of a change."
  type        = any
  default     = {}
  nullable    = false
}

variable "transit_key" {
  description = "Name of the transit key that signs tokens of APIs whose source is transit."
  type        = string
  default     = "postern"
  nullable    = false
}

variable "login_rate" {
  description = "Logins a second that Vault lets through to the tenants' AppRole mount (a rate-limit quota); more get 429. Operators' calls don't count."
  type        = number
  default     = 2000
  nullable    = false
}

variable "cached_token_retention" {
  description = "Seconds after which Vault removes a cached token by itself. Longer than any API's tokens live."
  type        = number
  default     = 90000
  nullable    = false
}

variable "broker" {
  description = <<-EOT
    The broker's own AppRole. Its token is renewed until token_max_ttl (seconds) and then logs in anew; `cidrs` limits where its
    credential may be used from.
  EOT
  type        = any
  default     = {}
  nullable    = false
}

variable "broker_kubernetes" {
  description = <<-EOT
    Lets the broker log in by its Kubernetes service account (POSTERN_VAULT_AUTH=kubernetes), at mounts.broker_kubernetes as role "broker";
    null: no such mount. `service_accounts` ("postern" unless told) and `namespaces` say who is the broker; `audience`, where it is
    set, must be one of the token's. `host` is the Kubernetes API as Vault reaches it, `ca_pem` its certificate. A Vault outside of the
    cluster (`vault_in_cluster = false`) reviews a token with that very token: its service account needs system:auth-delegator.
  EOT
  type        = any
  default     = null
}

variable "broker_jwt" {
  description = <<-EOT
    Lets the broker log in by a JWT that its platform writes to a file (POSTERN_VAULT_AUTH=jwt), at mounts.broker_jwt as role "broker"; null:
    no such mount. `issuer` is the token's `iss`; Vault finds the keys by its discovery document, at `jwks_url`, or is given them
    (`public_keys`, PEM). `audiences` (one of them) and `subject` say who is the broker, and `claims` what else a token must say.
  EOT
  type        = any
  default     = null
}

variable "plugin" {
  description = <<-EOT
    The secrets plugin: null leaves it alone. `version` and `sha256` are those that `make plugin` printed; `command` is the name of
    its file in the plugin directory of every node, postern-auth0-VERSION unless told. It is mounted at mounts.plugin; another
    version upgrades the mount in place. Terraform doesn't copy the file, and can't see whether it runs: put it there first.
    Its `apis` and `roles` are written from the variables `apis` (source auth0) and `tenants`, so that both doors know the same. With
    neither `version` nor `sha256` ({}) they are all that is written: the plugin is mounted there by other means. Its `config` holds
    secrets and is written apart (docs/plugin.md).
  EOT
  type        = any
  default     = null
}

variable "audit" {
  description = "Vault's audit device: its type and options, by default a file device that writes to the server's standard output. null: none is made, for a Vault that has one."
  type        = any
  default     = {}
}

variable "oidc" {
  description = <<-EOT
    People's login by OIDC; null: no OIDC mount, unless var.auth0 is set, which fills in what is left out here. `discovery_url` is
    Auth0's issuer, with its trailing slash. `roles_claim` holds the words "operator" and "auditor". ttl and max_ttl in seconds.
  EOT
  type        = any
  default     = null
}

variable "break_glass" {
  description = <<-EOT
    A userpass mount for operators while Auth0 is away; null: none, which is the default. ttl and max_ttl of its logins in seconds, {} for
    15 minutes renewed up to an hour. Users and passwords are written by hand, so that none lies in the state.
  EOT
  type        = any
  default     = null
}

variable "self_service" {
  description = <<-EOT
    With which Auth0 access tokens people make keys of their own (docs/user-keys.md); null: they don't. `issuer` is Auth0's, with its
    trailing slash; Vault finds the keys by its discovery document, or at `jwks_url`. `audience` is the identifier of the Auth0 API that
    stands for the self-service API (POSTERN_SELF_AUDIENCE), which adds permissions to its tokens. `broker_cidrs`: from where alone Vault
    takes such tokens; name the brokers' addresses. A tenant takes part by its own `self_service` and its `organization`.
  EOT
  type        = any
  default     = null
}

variable "admin_api" {
  description = <<-EOT
    Auth0 JWTs that the broker's admin API takes from a back end; null: Vault tokens only. `issuer` is Auth0's, with its trailing slash;
    Vault finds the keys by its discovery document, or at `jwks_url`. `audience` is the identifier of the Auth0 API that stands for
    the admin API (POSTERN_ADMIN_AUDIENCE), which adds permissions to its tokens. A token with one of `write_permissions` becomes an
    operator's at Vault, one with `read_permissions` an auditor's.
  EOT
  type        = any
  default     = null
}

variable "oidc_client_secret" {
  description = <<-EOT
    Client secret of the OIDC application. Vault's OIDC method needs one, and Terraform keeps what it writes in its state.
    Unset, it stays out: the mount and its roles are made all the same, and the method's configuration is written once by hand
    (see README.md).
  EOT
  type        = string
  default     = null
  sensitive   = true
}

variable "auth0" {
  description = <<-EOT
    The Auth0 tenant to set up; null leaves Auth0 alone. Credentials for the Management API come from the environment.
    `binding` says how a token is bound to its tenant: "action" (any plan) or "organization" (B2B plans).
    `manage_trigger` binds the Action to the credentials-exchange trigger and thereby owns the trigger's whole list: turn it off
    where other Actions are bound there, and add this one by hand. `vault_addresses` are origins of Vault's UI, for its login.
    `client_id` is an application that is there already and shall be the shared one, `operators_client_id` one that people log in to Vault
    with: Terraform never looks at, changes or removes them (README.md says what they need). `manage_grants = false` where the shared
    application has its grants (of the APIs) already.
  EOT
  type        = any
  default     = null
}
