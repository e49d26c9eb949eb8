import { APPLY, ok, said, warning } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';

const title = 'approle: rate limit';

export const rateLimit: Inspection = {
  title,
  async inspect({ access, mounts, read }) {
    const mount = `auth/${mounts.approle}/`;
    const path = `${mount}login`;
    let onMount = false;
    const names = await access.call('list rate limits', ({ client, as }) => client.list('sys/quotas/rate-limit', as));
    for (const name of names) {
      if (!/^[A-Za-z0-9_-]+$/.test(name)) continue;
      const quota = await read('read a rate limit', `sys/quotas/rate-limit/${name}`);
      if (quota?.['path'] === path) return [ok(title, `${said(quota['rate'])} requests in ${said(quota['interval'], '1')} s on ${path}`)];
      onMount ||= quota?.['path'] === mount;
    }
    if (onMount) return [warning(title, `the quota is on all of ${mount}: a flood of logins keeps operators out too`, APPLY)];
    return [warning(title, `no quota on ${path}: a flood of logins reaches Vault unhindered`, APPLY)];
  },
};
