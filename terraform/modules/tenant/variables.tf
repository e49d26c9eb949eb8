variable "tenant" {
  description = "One customer. See the root module's `tenants` for what each attribute means."
  type = object({
    id                 = string
    grants             = optional(list(object({ api = string, scopes = optional(list(string), []) })), [])
    default_api        = optional(string)
    introspects        = optional(list(string), [])
    publish            = optional(list(string), [])
    organization       = optional(string)
    claims             = optional(map(string), {})
    disabled           = optional(bool, false)
    retired            = optional(bool, false)
    cidrs              = optional(list(string), [])
    vault_cidrs        = optional(list(string), [])
    token_ttl          = optional(number, 300)
    secret_id_ttl      = optional(number, 0)
    secret_id_num_uses = optional(number, 0)
    workloads          = optional(map(object({ accessor = string, alias = string })), {})
    assertion_keys     = optional(list(object({ pem = string, kid = optional(string) })), [])
    trusts = optional(map(object({
      issuer          = string
      audience        = string
      subject         = optional(string)
      subject_pattern = optional(string)
      claims          = optional(map(string), {})
      scopes          = optional(list(string))
      cidrs           = optional(list(string), [])
    })), {})
    issuers = optional(map(object({
      jwks_url = optional(string)
      ca_pem   = optional(string)
      keys     = optional(list(string))
    })), {})
    limits       = optional(object({ per_second = optional(number), per_minute = optional(number), per_day = optional(number), burst = optional(number) }))
    quota        = optional(object({ monthly = optional(number), share = optional(number) }))
    self_service = optional(object({ max_ttl = optional(number, 7776000), keys_per_user = optional(number, 10), keys = optional(number, 1000) }))
  })
  nullable = false

  # The id becomes part of Vault paths and of policies, so nothing that a path or a policy could read differently is let in.
  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.tenant.id))
    error_message = "${jsonencode(var.tenant.id)} can't be a tenant's id: it is 1 to 63 lower-case letters, digits and hyphens, and starts and ends with a letter or digit."
  }

  # Words that a log line or a policy name would make look like one of Postern's own identities.
  validation {
    condition     = !contains(["auditor", "broker", "default", "operator", "postern", "root"], var.tenant.id)
    error_message = "\"${var.tenant.id}\" is a reserved word and can't be a tenant's id (nor can auditor, broker, default, operator, postern, root)."
  }

  validation {
    condition     = length(distinct(var.tenant.grants[*].api)) == length(var.tenant.grants)
    error_message = "Tenant ${var.tenant.id} has two grants for one API: put their scopes into one grant."
  }

  validation {
    condition     = var.tenant.default_api == null ? true : contains(var.tenant.grants[*].api, var.tenant.default_api)
    error_message = "Tenant ${var.tenant.id} has a default_api that it has no grant for."
  }

  validation {
    condition     = var.tenant.organization == null ? true : can(regex("^org_[A-Za-z0-9]+$", var.tenant.organization))
    error_message = "Tenant ${var.tenant.id}: organization is an Auth0 organization id, such as org_abc123."
  }

  validation {
    condition     = length(setsubtract(var.tenant.publish, var.tenant.grants[*].api)) == 0
    error_message = "Tenant ${var.tenant.id} publishes an API that it has no grant for."
  }

  validation {
    condition     = var.tenant.self_service == null || var.tenant.organization != null
    error_message = "Tenant ${var.tenant.id}: self_service needs the tenant's organization, by which Vault knows its people."
  }

  validation {
    condition     = var.tenant.self_service == null ? true : (var.tenant.self_service.max_ttl >= 60 && var.tenant.self_service.max_ttl <= 31536000 && var.tenant.self_service.keys_per_user >= 1 && var.tenant.self_service.keys_per_user <= 1000 && var.tenant.self_service.keys >= 1 && var.tenant.self_service.keys <= 10000)
    error_message = "Tenant ${var.tenant.id}: self_service has a max_ttl of 60 to 31536000 seconds, 1 to 1000 keys_per_user and 1 to 10000 keys."
  }

  validation {
    condition     = var.tenant.limits == null ? true : alltrue([for quota in values(var.tenant.limits) : quota == null ? true : (quota >= 1 && quota <= 1000000000 && floor(quota) == quota)])
    error_message = "Tenant ${var.tenant.id}: limits are whole numbers of requests, 1 at least: per_second, per_minute, per_day and burst."
  }

  validation {
    condition     = try(var.tenant.quota.monthly, null) == null || try(var.tenant.quota.share, null) == null
    error_message = "Tenant ${var.tenant.id}: quota has either monthly (new tokens of Auth0 in a month) or share (of the application's)."
  }

  validation {
    condition     = try(var.tenant.quota.monthly, null) == null ? true : (var.tenant.quota.monthly >= 0 && var.tenant.quota.monthly <= 1000000000 && floor(var.tenant.quota.monthly) == var.tenant.quota.monthly)
    error_message = "Tenant ${var.tenant.id}: quota.monthly is a whole number of tokens, 0 to 1000000000."
  }

  validation {
    condition     = try(var.tenant.quota.share, null) == null ? true : (var.tenant.quota.share > 0 && var.tenant.quota.share <= 1)
    error_message = "Tenant ${var.tenant.id}: quota.share is above 0 and at most 1, such as 0.05."
  }

  validation {
    condition     = var.tenant.limits == null ? true : (var.tenant.limits.burst == null || var.tenant.limits.per_second != null)
    error_message = "Tenant ${var.tenant.id}: limits.burst is what may go beyond limits.per_second, which is not there."
  }

  # Auth0 drops claims whose names collide with its own, silently; a URI never collides.
  validation {
    condition     = alltrue([for claim in keys(var.tenant.claims) : can(regex("^https?://[^\\s]+$", claim))])
    error_message = "Tenant ${var.tenant.id}: a claim's name is a namespaced URI, such as https://postern.dev/plan."
  }

  validation {
    condition     = !contains(keys(var.tenant.claims), "https://postern.dev/tenant")
    error_message = "Tenant ${var.tenant.id}: the claim https://postern.dev/tenant binds a token to its tenant and can't be set by hand."
  }

  validation {
    condition = alltrue([
      for cidr in var.tenant.cidrs : can(cidrhost(can(regex("/", cidr)) ? cidr : "${cidr}/${can(regex(":", cidr)) ? 128 : 32}", 0)) && !can(regex("(^|[.:/])0[0-9]+([./]|$)", cidr))
    ])
    error_message = "Tenant ${var.tenant.id}: cidrs are blocks of addresses, such as 203.0.113.0/24 or 2001:db8::/32, or single addresses."
  }

  validation {
    condition = alltrue([
      for cidr in var.tenant.vault_cidrs : can(cidrhost(can(regex("/", cidr)) ? cidr : "${cidr}/${can(regex(":", cidr)) ? 128 : 32}", 0)) && !can(regex("(^|[.:/])0[0-9]+([./]|$)", cidr))
    ])
    error_message = "Tenant ${var.tenant.id}: vault_cidrs are blocks of addresses, such as 10.20.0.0/16 or 2001:db8::/32, or single addresses."
  }

  # A batch token can't be revoked, so it must end soon by itself.
  validation {
    condition     = var.tenant.token_ttl >= 30 && var.tenant.token_ttl <= 3600 && floor(var.tenant.token_ttl) == var.tenant.token_ttl
    error_message = "Tenant ${var.tenant.id}: token_ttl is a whole number of seconds from 30 to 3600."
  }

  validation {
    condition     = (var.tenant.secret_id_ttl == 0 || var.tenant.secret_id_ttl >= 60 && var.tenant.secret_id_ttl <= 31536000) && floor(var.tenant.secret_id_ttl) == var.tenant.secret_id_ttl
    error_message = "Tenant ${var.tenant.id}: secret_id_ttl is 0 (until revoked) or a whole number of seconds from 60 to 31536000, one year."
  }

  validation {
    condition     = var.tenant.secret_id_num_uses >= 0 && floor(var.tenant.secret_id_num_uses) == var.tenant.secret_id_num_uses
    error_message = "Tenant ${var.tenant.id}: secret_id_num_uses is 0 (no limit) or a whole number of logins."
  }

  validation {
    condition     = alltrue([for name in keys(var.tenant.workloads) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))])
    error_message = "Tenant ${var.tenant.id}: a workload's name is 1 to 63 lower-case letters, digits and hyphens, and starts and ends with a letter or digit."
  }

  validation {
    condition     = alltrue([for workload in values(var.tenant.workloads) : can(regex("^auth_[a-z0-9_-]+$", workload.accessor)) && can(regex("^[^\\s]{1,512}$", workload.alias))])
    error_message = "Tenant ${var.tenant.id}: a workload has the accessor of an auth mount, such as auth_kubernetes_1a2b3c4d (`vault auth list`), and the name of an alias on it."
  }

  validation {
    condition     = length(distinct([for workload in values(var.tenant.workloads) : "${workload.accessor} ${workload.alias}"])) == length(var.tenant.workloads)
    error_message = "Tenant ${var.tenant.id} has two workloads with the same alias."
  }

  # The list is in a request's way: each key without a kid may be tried.
  validation {
    condition     = length(var.tenant.assertion_keys) <= 10
    error_message = "Tenant ${var.tenant.id} has more than 10 assertion_keys."
  }

  validation {
    condition     = alltrue([for key in var.tenant.assertion_keys : !can(regex("-----BEGIN [A-Z ]*PRIVATE KEY-----", key.pem))])
    error_message = "Tenant ${var.tenant.id}: assertion_keys are public keys in PEM. A private key belongs to the tenant alone, and must not lie in Terraform's state."
  }

  # Text around it and any line ends are fine (RFC 7468): assertion.tf passes on the block alone.
  validation {
    condition     = alltrue([for key in var.tenant.assertion_keys : length(regexall("-----BEGIN [A-Z ]*KEY-----", key.pem)) == 1])
    error_message = "Tenant ${var.tenant.id}: each of assertion_keys holds one public key in PEM (-----BEGIN PUBLIC KEY-----)."
  }

  validation {
    condition     = alltrue([for key in var.tenant.assertion_keys : key.kid == null ? true : length(key.kid) > 0 && length(key.kid) <= 255])
    error_message = "Tenant ${var.tenant.id}: a kid has 1 to 255 characters."
  }

  validation {
    condition     = alltrue([for name in keys(var.tenant.trusts) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))]) && length(var.tenant.trusts) <= 50
    error_message = "Tenant ${var.tenant.id}: at most 50 trusts, each named by 1 to 63 lower-case letters, digits and hyphens."
  }

  # Compared letter by letter, so each has one spelling.
  validation {
    condition = alltrue([
      for issuer in concat(keys(var.tenant.issuers), [for trust in values(var.tenant.trusts) : trust.issuer]) :
      can(regex("^https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&'()+,;=:@-]+)*/?$", issuer)) && !can(regex(":443(/|$)|/[.]{1,2}(/|$)", issuer))
    ])
    error_message = "Tenant ${var.tenant.id}: an issuer is an https address as its tokens spell it in iss, without user name, query, fragment or escapes, such as https://token.actions.githubusercontent.com."
  }

  validation {
    condition     = alltrue([for trust in values(var.tenant.trusts) : (trust.subject == null) != (trust.subject_pattern == null)])
    error_message = "Tenant ${var.tenant.id}: a trust has either subject, which is exact, or subject_pattern."
  }

  validation {
    condition = alltrue([
      for trust in values(var.tenant.trusts) : alltrue([
        for text in concat([trust.audience, coalesce(trust.subject, "-")], values(trust.claims)) : can(regex("^[!-)+-~]+$", text)) && length(text) <= 1024
      ])
    ])
    error_message = "Tenant ${var.tenant.id}: a trust's audience, subject and claims are exact: 1 to 1024 visible ASCII characters without *."
  }

  validation {
    condition     = alltrue([for trust in values(var.tenant.trusts) : length(setintersection(keys(trust.claims), ["iss", "aud", "sub", "exp", "nbf", "iat"])) == 0])
    error_message = "Tenant ${var.tenant.id}: a trust's claims can't name iss, aud, sub, exp, nbf or iat: those have a place of their own."
  }

  # As `postern trust add` and the broker read it: see docs/keyless.md.
  validation {
    condition = alltrue([
      for trust in values(var.tenant.trusts) : trust.subject_pattern == null ? true :
      can(regex("^([!-)+-.0-9;-~]*[:/])*([*]|[*][*])?([:/][!-)+-.0-9;-~*]*)*$", trust.subject_pattern)) &&
      can(regex("[*]", trust.subject_pattern)) &&
      can(regex("^[:/]*[!-)+-.0-9;-~]+[:/]+[!-)+-.0-9;-~]+[:/]", trust.subject_pattern)) &&
      !can(regex("[^:/*][*]|[*][^:/*]|[*][*][*]|[*][*].|[:/]$", trust.subject_pattern))
    ])
    error_message = "Tenant ${var.tenant.id}: in a subject_pattern a * stands for one whole segment between : and /, ** at the end for one or more; two segments come before the first, such as repo:acme/*:ref:refs/heads/main."
  }

  validation {
    condition     = alltrue([for trust in values(var.tenant.trusts) : trust.scopes == null ? true : length(trust.scopes) > 0])
    error_message = "Tenant ${var.tenant.id}: a trust's scopes are left out (all that is granted) or name at least one."
  }

  validation {
    condition = alltrue([
      for cidr in flatten([for trust in values(var.tenant.trusts) : trust.cidrs]) : can(cidrhost(can(regex("/", cidr)) ? cidr : "${cidr}/${can(regex(":", cidr)) ? 128 : 32}", 0)) && !can(regex("(^|[.:/])0[0-9]+([./]|$)", cidr))
    ])
    error_message = "Tenant ${var.tenant.id}: a trust's cidrs are blocks of addresses, such as 203.0.113.0/24, or single addresses."
  }

  validation {
    condition = alltrue([
      for issuer in values(var.tenant.issuers) : (issuer.jwks_url == null || issuer.keys == null) &&
      (issuer.jwks_url == null ? true : can(regex("^https://[^\\s@]+$", issuer.jwks_url))) &&
      (issuer.keys == null ? true : length(issuer.keys) > 0 && length(issuer.keys) <= 10 && alltrue([for key in issuer.keys : can(regex("^\\s*-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----\\s*$", key))]))
    ])
    error_message = "Tenant ${var.tenant.id}: issuers have a jwks_url (https) or 1 to 10 keys (PEM, public), not both."
  }
}

