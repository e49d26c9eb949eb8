import { PosternError } from '#broker/error.ts';
import { ok } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import { whoIs } from '#broker/operator/whoami.ts';

const title = 'vault: your token';

export const yourToken: Inspection = {
  title,
  decides: true,
  async inspect({ access, read }) {
    const { name } = await whoIs(access);
    // A token without the policy `default` may not look at itself; a dead one may not read this either.
    await read('tell its mounts', 'sys/mounts').catch((error: unknown) => {
      if (!(error instanceof PosternError && error.code === 'access_denied' && name !== 'unknown')) throw error;
    });
    return [ok(title, name)];
  },
};
