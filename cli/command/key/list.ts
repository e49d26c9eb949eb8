import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { readEndings } from '#broker/operator/endings.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import type { Endings } from '#broker/credential/endings.ts';
import { settleRotations } from '#broker/operator/key/settle.ts';
import { checkOwnerId } from '#broker/operator/key/owned-by.ts';
import { listKeys, pageOfKeys } from '#broker/operator/key/list.ts';
import { readBoundCidrs } from '#broker/operator/tenant/bound-cidrs.ts';
import type { Context } from '#cli/command/context.ts';
import { formatLimits } from '#broker/rate-limit/limits.ts';
import { moment } from '#cli/command/duration.ts';
import { addPage } from '#cli/command/page.ts';
import type { PageOptions } from '#cli/command/page.ts';
import { usableFrom } from '#cli/command/usable-from.ts';

interface Options extends PageOptions {
  owner?: string;
}

const HEADINGS = [
  'KEY ID',
  'ACCESSOR',
  'NAME',
  'OWNER',
  'ENVIRONMENT',
  'STATE',
  'SCOPES',
  'LIMITS',
  'ISSUED BY',
  'ISSUED',
  'EXPIRES',
  'LAST USED',
  'USABLE FROM',
];

export function listCommand(context: Context): Command {
  const command = context
    .command('list', "a tenant's API keys, oldest first; never the keys", [
      ['postern key list acme', 'who issued which, its scopes, its end, when it was last used'],
      ["postern key list acme --json | jq -r '.keys[] | select(.last_used_at == null).key_id'", 'those that nobody uses'],
      ["postern key list acme --owner 'auth0|0123abcd'", 'those of one person'],
      ['postern key list acme --limit 100 --after key_0f1e2d3c4b5a69788796a5b4', 'a page'],
    ])
    .argument('<tenant>')
    .option('--owner <user>', 'only the keys of this person, by their Auth0 id')
    .addHelpText(
      'after',
      `
LAST USED is a minute. It is up to 30 s early, and known here once a broker has written it: within 5 minutes, or
whatever POSTERN_USAGE_INTERVAL says there. After 400 days without use it is forgotten.
A replaced key whose end has come is destroyed by the way, where your token may.`,
    );
  return addPage(command, 'the key id of the last key of the page before').action(
    context.vaultAction<Options, [string]>(async ({ access, options, output, terminal }, tenant) => {
      const { owner } = options;
      if (owner !== undefined) checkOwnerId(owner);
      // Whoever only looks may not destroy, and sees such a key as ended.
      const destroyed = await settleRotations(access, tenant).catch((error: unknown) => {
        if (error instanceof PosternError && error.code === 'access_denied') return [];
        throw error;
      });
      if (destroyed.length > 0)
        output.note(`destroyed, since a rotation ended ${destroyed.length === 1 ? 'it' : 'them'}: ${destroyed.join(', ')}`);
      const endings = await endingsIfKnown(access);
      const hasEnded = (keyId: string): boolean => endings?.knownAt('credential', keyId) !== undefined;
      const [all, bound] = await Promise.all([
        listKeys(access, tenant, { onProgress: output.counter('keys'), signal: terminal.signal, hasEnded }),
        readBoundCidrs(access, tenant),
      ]);
      const { keys, next } = pageOfKeys(owner === undefined ? all : all.filter((key) => key.owner === owner), options);
      const time = (iso: string | null, never: string): string => (output.forPeople ? moment(iso, never) : (iso ?? never));
      const rows = keys.map((one) => [
        one.key_id,
        one.accessor,
        one.name ?? '-',
        one.owner ?? '-',
        one.environment ?? '-',
        one.state,
        one.scopes?.join(' ') ?? 'all',
        formatLimits(one.limits) || '-',
        one.issued_by ?? '-',
        time(one.issued_at, '-'),
        time(one.expires_at, 'when revoked'),
        time(one.last_used_at, 'never seen'),
        usableFrom(one.cidrs, bound, ','),
      ]);
      output.result({ tenant, tenant_cidrs: bound, keys, next: next ?? null }, output.table(HEADINGS, rows));
      if (next !== undefined) output.note(`There are more: --after ${next}`);
      if (keys.length === 0 && options.after === undefined)
        output.note(owner === undefined ? `${tenant} has no API key: postern key issue ${tenant}` : `${owner} has no key of ${tenant}`);
      for (const { state, key_id: keyId, replaces } of keys) {
        if (state === 'unconfirmed')
          output.warn(
            `${keyId} was issued by a rotation that was interrupted: run it again (postern key rotate ${tenant} ` +
              `${replaces}), or revoke ${keyId}.`,
          );
      }
    }),
  );
}

/** Whoever may not read them sees a key whose revocation broke off as active. */
async function endingsIfKnown(access: VaultAccess): Promise<Endings | undefined> {
  return readEndings(access).catch((error: unknown) => {
    if (error instanceof PosternError && error.code === 'access_denied') return undefined;
    throw error;
  });
}
