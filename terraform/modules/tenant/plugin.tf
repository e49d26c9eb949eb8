# What the secrets plugin may hand to the tenant: the same as its document says, for APIs whose tokens come from Auth0.
resource "vault_generic_endpoint" "plugin_role" {
  count = var.plugin == null ? 0 : 1

  path                 = "${var.plugin}/roles/${var.tenant.id}"
  ignore_absent_fields = true

  # Not `disabled = false`: `postern tenant disable` writes it here too, and an apply never turns a tenant on again.
  data_json = jsonencode(merge({
    client_id    = vault_approle_auth_backend_role.tenant.role_id
    grants       = local.plugin_grants
    default_api  = contains(local.plugin_grants[*].api, coalesce(var.tenant.default_api, "-")) ? var.tenant.default_api : null
    organization = var.tenant.organization
    claims       = var.tenant.claims
  }, local.disabled ? { disabled = true } : {}))
}

locals {
  plugin_grants = [for grant in local.document.grants : grant if try(var.apis[grant.api].source, "") == "auth0"]
}
