import { failed, LISTED, ok } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import { same } from './apis.ts';
import { pluginApis, pluginRoles } from './plugin-documents.ts';

const title = 'plugin: roles';

/** Whether the plugin gives each tenant what its document does, and nothing to those that are gone. Nothing where it isn't mounted. */
export const roles: Inspection = {
  title,
  async inspect(view) {
    const apis = await pluginApis(view);
    if (apis === undefined) return [];
    const [index, sample] = await Promise.all([view.index(), view.sample()]);
    const [known, looked] = [new Set(index.names), new Set(sample.index.names)];
    // Those of whom nothing else is there are told too.
    const inPlugin = await pluginRoles(view, (tenant) => looked.has(tenant) || !known.has(tenant));
    if (inPlugin === undefined) return [];
    const [documents, all] = await Promise.all([view.documents(), view.tenants()]);
    const tenants = new Map(all.map((one) => [one.tenant, one]));
    const wrong = [...inPlugin].flatMap(([tenant, role]) => {
      const found = tenants.get(tenant);
      const document = documents.get(tenant);
      if (found === undefined || document === undefined)
        return failed(`${title}: ${tenant}`, 'there is no such tenant (any more)', `vault delete ${view.mounts.plugin}/roles/${tenant}`);
      // The plugin doesn't serve tokens that Vault signs itself.
      const granted = document.grants.filter(({ api }) => apis.has(api));
      const disabled = found.state === 'disabled';
      const differs = [
        ...(role.disabled === disabled
          ? []
          : [`it is ${role.disabled ? 'disabled' : 'enabled'} there and ${disabled ? 'disabled' : 'enabled'} here`]),
        ...(role.client_id === found.role_id ? [] : [role.client_id ? 'its client_id is another' : 'it has no client_id']),
        ...(same(lines(role.grants), lines(granted)) ? [] : ['its grants differ']),
      ];
      if (differs.length === 0) return [];
      return failed(
        `${title}: ${tenant}`,
        differs.join('; '),
        `terraform apply where Terraform manages it; else postern tenant ${role.disabled === disabled ? `create ${tenant} --update` : `${disabled ? 'disable' : 'enable'} ${tenant}`}`,
      );
    });
    if (wrong.length === 0) return [ok(title, `${inPlugin.size}, as in the tenants' documents`)];
    const more =
      wrong.length > LISTED
        ? [failed(title, `${wrong.length - LISTED} more roles are not as they should be`, 'Mend those above first.')]
        : [];
    return [...wrong.slice(0, LISTED), ...more];
  },
};

function lines(grants: readonly { readonly api: string; readonly scopes: readonly string[] }[]): string[] {
  return grants.map(({ api, scopes }) => `${api} ${scopes.toSorted().join(' ')}`);
}
