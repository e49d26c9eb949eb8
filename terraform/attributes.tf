# What is written beside what there is, by the types of the modules: see modules/attributes.

locals {
  # By themselves, since before Terraform 1.6 a `try` that looks into a module with anything unknown in it is unknown.
  known = merge(module.vault.settings, {
    auth0   = local.manages_auth0 ? module.auth0[0].settings : null
    tenants = { for id, tenant in module.tenant : id => tenant.settings }
  })

  # By the variable's name: as it was given, and as the module took it.
  objects = {
    admin_api         = { given = var.admin_api, known = local.known.admin_api }
    audit             = { given = var.audit, known = local.known.audit }
    auth0             = { given = var.auth0, known = local.known.auth0 }
    break_glass       = { given = var.break_glass, known = local.known.break_glass }
    broker            = { given = var.broker, known = local.known.broker }
    broker_jwt        = { given = var.broker_jwt, known = local.known.broker_jwt }
    broker_kubernetes = { given = var.broker_kubernetes, known = local.known.broker_kubernetes }
    mounts            = { given = var.mounts, known = local.known.mounts }
    oidc              = { given = var.oidc, known = local.known.oidc }
    plugin            = { given = var.plugin, known = local.known.plugin }
    self_service      = { given = var.self_service, known = local.known.self_service }
  }

  attributes = concat(
    [for name, one in local.objects : { of = "Variable ${name}", given = try(keys(one.given), []), known = try(keys(one.known), []) }],
    [for name, api in var.apis : { of = "API ${name}", given = try(keys(api), []), known = try(keys(local.known.apis[name]), []) }],
    flatten([
      for id, tenant in var.tenants : concat(
        [{
          of    = "Tenant ${id}"
          given = try(keys(tenant), [])
          known = [for name in keys(local.known.tenants[id]) : name if name != "id"]
        }],
        # Lists and maps of objects within it. What isn't there, or is null, has none.
        flatten([
          for list in ["grants", "assertion_keys"] : try([
            for at, one in tenant[list] : {
              of    = "Tenant ${id}, ${list}[${at}],"
              given = keys(one)
              known = keys(local.known.tenants[id][list][at])
            }
          ], [])
        ]),
        flatten([
          for map in ["workloads", "trusts", "issuers"] : try([
            for name, one in tenant[map] : {
              of    = "Tenant ${id}, ${map}.${name},"
              given = keys(one)
              known = keys(local.known.tenants[id][map][name])
            }
          ], [])
        ]),
        try([{
          of    = "Tenant ${id}, limits,"
          given = keys(tenant.limits)
          known = keys(local.known.tenants[id].limits)
        }], []),
        try([{
          of    = "Tenant ${id}, quota,"
          given = keys(tenant.quota)
          known = keys(local.known.tenants[id].quota)
        }], []),
        try([{
          of    = "Tenant ${id}, self_service,"
          given = keys(tenant.self_service)
          known = keys(local.known.tenants[id].self_service)
        }], []),
      )
    ]),
  )
}

module "attributes" {
  source = "./modules/attributes"

  objects = local.attributes
}