variable "self_accessor" {
  description = "Accessor of the mount at which people log in: module vault's output `self_accessor`. null: they don't."
  type        = string
  default     = null
}

variable "apis" {
  description = "The APIs that there are, by name, with their scopes: module vault's output `apis`."
  type        = map(object({ scopes = list(string), source = optional(string), publish = optional(bool, false) }))
  nullable    = false
}

variable "plugin" {
  description = "Path of the secrets plugin's mount, where it gets a role for the tenant: module vault's output `plugin`. null: it gets none."
  type        = string
  default     = null
}

variable "mounts" {
  description = "Paths of the tenants' AppRole mount, of the assertion and trust mounts and of the KV mount: module vault's output `mounts`."
  type        = object({ approle = string, assertion = string, trust = string, kv = string })
  nullable    = false
}

variable "policy" {
  description = "Name of the tenants' policy: module vault's output `policies.tenant`."
  type        = string
  nullable    = false
}

variable "workload_policy" {
  description = "Name of the policy of workloads that log in by other ways: module vault's output `policies.workload`."
  type        = string
  nullable    = false
}

variable "issuer" {
  description = "The broker's public address with its trailing slash; needed for assertion_keys."
  type        = string
  default     = null

  validation {
    condition     = var.issuer == null ? true : can(regex("^https?://[^\\s?#]+/$", var.issuer))
    error_message = "issuer is the broker's address with its trailing slash, such as https://tokens.example.com/."
  }
}
