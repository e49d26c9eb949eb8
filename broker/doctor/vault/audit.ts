import { APPLY, failed, ok, said, warning } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import type { Json } from '#broker/doctor/view.ts';

const title = 'audit';
/** OpenBao refuses audit devices by API: https://openbao.org/docs/configuration/audit/ */
const DECLARE =
  'OpenBao takes audit devices from the configuration of each server only. Add: ' +
  'audit "file" "postern" { options { file_path = "stdout" } } and reload it (SIGHUP).';

export const audit: Inspection = {
  title,
  async inspect({ health, read }) {
    const { product } = await health();
    const devices = (await read('list audit devices', 'sys/audit')) ?? {};
    const names = Object.entries(devices).map(([path, device]) => `${path.replace(/\/$/, '')} (${said((device as Json)['type'])})`);
    if (names.length === 0)
      return [
        failed(
          title,
          `${product} records nothing`,
          product === 'OpenBao' ? DECLARE : `${APPLY} Or: vault audit enable file file_path=stdout`,
        ),
      ];
    if (names.length === 1) {
      const why = `${product} answers nobody while it can write to none.`;
      return [
        warning(
          title,
          `one device: ${names[0]}`,
          product === 'OpenBao' ? `${why} A second one: ${DECLARE}` : `Enable a second one: ${why}`,
        ),
      ];
    }
    return [ok(title, `${names.length} devices: ${names.join(', ')}`)];
  },
};
