import { APPLY, failed, ok, said, warning } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import type { Json } from '#broker/doctor/view.ts';

const title = 'audit';

export const audit: Inspection = {
  title,
  async inspect({ read }) {
    const devices = (await read('list audit devices', 'sys/audit')) ?? {};
    const names = Object.entries(devices).map(([path, device]) => `${path.replace(/\/$/, '')} (${said((device as Json)['type'])})`);
    if (names.length === 0) return [failed(title, 'Vault records nothing', `${APPLY} Or: vault audit enable file file_path=stdout`)];
    if (names.length === 1)
      return [warning(title, `one device: ${names[0]}`, 'Enable a second one: Vault answers nobody while it can write to none.')];
    return [ok(title, `${names.length} devices: ${names.join(', ')}`)];
  },
};
