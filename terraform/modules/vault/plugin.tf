# The secrets plugin: a version in Vault's catalogue, and a mount that is pinned to it.

locals {
  plugin_name = "postern-auth0"

  # Not where it is mounted by other means.
  installs_plugin = try(var.plugin.version, null) != null
}

# Each version has an entry of its own, so that the one before is still there to go back to. Vault can read or remove an entry
# only by its version in the query, which this resource can't send: it isn't read back, and entries outlive a destroy. They
# do nothing; `vault plugin deregister -version=VERSION secret postern-auth0` removes one.
resource "vault_generic_endpoint" "plugin_version" {
  count = local.installs_plugin ? 1 : 0

  path                 = "sys/plugins/catalog/secret/${local.plugin_name}"
  disable_read         = true
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode({
    version = var.plugin.version
    sha256  = var.plugin.sha256
    command = coalesce(var.plugin.command, "${local.plugin_name}-${var.plugin.version}")
    # One arena for malloc: each thread of Node would keep one, and with it a tenth of the memory.
    env = ["MALLOC_ARENA_MAX=1"]
  })

  depends_on = [vault_audit.postern]
}

resource "vault_mount" "plugin" {
  count = local.installs_plugin ? 1 : 0

  path        = var.mounts.plugin
  type        = local.plugin_name
  seal_wrap   = true
  description = "Postern: Auth0 access tokens"

  depends_on = [vault_audit.postern, vault_generic_endpoint.plugin_version]
}

# Read back, so that an upgrade by hand is seen.
resource "vault_generic_endpoint" "plugin_pin" {
  count = local.installs_plugin ? 1 : 0

  path                 = "sys/mounts/${vault_mount.plugin[0].path}/tune"
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode({
    plugin_version = var.plugin.version
  })

  # An upgrade registers first.
  depends_on = [vault_audit.postern, vault_generic_endpoint.plugin_version]
}

# A mount goes on with what it started until it is reloaded; its storage stays.
resource "vault_generic_endpoint" "plugin_reload" {
  count = local.installs_plugin ? 1 : 0

  path                 = "sys/plugins/reload/backend"
  disable_read         = true
  disable_delete       = true
  ignore_absent_fields = true

  data_json = jsonencode({
    mounts = ["${vault_mount.plugin[0].path}/"]
  })

  lifecycle {
    replace_triggered_by = [vault_generic_endpoint.plugin_pin]
  }
}

# What roles can grant. Only Terraform writes it: an operator who made an API could have tokens for whatever Auth0 grants to the shared
# application.
resource "vault_generic_endpoint" "plugin_api" {
  for_each = var.plugin == null ? {} : { for name, api in local.apis : name => api if api.source == "auth0" }

  path                 = "${var.mounts.plugin}/apis/${each.key}"
  ignore_absent_fields = true

  data_json = jsonencode({
    audience = each.value.audience
    scopes   = each.value.scopes
    source   = each.value.source
  })

  depends_on = [vault_generic_endpoint.plugin_reload]
}
