# People's login while Auth0 is away. Off unless asked for: a password is one thing more that can be lost. Terraform makes the mount and
# bounds what its logins live; a user and their password, which would lie in the state, are written by hand (terraform/README.md).

resource "vault_auth_backend" "break_glass" {
  count = var.break_glass == null ? 0 : 1

  type        = "userpass"
  path        = var.mounts.userpass
  description = "Postern: break-glass for operators, while Auth0 is away"

  tune {
    default_lease_ttl  = "${var.break_glass.ttl}s"
    max_lease_ttl      = "${var.break_glass.max_ttl}s"
    listing_visibility = "hidden"
    token_type         = "default-service"
  }

  depends_on = [vault_audit.postern]
}
