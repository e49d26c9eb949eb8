import type { IssuedKey } from '#broker/operator/key/issue.ts';
import { formatLimits } from '#broker/rate-limit/limits.ts';
import { moment } from '#cli/command/duration.ts';
import { usableFrom } from '#cli/command/usable-from.ts';
import type { Output } from '#cli/output.ts';

/**
 * Shows a key for the one time that it can be shown: alone on stdout, so that it can go straight into a file; what belongs to it on stderr.
 * @param bound where its tenant's credentials may be used from
 */
export async function show(
  output: Output,
  issued: IssuedKey,
  bound: readonly string[] | undefined,
  more: readonly (readonly [name: string, value: string])[] = [],
): Promise<void> {
  output.result(issued, issued.key);
  await output.taken();
  if (!output.json) {
    output.note(
      `\n${output.fields([
        ['tenant', issued.tenant],
        ['key id', issued.key_id],
        ['accessor', issued.accessor ?? 'not told by this Vault'],
        ...(issued.name === null ? [] : [['name', issued.name] as const]),
        ...(issued.owner === null ? [] : [['owner', issued.owner] as const]),
        ['expires', moment(issued.expires_at, 'when revoked')],
        ['scopes', issued.scopes?.join(' ') ?? `all that ${issued.tenant} has`],
        ...(issued.limits === null ? [] : [['requests', `at most ${formatLimits(issued.limits).replaceAll(',', ', ')}`] as const]),
        ['usable from', usableFrom(issued.cidrs, bound)],
        ...more,
      ])}`,
    );
  }
  output.warn('the key stands on stdout, and is shown this once: keep it out of logs, shell history and chats.');
  for (const warning of issued.warnings) output.warn(warning);
}
