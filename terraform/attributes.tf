# What is written beside what there is, by the types of the modules: see modules/attributes.

locals {
  # By the variable's name: as it was given, and as the module took it.
  objects = {
    admin_api         = { given = var.admin_api, known = module.vault.settings.admin_api }
    audit             = { given = var.audit, known = module.vault.settings.audit }
    auth0             = { given = var.auth0, known = try(module.auth0[0].settings, null) }
    break_glass       = { given = var.break_glass, known = module.vault.settings.break_glass }
    broker            = { given = var.broker, known = module.vault.settings.broker }
    broker_jwt        = { given = var.broker_jwt, known = module.vault.settings.broker_jwt }
    broker_kubernetes = { given = var.broker_kubernetes, known = module.vault.settings.broker_kubernetes }
    mounts            = { given = var.mounts, known = module.vault.settings.mounts }
    oidc              = { given = var.oidc, known = module.vault.settings.oidc }
    plugin            = { given = var.plugin, known = module.vault.settings.plugin }
    self_service      = { given = var.self_service, known = module.vault.settings.self_service }
  }

  attributes = concat(
    [for name, one in local.objects : { of = "Variable ${name}", given = try(keys(one.given), []), known = try(keys(one.known), []) }],
    [for name, api in var.apis : { of = "API ${name}", given = try(keys(api), []), known = try(keys(module.vault.settings.apis[name]), []) }],
    flatten([
      for id, tenant in var.tenants : concat(
        [{
          of    = "Tenant ${id}"
          given = try(keys(tenant), [])
          known = [for name in keys(module.tenant[id].settings) : name if name != "id"]
        }],
        # Lists and maps of objects within it. What isn't there, or is null, has none.
        flatten([
          for list in ["grants", "assertion_keys"] : try([
            for at, one in tenant[list] : {
              of    = "Tenant ${id}, ${list}[${at}],"
              given = keys(one)
              known = keys(module.tenant[id].settings[list][at])
            }
          ], [])
        ]),
        flatten([
          for map in ["workloads", "trusts", "issuers"] : try([
            for name, one in tenant[map] : {
              of    = "Tenant ${id}, ${map}.${name},"
              given = keys(one)
              known = keys(module.tenant[id].settings[map][name])
            }
          ], [])
        ]),
        try([{
          of    = "Tenant ${id}, self_service,"
          given = keys(tenant.self_service)
          known = keys(module.tenant[id].settings.self_service)
        }], []),
      )
    ]),
  )
}

module "attributes" {
  source = "./modules/attributes"

  objects = local.attributes
}
