import { PosternError } from '#broker/error.ts';
import { failed, ok, warning } from '#broker/doctor/check.ts';
import type { Check } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readCatalogue } from '#broker/operator/plugin/catalogue.ts';
import { listPluginMounts } from '#broker/operator/plugin/mounts.ts';
import type { PluginMount } from '#broker/operator/plugin/mounts.ts';

/** Whether each mount of the secrets plugin runs what it is pinned to, and what is registered. Nothing where it isn't mounted. */
export const pluginVersion: Inspection = {
  title: 'plugin',
  async inspect({ access }) {
    const checks: Check[] = [];
    for (const mount of await listPluginMounts(access)) checks.push(await inspectMount(access, mount));
    return checks;
  },
};

async function inspectMount(access: VaultAccess, { path, version, running }: PluginMount): Promise<Check> {
  const title = `plugin: ${path}/`;
  if (running.version === '' || running.sha256 === '')
    return failed(title, 'it does not run', "Vault's log says why. Is the executable in the plugin directory of every node?");
  if (version === '')
    return warning(
      title,
      `runs ${running.version}, and is pinned to no version: it changes with what is registered`,
      `vault secrets tune -plugin-version=${running.version} ${path}/`,
    );
  if (running.version !== version)
    return failed(
      title,
      `is pinned to ${version} and runs ${running.version}`,
      `An upgrade was interrupted: postern plugin upgrade --to ${version}`,
    );
  const registered = await readCatalogue(access, version).catch((error: unknown) => {
    if (error instanceof PosternError && error.code === 'access_denied') return 'unseen' as const;
    throw error;
  });
  if (registered === 'unseen') return ok(title, `${version}, as pinned (not compared with the catalogue, which your token may not read)`);
  if (registered === undefined)
    return failed(title, `runs ${version}, which is not registered: it won't start again`, 'Register it again: postern plugin upgrade');
  if (registered.sha256 !== running.sha256)
    return failed(
      title,
      `runs another executable than is registered as ${version}`,
      `Does the file ${registered.command} have the sha256 that is registered? Then: vault plugin reload -mounts=${path}/`,
    );
  return ok(title, `${version}, as pinned and registered`);
}
