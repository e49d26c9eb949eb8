import type { Command } from 'commander';
import { listSecretIds } from '#broker/operator/secret/secret-id.ts';
import { readBoundCidrs } from '#broker/operator/tenant/bound-cidrs.ts';
import { settleReplacements } from '#broker/operator/secret/replacements.ts';
import { PosternError } from '#broker/error.ts';
import type { Context } from '#cli/command/context.ts';
import { moment } from '#cli/command/duration.ts';
import { usableFrom } from '#cli/command/usable-from.ts';

export function listCommand(context: Context): Command {
  return context
    .command('list', "a tenant's secret_ids by accessor, oldest first; never the secrets", [
      ['postern secret list acme', 'who issued which, when each ends, from where it may be used'],
      ['postern secret list acme --json | jq -r \'.secret_ids[] | select(.name == "nightly job").accessor\'', 'one by its name'],
    ])
    .argument('<tenant>')
    .action(
      context.vaultAction<object, [string]>(async ({ access, output, terminal }, tenant) => {
        // Whoever only looks may not revoke.
        const revoked = await settleReplacements(access, tenant).catch((error: unknown) => {
          if (error instanceof PosternError && error.code === 'access_denied') return [];
          throw error;
        });
        if (revoked.length > 0)
          output.note(`revoked, since a rotation ended ${revoked.length === 1 ? 'it' : 'them'}: ${revoked.join(', ')}`);
        const [found, bound] = await Promise.all([
          listSecretIds(access, tenant, { onProgress: output.counter('secret_ids'), signal: terminal.signal }),
          readBoundCidrs(access, tenant),
        ]);
        const time = (iso: string | null, never: string): string => (output.forPeople ? moment(iso, never) : (iso ?? never));
        const rows = found.map((one) => [
          one.accessor,
          one.name ?? '-',
          one.issued_by ?? '-',
          time(one.created_at, '-'),
          time(one.expires_at, 'when revoked'),
          one.uses_left === null ? 'no limit' : String(one.uses_left),
          usableFrom(one.cidrs, bound, ','),
        ]);
        output.result(
          { tenant, tenant_cidrs: bound, secret_ids: found },
          output.table(['ACCESSOR', 'NAME', 'ISSUED BY', 'CREATED', 'EXPIRES', 'LOGINS LEFT', 'USABLE FROM'], rows),
        );
        if (found.length === 0) output.note(`${tenant} has no secret_id: postern secret issue ${tenant}`);
      }),
    );
}
