import { failed, ok, warning } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';

const title = 'vault: version';
/** The release of Vault in which the path-matching faults of 2026 are mended. */
const ADVISED = [2, 1, 2] as const;
const OLDEST = [1, 21, 0] as const;
/** The one of OpenBao that the tests run on. */
const OPENBAO = [2, 7, 2] as const;

export const version: Inspection = {
  title,
  async inspect({ health }) {
    const { product, version: found } = await health();
    const seen = `${product} ${found}`;
    if (product === 'OpenBao')
      return older(found, OPENBAO)
        ? [warning(title, seen, `Postern is tried on OpenBao ${OPENBAO.join('.')}: plan an upgrade.`)]
        : [ok(title, seen)];
    if (older(found, OLDEST)) return [failed(title, seen, `Postern is tried from ${OLDEST.join('.')} on: upgrade.`)];
    if (older(found, ADVISED))
      return [
        warning(title, seen, `Releases before ${ADVISED.join('.')} have published faults in how paths are matched: plan an upgrade.`),
      ];
    return [ok(title, seen)];
  },
};

function older(version: string, than: readonly number[]): boolean {
  const parts = /^(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) ?? [];
  for (const [at, number] of than.entries()) if (parts[at] !== number) return (parts[at] ?? 0) < number;
  return false;
}
