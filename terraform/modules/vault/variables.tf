variable "apis" {
  description = "APIs that tokens are issued for, by name. See the root module."
  type = map(object({
    audience = string
    source   = string
    scopes   = optional(list(string), [])
    lifetime = optional(number)
    dialect  = optional(string, "access_token")
    manage   = optional(bool, true)
    publish  = optional(bool, false)
  }))
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.apis) : can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", name))])
    error_message = "An API's name is 1 to 63 lower-case letters, digits and hyphens, and starts and ends with a letter or digit. Given: ${join(", ", keys(var.apis))}."
  }

  validation {
    condition     = alltrue([for api in values(var.apis) : can(regex("^[a-zA-Z][a-zA-Z0-9+.-]*:[^\\s#]+$", api.audience))])
    error_message = "An API's audience is an absolute URI without spaces or fragment, such as https://orders.example.com. Given: ${join(", ", values(var.apis)[*].audience)}."
  }

  # Spelled in one way only, so that the next check can't be passed by another spelling.
  validation {
    condition = alltrue([
      for api in values(var.apis) : can(regex("^[!-~]+$", api.audience)) && !can(regex("[\\\\]|^[^?]*(%|[^:/]//|:///|/[.]{1,2}(/|$)|^[^/]*//[^/]*@)", api.audience))
    ])
    error_message = "An API's audience is written in printable ASCII, without percent-encoding, backslash, user name, empty or dot segments in its address. Given: ${join(", ", values(var.apis)[*].audience)}."
  }

  # A token for one of these would administer the Auth0 tenant. Any host with that path may be a custom domain of it.
  validation {
    condition = alltrue([
      for api in values(var.apis) : !can(regex("^[a-z][a-z0-9+.-]*:/*([^/?#]*[.])?auth0(app)?[.]com[.]?(:[0-9]*)?([/?#]|$)|^[a-z][a-z0-9+.-]*:/*[^/?#]*/api/v2/?([?#;]|$)|^urn:auth0", lower(api.audience)))
    ])
    error_message = "An API's audience can't be that of Auth0's Management API: any host of auth0.com, or the path /api/v2 on any host. Given: ${join(", ", values(var.apis)[*].audience)}."
  }

  validation {
    condition     = length(distinct(values(var.apis)[*].audience)) == length(var.apis)
    error_message = "Two APIs have the same audience. A token is asked for by its audience, so each needs its own."
  }

  validation {
    condition     = alltrue([for api in values(var.apis) : contains(["auth0", "transit"], api.source)])
    error_message = "An API's source is auth0 or transit. Given: ${join(", ", distinct(values(var.apis)[*].source))}."
  }

  validation {
    condition     = alltrue([for api in values(var.apis) : api.manage || api.source == "auth0"])
    error_message = "manage = false is for an API that is in Auth0 already: its source is auth0."
  }

  # RFC 6749, section 3.3.
  validation {
    condition     = alltrue([for scope in flatten(values(var.apis)[*].scopes) : can(regex("^[\\x21\\x23-\\x5b\\x5d-\\x7e]{1,280}$", scope))])
    error_message = "A scope is 1 to 280 printable ASCII characters without space, quote or backslash."
  }

  validation {
    condition     = alltrue([for api in values(var.apis) : api.lifetime == null ? true : api.lifetime >= 60 && api.lifetime <= 2592000 && floor(api.lifetime) == api.lifetime])
    error_message = "An API's lifetime is a whole number of seconds from 60 to 2592000, Auth0's limit of 30 days."
  }

  validation {
    condition     = alltrue([for api in values(var.apis) : contains(["access_token", "access_token_authz", "rfc9068_profile", "rfc9068_profile_authz"], api.dialect)])
    error_message = "An API's dialect is access_token, access_token_authz, rfc9068_profile or rfc9068_profile_authz."
  }
}

