import { APPLY, ok, said, warning } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';

const title = 'cached tokens: clean-up';

export const tokenCache: Inspection = {
  title,
  async inspect({ mounts, read }) {
    const config = await read('read the configuration of the token cache', `${mounts.tokens}/config`);
    const after = said(config?.['delete_version_after'], '0s');
    if (config?.['max_versions'] !== 1)
      return [warning(title, `keeps ${said(config?.['max_versions'], '0')} versions of each token (0: ten)`, APPLY)];
    return after === '0s' ? [warning(title, 'old tokens are never removed', APPLY)] : [ok(title, `one version, removed after ${after}`)];
  },
};
