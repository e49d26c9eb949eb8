variable "settings" {
  description = "The Auth0 tenant to set up. See the root module's `auth0`."
  type = object({
    domain           = string
    binding          = optional(string, "action")
    manage_trigger   = optional(bool, true)
    application_name = optional(string, "Postern")
    vault_addresses  = optional(list(string), [])
    action_runtime   = optional(string, "node18")
  })
  nullable = false

  validation {
    condition     = can(regex("^[a-z0-9.-]+(:[0-9]+)?$", var.settings.domain))
    error_message = "auth0.domain is a bare domain such as example.eu.auth0.com: no https://, no slash."
  }

  validation {
    condition     = contains(["action", "organization"], var.settings.binding)
    error_message = "auth0.binding is action or organization."
  }

  validation {
    condition     = alltrue([for address in var.settings.vault_addresses : can(regex("^https://[^/]+$", address))])
    error_message = "auth0.vault_addresses are origins of Vault's UI, such as https://vault.example.com: https, and no path."
  }
}

variable "apis" {
  description = "APIs whose source is auth0, by name."
  type = map(object({
    audience = string
    scopes   = list(string)
    lifetime = number
    dialect  = string
  }))
  nullable = false
}

variable "oidc_path" {
  description = "Path of Vault's OIDC mount, for the callback of its UI."
  type        = string
  nullable    = false
}