variable "mounts" {
  description = "Where things are mounted."
  type = object({
    approle           = optional(string, "approle")
    broker_approle    = optional(string, "approle-broker")
    broker_kubernetes = optional(string, "kubernetes-broker")
    broker_jwt        = optional(string, "jwt-broker")
    oidc              = optional(string, "oidc")
    userpass          = optional(string, "userpass")
    admin             = optional(string, "postern-admin")
    self              = optional(string, "postern-self")
    assertion         = optional(string, "postern-assertion")
    trust             = optional(string, "postern-trust")
    kv                = optional(string, "postern")
    tokens            = optional(string, "postern-tokens")
    replay            = optional(string, "postern-replay")
    transit           = optional(string, "transit")
    plugin            = optional(string, "auth0")
  })
  nullable = false

  validation {
    condition     = alltrue([for path in values(var.mounts) : can(regex("^[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*$", path))])
    error_message = "A mount's path is lower-case letters, digits, hyphens and underscores, in segments parted by a slash, with no slash at either end."
  }

  # One AppRole mount for both would let an operator, who manages tenants' roles, issue the broker's credential.
  validation {
    condition     = length(distinct([var.mounts.approle, var.mounts.broker_approle, var.mounts.broker_kubernetes, var.mounts.broker_jwt, var.mounts.oidc, var.mounts.userpass, var.mounts.admin, var.mounts.self, var.mounts.assertion, var.mounts.trust])) == 10
    error_message = "The auth methods (approle, broker_approle, broker_kubernetes, broker_jwt, oidc, userpass, admin, self, assertion, trust) each need a mount path of their own."
  }

  validation {
    condition     = length(distinct([var.mounts.kv, var.mounts.tokens, var.mounts.replay, var.mounts.transit, var.mounts.plugin])) == 5
    error_message = "The secrets engines (kv, tokens, replay, transit, plugin) each need a mount path of their own."
  }
}

variable "transit_key" {
  description = "Name of the signing key."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.transit_key))
    error_message = "transit_key is 1 to 63 lower-case letters, digits and hyphens, and starts and ends with a letter or digit."
  }
}

variable "login_rate" {
  description = "Logins a second that the tenants' AppRole mount lets through."
  type        = number
  nullable    = false

  validation {
    condition     = var.login_rate > 0
    error_message = "login_rate is a positive number of requests a second."
  }
}

variable "cached_token_retention" {
  description = "Seconds after which Vault removes a cached token."
  type        = number
  nullable    = false

  validation {
    condition     = var.cached_token_retention > 0 && floor(var.cached_token_retention) == var.cached_token_retention
    error_message = "cached_token_retention is a whole number of seconds."
  }
}

variable "broker" {
  description = "The broker's own AppRole; times in seconds, 0 for secret_id_ttl and secret_id_num_uses means no limit."
  type = object({
    token_ttl          = optional(number, 3600)
    token_max_ttl      = optional(number, 86400)
    cidrs              = optional(list(string), [])
    secret_id_ttl      = optional(number, 0)
    secret_id_num_uses = optional(number, 0)
  })
  nullable = false

  validation {
    condition     = var.broker.token_ttl >= 60 && var.broker.token_ttl <= var.broker.token_max_ttl
    error_message = "The broker's token_ttl is at least 60 seconds and at most its token_max_ttl."
  }

  validation {
    condition = alltrue([
      for cidr in var.broker.cidrs : can(cidrhost(can(regex("/", cidr)) ? cidr : "${cidr}/${can(regex(":", cidr)) ? 128 : 32}", 0)) && !can(regex("(^|[.:/])0[0-9]+([./]|$)", cidr))
    ])
    error_message = "The broker's cidrs are blocks of addresses, such as 10.0.0.0/8, or single addresses."
  }
}

