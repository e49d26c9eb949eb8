terraform {
  required_version = ">= 1.5.0"

  required_providers {
    vault = {
      source  = "hashicorp/vault"
      version = ">= 3.3.0, < 6.0.0"
    }
    auth0 = {
      source  = "auth0/auth0"
      version = ">= 1.0.0, < 2.0.0"
    }
  }
}

# Address and token come from VAULT_ADDR and VAULT_TOKEN: neither belongs in a variable, where it would reach plan files.
provider "vault" {}

# Without var.auth0 nothing of Auth0 is managed, and the provider must not ask for credentials. It wants some at start
# all the same, so it gets words that no Auth0 would accept. With var.auth0 it reads AUTH0_CLIENT_ID and
# AUTH0_CLIENT_SECRET, or AUTH0_API_TOKEN, from the environment.
provider "auth0" {
  domain    = try(var.auth0.domain, "auth0-is-not-managed.invalid")
  api_token = var.auth0 == null ? "not-used" : null
}
