import { APPLY, failed, ok, warning } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import { pluginApis } from './plugin-documents.ts';

const title = 'plugin: apis';

/** Whether the plugin knows the same APIs as brokers. Nothing where it isn't mounted. */
export const apis: Inspection = {
  title,
  async inspect(view) {
    const inPlugin = await pluginApis(view);
    if (inPlugin === undefined) return [];
    const documents = await view.apis();
    const checks = [...inPlugin].flatMap(([name, { audience, scopes }]) => {
      const document = documents.get(name);
      if (document === undefined)
        return warning(
          `${title}: ${name}`,
          'brokers know no such API',
          `Name it in the Terraform variable \`apis\`, or: vault delete ${view.mounts.plugin}/apis/${name}`,
        );
      const differs = [
        ...(audience === document.audience ? [] : ['its audience']),
        ...(same(scopes, document.scopes) ? [] : ['its scopes']),
      ];
      return differs.length === 0
        ? []
        : failed(`${title}: ${name}`, `${differs.join(' and ')} differ from the document's`, `${APPLY} (variable \`plugin\`)`);
    });
    return checks.length > 0
      ? checks
      : [ok(title, inPlugin.size === 0 ? 'none' : `${[...inPlugin.keys()].join(', ')}, as in the documents`)];
  },
};

export function same(a: readonly string[], b: readonly string[]): boolean {
  return JSON.stringify(a.toSorted()) === JSON.stringify(b.toSorted());
}