variable "broker_kubernetes" {
  description = "The broker logs in by its Kubernetes service account (POSTERN_VAULT_AUTH=kubernetes); null: it doesn't."
  type = object({
    service_accounts = optional(list(string), ["postern"])
    namespaces       = list(string)
    audience         = optional(string)
    host             = optional(string, "https://kubernetes.default.svc")
    ca_pem           = optional(string)
    vault_in_cluster = optional(bool, true)
  })

  # Vault takes "*" for any, and matches patterns such as "post*".
  validation {
    condition = var.broker_kubernetes == null ? true : alltrue([
      for names in [var.broker_kubernetes.service_accounts, var.broker_kubernetes.namespaces] :
      length(names) > 0 && alltrue([for name in names : can(regex("^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", name))])
    ])
    error_message = "broker_kubernetes names at least one service account and one namespace, each in full: whoever runs as one of them is the broker."
  }

  validation {
    condition     = var.broker_kubernetes == null ? true : can(regex("^https?://[^\\s/]+/?$", var.broker_kubernetes.host))
    error_message = "broker_kubernetes.host is the address of the Kubernetes API, such as https://10.0.0.1:6443."
  }

  validation {
    condition     = var.broker_kubernetes == null ? true : var.broker_kubernetes.vault_in_cluster || var.broker_kubernetes.ca_pem != null
    error_message = "broker_kubernetes.ca_pem is needed where Vault is not in the cluster: it can't find the Kubernetes API's certificate by itself."
  }
}

variable "broker_jwt" {
  description = "The broker logs in by a JWT of its platform (POSTERN_VAULT_AUTH=jwt); null: it doesn't."
  type = object({
    issuer      = string
    jwks_url    = optional(string)
    public_keys = optional(list(string))
    ca_pem      = optional(string)
    algorithms  = optional(list(string), ["RS256"])
    audiences   = list(string)
    subject     = string
    claims      = optional(map(string), {})
  })

  # Vault compares it with the token's letter by letter.
  validation {
    condition     = var.broker_jwt == null ? true : can(regex("^[^\\s]+$", var.broker_jwt.issuer))
    error_message = "broker_jwt.issuer is the `iss` of the tokens, as the issuer spells it."
  }

  validation {
    condition     = var.broker_jwt == null ? true : var.broker_jwt.jwks_url == null || var.broker_jwt.public_keys == null
    error_message = "broker_jwt has jwks_url or public_keys, or neither (the issuer's discovery document then tells the keys), not both."
  }

  # Vault lets a role without an audience take any token, and reads a subject with a star as a star.
  validation {
    condition     = var.broker_jwt == null ? true : length(var.broker_jwt.audiences) > 0 && alltrue([for name in concat(var.broker_jwt.audiences, [var.broker_jwt.subject]) : can(regex("^[^\\s*]+$", name))])
    error_message = "broker_jwt names the token's subject and at least one audience, each in full: whoever has such a token is the broker."
  }

  validation {
    condition     = var.broker_jwt == null ? true : length(var.broker_jwt.algorithms) > 0 && alltrue([for name in var.broker_jwt.algorithms : can(regex("^(RS|ES|PS)(256|384|512)$|^EdDSA$", name))])
    error_message = "broker_jwt.algorithms are those of public keys, such as RS256 or ES256."
  }
}

variable "plugin" {
  description = "The secrets plugin, as `make plugin` printed it; {}: only its APIs and roles are managed here; null: nothing of it."
  type = object({
    version = optional(string)
    sha256  = optional(string)
    command = optional(string)
  })

  validation {
    condition     = var.plugin == null ? true : (var.plugin.version == null) == (var.plugin.sha256 == null)
    error_message = "plugin has both version and sha256, or neither."
  }

  validation {
    condition     = try(var.plugin.version, null) == null ? true : can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+(-[0-9A-Za-z.-]+)?$", var.plugin.version))
    error_message = "plugin.version is a version such as v0.1.0."
  }

  validation {
    condition     = try(var.plugin.sha256, null) == null ? true : can(regex("^[0-9a-f]{64}$", var.plugin.sha256))
    error_message = "plugin.sha256 is 64 hexadecimal digits, as `make plugin` and sha256sum print them."
  }

  validation {
    condition     = try(var.plugin.command, null) == null ? true : can(regex("^[A-Za-z0-9_-][A-Za-z0-9._-]*$", var.plugin.command))
    error_message = "plugin.command is the name of a file that lies directly in Vault's plugin directory."
  }
}

variable "audit" {
  description = "The audit device; null: none is made."
  type = object({
    type    = optional(string, "file")
    path    = optional(string, "postern")
    options = optional(map(string), { file_path = "stdout" })
  })

  validation {
    condition     = var.audit == null ? true : contains(["file", "socket", "syslog"], var.audit.type)
    error_message = "The audit device's type is file, socket or syslog."
  }
}

