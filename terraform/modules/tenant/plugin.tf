# What the secrets plugin may hand to the tenant: the same as its document says, for APIs whose tokens come from Auth0.
resource "vault_generic_endpoint" "plugin_role" {
  count = var.plugin == null ? 0 : 1

  path                 = "${var.plugin}/roles/${var.tenant.id}"
  ignore_absent_fields = true

  data_json = jsonencode({
    client_id    = vault_approle_auth_backend_role.tenant.role_id
    grants       = local.plugin_grants
    default_api  = contains(local.plugin_grants[*].api, coalesce(var.tenant.default_api, "-")) ? var.tenant.default_api : null
    organization = var.tenant.organization
    claims       = var.tenant.claims
    disabled     = var.tenant.disabled
  })
}

locals {
  plugin_grants = [for grant in local.document.grants : grant if try(var.apis[grant.api].source, "") == "auth0"]
}
