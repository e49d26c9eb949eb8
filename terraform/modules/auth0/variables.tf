variable "settings" {
  description = "The Auth0 tenant to set up. See the root module's `auth0`."
  type = object({
    domain              = string
    binding             = optional(string, "action")
    manage_trigger      = optional(bool, true)
    application_name    = optional(string, "Postern")
    vault_addresses     = optional(list(string), [])
    action_runtime      = optional(string, "node18")
    client_id           = optional(string)
    operators_client_id = optional(string)
    manage_grants       = optional(bool, true)
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

  validation {
    condition     = alltrue([for id in [var.settings.client_id, var.settings.operators_client_id] : id == null ? true : can(regex("^[A-Za-z0-9_-]{1,64}$", id))])
    error_message = "auth0.client_id and auth0.operators_client_id are client ids as Auth0 shows them: letters, digits, - and _."
  }

  validation {
    condition     = var.settings.client_id == null ? true : var.settings.client_id != var.settings.operators_client_id
    error_message = "auth0.client_id and auth0.operators_client_id are two applications: people must not log in with the one whose secret the broker holds."
  }

  validation {
    condition     = var.settings.manage_grants || var.settings.client_id != null
    error_message = "auth0.manage_grants = false is for an application that has its grants already: name it by auth0.client_id."
  }
}

variable "apis" {
  description = "APIs whose source is auth0, by name."
  type = map(object({
    audience = string
    scopes   = list(string)
    lifetime = number
    dialect  = string
    manage   = optional(bool, true)
  }))
  nullable = false
}

variable "oidc_path" {
  description = "Path of Vault's OIDC mount, for the callback of its UI."
  type        = string
  nullable    = false
}