variable "oidc" {
  description = "People's login; null: no OIDC mount is made."
  type = object({
    discovery_url    = optional(string)
    discovery_ca_pem = optional(string)
    client_id        = optional(string)
    redirect_uris    = optional(list(string), ["http://localhost:8250/oidc/callback"])
    roles_claim      = optional(string, "https://postern.dev/roles")
    user_claim       = optional(string, "sub")
    ttl              = optional(number, 3600)
    max_ttl          = optional(number, 28800)
  })

  # Vault compares it with the issuer letter by letter; Auth0's issuer ends in a slash.
  validation {
    condition     = try(var.oidc.discovery_url, null) == null ? true : can(regex("^https?://[^\\s]+$", var.oidc.discovery_url))
    error_message = "oidc.discovery_url is the issuer's URL as the issuer spells it, such as https://example.eu.auth0.com/."
  }

  validation {
    condition     = var.oidc == null ? true : var.oidc.ttl > 0 && var.oidc.ttl <= var.oidc.max_ttl
    error_message = "oidc.ttl is more than 0 and at most oidc.max_ttl."
  }
}

variable "break_glass" {
  description = "A userpass mount for operators while Auth0 is away, and how long its logins live, in seconds; null: none."
  type = object({
    ttl     = optional(number, 900)
    max_ttl = optional(number, 3600)
  })
  default = null

  validation {
    condition     = var.break_glass == null ? true : var.break_glass.ttl > 0 && var.break_glass.ttl <= var.break_glass.max_ttl && var.break_glass.max_ttl <= 28800
    error_message = "break_glass.ttl is more than 0 and at most break_glass.max_ttl, which is at most 28800 (8 hours)."
  }
}

variable "admin_api" {
  description = "Auth0 JWTs that the broker's admin API takes; null: none."
  type = object({
    issuer            = string
    audience          = string
    jwks_url          = optional(string)
    ca_pem            = optional(string)
    write_permissions = optional(list(string), ["manage:grants", "manage:keys", "manage:tenants", "manage:trusts"])
    read_permissions  = optional(list(string), ["read:keys", "read:tenants"])
  })

  # Vault compares it with the token's letter by letter; Auth0's issuer ends in a slash.
  validation {
    condition     = var.admin_api == null ? true : can(regex("^https?://[^\\s]+$", var.admin_api.issuer))
    error_message = "admin_api.issuer is the issuer's URL as the issuer spells it, such as https://example.eu.auth0.com/."
  }

  validation {
    condition     = var.admin_api == null ? true : can(regex("^[^\\s]+$", var.admin_api.audience))
    error_message = "admin_api.audience is the identifier of the Auth0 API that stands for the admin API."
  }

  # Vault takes a comma as the end of one permission and the beginning of the next, and a role without any would take every token.
  validation {
    condition     = var.admin_api == null ? true : length(var.admin_api.write_permissions) > 0 && length(var.admin_api.read_permissions) > 0 && alltrue([for name in concat(var.admin_api.write_permissions, var.admin_api.read_permissions) : can(regex("^[^\\s,]+$", name))])
    error_message = "admin_api's write_permissions and read_permissions each name at least one permission, without spaces and commas."
  }
}

variable "oidc_client_secret" {
  description = "Client secret of the OIDC application; null: the method's configuration isn't written by Terraform. Set, it lies in the state."
  type        = string
  sensitive   = true
}

variable "self_service" {
  description = "Auth0 access tokens with which people make keys of their own; null: none."
  type = object({
    issuer       = string
    audience     = string
    jwks_url     = optional(string)
    ca_pem       = optional(string)
    broker_cidrs = optional(list(string), [])
  })

  # Vault compares it with the token's letter by letter; Auth0's issuer ends in a slash.
  validation {
    condition     = var.self_service == null ? true : can(regex("^https?://[^\\s]+$", var.self_service.issuer))
    error_message = "self_service.issuer is the issuer's URL as the issuer spells it, such as https://example.eu.auth0.com/."
  }

  validation {
    condition     = var.self_service == null ? true : can(regex("^[^\\s]+$", var.self_service.audience))
    error_message = "self_service.audience is the identifier of the Auth0 API that stands for the self-service API."
  }
}
