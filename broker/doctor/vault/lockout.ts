import { APPLY, failed, ok, said, skipped, warning } from '#broker/doctor/check.ts';
import type { Check } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import type { Json, MountTable } from '#broker/doctor/view.ts';

export const lockout: Inspection = {
  title: 'approle',
  async inspect({ mounts, auth }) {
    const table = await auth();
    return [tenants(table, mounts.approle), lockoutOf(table, mounts.brokerApprole)];
  },
};

function tenants(table: MountTable | undefined, path: string): Check {
  const lock = lockoutOf(table, path);
  if (lock.status !== 'ok') return lock;
  const { token_type: type } = table?.get(path)?.config ?? {};
  // A role's own setting does as well, and each role is checked.
  return type === 'batch'
    ? ok(lock.name, `${lock.seen}, tokens are batch`)
    : warning(lock.name, `tokens are ${said(type)} unless a role says batch`, `${APPLY} (sys/auth/${path}/tune, token_type=batch)`);
}

function lockoutOf(table: MountTable | undefined, path: string): Check {
  const title = `lockout: auth/${path}`;
  const found = table?.get(path);
  if (found === undefined) return skipped(title, 'the mount could not be looked at');
  const { user_lockout_disable: off } = (found.config['user_lockout_config'] ?? {}) as Json;
  if (off === true) return ok(title, 'off');
  return failed(
    title,
    'on: whoever knows a role_id can lock its owner out by five wrong secret_ids',
    `${APPLY} Or: vault auth tune -user-lockout-disable=true ${path}/`,
  );
}
