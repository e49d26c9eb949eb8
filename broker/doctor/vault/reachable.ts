import { failed, ok } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';

const title = 'vault: reachable';

export const reachable: Inspection = {
  title,
  decides: true,
  async inspect({ health }) {
    const { initialized, product, sealed, standby, version } = await health();
    if (!initialized) return [failed(title, `${product} is not initialized`, 'Run `vault operator init` on its server.')];
    if (sealed) return [failed(title, `${product} ${version} is sealed`, 'Unseal it: `vault operator unseal`, or mend its auto-unseal.')];
    return [ok(title, `${product} ${version}, unsealed${standby ? ', a standby' : ''}`)];
  },
};
