import { APPLY, failed, ok, said, warning } from '#broker/doctor/check.ts';
import type { Check } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import type { Json, View } from '#broker/doctor/view.ts';

const title = 'broker: role';

/** The roles by which the broker may log in (POSTERN_VAULT_AUTH): AppRole's always, the others where they are mounted. */
export const brokerRole: Inspection = {
  title,
  async inspect(view) {
    const { brokerApprole, brokerKubernetes, brokerJwt } = view.mounts;
    const table = await view.auth();
    const others = [
      { mount: brokerKubernetes, type: 'kubernetes', bound: boundInKubernetes },
      { mount: brokerJwt, type: 'jwt', bound: boundByJwt },
    ];
    const checks = [await roleAt(view, title, brokerApprole)];
    for (const { mount, type, bound } of others) {
      const found = table?.get(mount);
      if (found === undefined) continue;
      const name = `${title}: auth/${mount}`;
      checks.push(
        found.type === type
          ? await roleAt(view, name, mount, bound)
          : failed(name, `is an auth method of type ${found.type}, not ${type}`, `${APPLY} Or name another mount for the broker.`),
      );
    }
    return checks;
  },
};

/** @param bound who may log in as the role, or undefined where anybody might */
async function roleAt(
  { mounts: { policyPrefix }, read }: View,
  name: string,
  mount: string,
  bound?: (role: Json) => string | undefined,
): Promise<Check> {
  const role = await read('read the role of the broker', `auth/${mount}/role/broker`);
  if (role === undefined) return failed(name, 'the role does not exist', APPLY);
  const policies = listOf(role['token_policies']);
  if (policies.length !== 1 || policies[0] !== `${policyPrefix}broker`)
    return failed(name, `has the policies ${policies.join(', ') || 'none'}, not ${policyPrefix}broker alone`, APPLY);
  if (role['token_type'] !== 'service') return failed(name, `gives ${said(role['token_type'])} tokens, which can't be renewed`, APPLY);
  if (bound === undefined) return ok(name, `policy ${policies[0]}, service tokens`);
  const who = bound(role);
  return who === undefined
    ? warning(name, 'takes more than one named identity: whoever logs in there is the broker', `${APPLY} Name who the broker is, in full.`)
    : ok(name, `policy ${policies[0]}, service tokens, for ${who}`);
}

function boundInKubernetes(role: Json): string | undefined {
  const names = listOf(role['bound_service_account_names']);
  const namespaces = listOf(role['bound_service_account_namespaces']);
  if (said(role['bound_service_account_namespace_selector'], '') !== '') return undefined;
  const exact = [names, namespaces].every((list) => list.length > 0 && list.every((name) => !name.includes('*')));
  return exact ? `${names.join(', ')} in ${namespaces.join(', ')}` : undefined;
}

function boundByJwt(role: Json): string | undefined {
  const subject = said(role['bound_subject'], '');
  return subject === '' || listOf(role['bound_audiences']).length === 0 ? undefined : subject;
}

function listOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
