import { failed, LISTED, ok } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { patiently } from '#broker/operator/patience.ts';
import { rotatingTenants } from '#broker/operator/key/rotating.ts';
import { BULK_WIDTH } from '#broker/operator/secret/secret-id.ts';
import { rotationsDocument, rotationsPath } from '#broker/vault/key-ends.ts';

const title = 'API keys: rotations';

/** A document that brokers can't read keeps every API key of its tenant out. */
export const keyRotations: Inspection = {
  title,
  async inspect({ access, index, progress }) {
    const names = await rotatingTenants(access, (await index()).names);
    const count = progress('rotations');
    let done = 0;
    const found = await inParallel(names, BULK_WIDTH, async (tenant) => {
      const { data } = await patiently(() =>
        access.call(`read the rotations of ${tenant}`, ({ documents, as }) => documents.read(rotationsPath(tenant), as)),
      );
      count((done += 1), names.length);
      return { tenant, valid: data === undefined || rotationsDocument.safeParse(data).success, any: data !== undefined };
    });
    const invalid = found.filter(({ valid }) => !valid);
    if (invalid.length === 0) return [ok(title, `${found.filter(({ any }) => any).length} documents, all valid`)];
    return invalid
      .slice(0, LISTED)
      .map(({ tenant }) =>
        failed(
          `${title}: ${tenant}`,
          'its document is not valid, so that every API key of the tenant is refused',
          `Restore an older version: vault kv rollback -mount=${access.mounts.kv} -version=… ${rotationsPath(tenant)}`,
        ),
      );
  },
};
