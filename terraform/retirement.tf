# A tenant's line is taken out in two steps: `retired = true` first, which can be taken back. Terraform itself guards nothing that is no
# longer written down (prevent_destroy can't be a variable), so what the last apply made is kept in Vault, and each plan looks there.

# The document begins empty, so that the first plan has something to look at; the second resource writes the same one from then on.
resource "vault_generic_secret" "tenants_begun" {
  path                = "${module.vault.mounts.kv}/state/terraform"
  data_json           = jsonencode({ tenants = {} })
  delete_all_versions = true

  lifecycle {
    ignore_changes = [data_json]
  }

  depends_on = [module.vault]
}

# By its id, which isn't known before it is there: the first time this is read by the apply, after that by each plan.
data "vault_generic_secret" "tenants_before" {
  path = vault_generic_secret.tenants_begun.id
}

locals {
  # The provider calls all that it reads a secret.
  tenants_before = try(jsondecode(nonsensitive(data.vault_generic_secret.tenants_before.data_json)).tenants, {})

  tenants_cut_off = sort([
    for id, state in local.tenants_before : id if !contains(keys(var.tenants), id) && state != "retired" && !contains(var.cut_off, id)
  ])
}

resource "vault_generic_secret" "tenants" {
  path                = vault_generic_secret.tenants_begun.path
  delete_all_versions = true

  data_json = jsonencode({
    tenants = { for id, tenant in module.tenant : id => tenant.settings.retired ? "retired" : "active" }
  })

  lifecycle {
    precondition {
      condition     = length(local.tenants_cut_off) == 0
      error_message = <<-EOT
        Taken out of the variable tenants without having been retired: ${join(", ", local.tenants_cut_off)}.
        Put the line back with `retired = true` and apply: nothing is issued to it any more, and that can still be taken back. Then take
        the line out. Where that is not to be waited for, write ${join(", ", [for id in local.tenants_cut_off : "\"${id}\""])} into the variable cut_off.
      EOT
    }
  }

  # What it says is true by then.
  depends_on = [vault_generic_secret.catalog]
}
