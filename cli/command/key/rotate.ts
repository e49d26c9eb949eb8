import { Option } from 'commander';
import type { Command } from 'commander';
import { rotateKey } from '#broker/operator/key/rotate.ts';
import type { RotateOptions } from '#broker/operator/key/rotate.ts';
import { boundCidrsIfKnown } from '#broker/operator/tenant/bound-cidrs.ts';
import { listKeys } from '#broker/operator/key/list.ts';
import { PosternError } from '#broker/error.ts';
import type { Context, VaultCall } from '#cli/command/context.ts';
import { inWords, moment, seconds } from '#cli/command/duration.ts';
import { limits } from '#cli/command/limit.ts';
import { show } from './issued.ts';

interface Options {
  overlap: number;
  all?: boolean;
  since: number;
  limit?: string[] | false;
}

const DEFAULT_OVERLAP = '24h';

export function rotateCommand(context: Context): Command {
  return context
    .command('rotate', 'a new API key in place of another, which ends after an overlap', [
      ['(umask 077; postern key rotate acme key_0f1e2d3c4b5a69788796a5b4 > key)', `both are good for ${DEFAULT_OVERLAP}`],
      ['postern key rotate acme key_0f1e2d3c4b5a69788796a5b4 --overlap 0', 'the old one ends at once'],
      ['(umask 077; postern key rotate acme key_0f1e2d3c4b5a69788796a5b4 --limit 600/min > key)', 'the new one may be used so often'],
      ['(umask 077; postern key rotate acme --all >> keys)', 'all of them: old key id, new key id, key; interrupted, run it again'],
    ])
    .argument('<tenant>')
    .argument('[key]', 'key id or accessor')
    .option('--all', 'every key of the tenant, one after the other, but those of its people')
    .addOption(
      new Option('--since <duration>', 'with --all: a key that a rotation issued less than so long ago is done already')
        .argParser(seconds)
        .default(seconds(DEFAULT_OVERLAP), DEFAULT_OVERLAP),
    )
    .addOption(
      new Option('--overlap <duration>', 'for how long the old key goes on beside the new one, up to 30d')
        .argParser(seconds)
        .default(seconds(DEFAULT_OVERLAP), DEFAULT_OVERLAP),
    )
    .addOption(
      new Option(
        '--limit <number/unit>',
        'most requests by the new key, such as 100/s, 600/min, 10000/day or 50/burst (repeatable)',
      ).argParser((value: string, before: string[] | false | undefined) => [...(before || []), value]),
    )
    .addOption(new Option('--no-limit', 'none of its own'))
    .addHelpText(
      'after',
      `
The new key has the old one's name, scopes, limits (but for --limit), CIDRs, environment and length of life, counted from now. The old
key gets its end only after the new one was shown. Interrupted at any point, run the same command again: a new key that was issued, and
perhaps shown, is destroyed, and another one is shown; the old key goes on meanwhile. Exit code 4 means that it is
replaced already, or that there is no such key.
--all writes one line a key as soon as it is issued: its old key id, its new one, the key; with --json one document a line. Run it
again within --since and only those that are left are rotated, so append to the file (>>).
At its end brokers refuse the old key; it is destroyed at Vault by the next \`key list\`, \`issue\`, \`rotate\` or \`prune\`.`,
    )
    .action(
      context.vaultAction<Options, [string, string | undefined]>(async (call, tenant, key) => {
        const { access, options, output, terminal } = call;
        if ((key === undefined) !== (options.all === true))
          throw new PosternError('invalid_request', key === undefined ? 'Which key?' : 'Name a key or --all, not both', {
            detail: `Name its key id (postern key list ${tenant}), or --all.`,
          });
        if (key === undefined) return rotateAll(call, tenant);
        const { warnings } = await rotateKey(access, {
          tenant,
          key,
          overlap: options.overlap,
          ...limitsOf(options),
          signal: terminal.signal,
          async deliver(rotated) {
            await show(output, rotated, await boundCidrsIfKnown(access, tenant), [
              ['replaces', rotated.replaces],
              ['which ends', moment(rotated.replaces_until, '')],
            ]);
            if (rotated.abandoned.length > 0)
              output.warn(
                `an interrupted run issued ${rotated.abandoned.join(', ')}, which is destroyed: if it was shown, do ` +
                  'not use it, but the one above.',
              );
          },
        });
        for (const warning of warnings) output.warn(warning);
      }),
    );
}

function limitsOf({ limit }: Options): Pick<RotateOptions, 'limits'> {
  if (limit === undefined) return {};
  return { limits: limit === false ? null : limits(limit) };
}

/** One after the other: what is shown is counted, and an interruption leaves at most one that was issued and not shown. */
async function rotateAll({ access, options, output, terminal }: VaultCall<Options>, tenant: string): Promise<void> {
  const { signal } = terminal;
  const keys = await listKeys(access, tenant, { onProgress: output.counter('keys'), signal });
  const from = Date.now() - options.since * 1000;
  const active = keys.filter(({ state }) => state === 'active');
  const people = active.filter(({ owner }) => owner !== null).length;
  const own = active.filter(({ owner }) => owner === null);
  const todo = own.filter(({ replaces, issued_at: at }) => replaces === null || at === null || Date.parse(at) < from);
  const rotated: string[] = [];
  const warnings: string[] = [];
  for (const { key_id: keyId } of todo) {
    if (signal.aborted) break;
    const done = await rotateKey(access, {
      tenant,
      key: keyId,
      overlap: options.overlap,
      ...limitsOf(options),
      signal,
      async deliver(issued) {
        output.line(output.json ? JSON.stringify(issued) : `${issued.replaces}\t${issued.key_id}\t${issued.key}`);
        await output.taken();
        rotated.push(keyId);
        for (const warning of issued.warnings) warnings.push(`${issued.key_id}: ${warning}`);
      },
    }).catch((error: unknown) => {
      output.warn(`${rotated.length} of ${todo.length} keys of ${tenant} are rotated: run it again for the others.`);
      throw error;
    });
    warnings.push(...done.warnings);
    output.progress(`rotated: ${rotated.length} of ${todo.length}`);
  }
  for (const warning of warnings) output.warn(warning);
  const before = own.length - todo.length;
  output.note(
    `${rotated.length} keys of ${tenant} are rotated${before === 0 ? '' : `; ${before} had been within the last ${inWords(options.since)}`}` +
      `${people === 0 ? '' : `; ${people} of its people are left: those are theirs to rotate (or postern key rotate ${tenant} <key>)`}.`,
  );
  if (rotated.length > 0) output.warn('the keys stand on stdout, and are shown this once: keep them out of logs, shell history and chats.');
  signal.throwIfAborted();
}
