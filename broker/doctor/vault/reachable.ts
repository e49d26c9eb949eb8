import { failed, ok } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';

const title = 'vault: reachable';

export const reachable: Inspection = {
  title,
  decides: true,
  async inspect({ access }) {
    const { initialized, sealed, standby, version } = await access.call('tell its health', ({ client }) => client.health());
    if (!initialized) return [failed(title, 'Vault is not initialized', 'Run `vault operator init` on its server.')];
    if (sealed) return [failed(title, `Vault ${version} is sealed`, 'Unseal it: `vault operator unseal`, or mend its auto-unseal.')];
    return [ok(title, `Vault ${version}, unsealed${standby ? ', a standby' : ''}`)];
  },
};
