import { APPLY, failed, ok, said, skipped } from '#broker/doctor/check.ts';
import type { Check } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import type { MountTable } from '#broker/doctor/view.ts';
import { MOUNTS } from '#broker/mounts.ts';
import type { Mount, MountName } from '#broker/mounts.ts';

/** Whether what every installation needs is mounted where it is looked for. */
export const mounts: Inspection = {
  title: 'mounts',
  async inspect({ mounts: paths, auth, engines }) {
    const tables = { auth: await auth(), engines: await engines() };
    return [
      ...Object.entries<Mount>(MOUNTS).flatMap(([name, { needs }]) => {
        const path = paths[name as MountName];
        if (needs === undefined) return [];
        return needs.auth
          ? mounted(tables.auth, `auth/${path}`, path, needs.type)
          : mounted(tables.engines, path, path, needs.type, needs.version);
      }),
      people(tables.auth, paths.oidc),
    ];
  },
};

function mounted(table: MountTable | undefined, name: string, path: string, type: string, version?: string): Check {
  const title = `mount: ${name}`;
  if (table === undefined) return skipped(title, 'your token may not list mounts', 'Log in as operator or auditor.');
  const found = table.get(path);
  if (found === undefined)
    return failed(title, 'nothing is mounted there', `${APPLY} Is it mounted elsewhere? Then name it by its option (postern --help).`);
  if (found.type !== type)
    return failed(title, `a mount of type ${found.type}, not ${type}`, 'Name the right mount by its option (postern --help).');
  if (version !== undefined && found.options['version'] !== version)
    return failed(title, `KV version ${said(found.options['version'], '1')}`, `Postern needs version ${version}: ${APPLY}`);
  return ok(title, version === undefined ? type : `${type}, version ${version}`);
}

function people(table: MountTable | undefined, path: string): Check {
  const title = `mount: auth/${path}`;
  const type = table?.get(path)?.type;
  if (table === undefined || type === undefined)
    return skipped(title, 'people do not log in by OIDC here', 'Set the Terraform variable `oidc` (or `auth0`) for login through Auth0.');
  return type === 'oidc' || type === 'jwt'
    ? ok(title, type)
    : failed(title, `a mount of type ${type}, not oidc`, 'Name the right mount by its option (postern --help).');
}
