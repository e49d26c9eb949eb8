import { Option } from 'commander';
import type { Command } from 'commander';
import { rotateKey } from '#broker/operator/key/rotate.ts';
import { boundCidrsIfKnown } from '#broker/operator/tenant/bound-cidrs.ts';
import type { Context } from '#cli/command/context.ts';
import { moment, seconds } from '#cli/command/duration.ts';
import { show } from './issued.ts';

interface Options {
  overlap: number;
}

const DEFAULT_OVERLAP = '24h';

export function rotateCommand(context: Context): Command {
  return context
    .command('rotate', 'a new API key in place of another, which ends after an overlap', [
      ['(umask 077; postern key rotate acme key_0f1e2d3c4b5a69788796a5b4 > key)', `both are good for ${DEFAULT_OVERLAP}`],
      ['postern key rotate acme key_0f1e2d3c4b5a69788796a5b4 --overlap 0', 'the old one ends at once'],
    ])
    .argument('<tenant>')
    .argument('<key>', 'key id or accessor')
    .addOption(
      new Option('--overlap <duration>', 'for how long the old key goes on beside the new one, up to 30d')
        .argParser(seconds)
        .default(seconds(DEFAULT_OVERLAP), DEFAULT_OVERLAP),
    )
    .addHelpText(
      'after',
      `
The new key has the old one's name, scopes, CIDRs, environment and length of life, counted from now. The old key gets its end
only after the new one was shown. Interrupted at any point, run the same command again: a new key that was issued, and
perhaps shown, is destroyed, and another one is shown; the old key goes on meanwhile. Exit code 4 means that it is
replaced already, or that there is no such key.
At its end brokers refuse the old key; it is destroyed at Vault by the next \`key list\`, \`issue\`, \`rotate\` or \`prune\`.`,
    )
    .action(
      context.vaultAction<Options, [string, string]>(async ({ access, options, output, terminal }, tenant, key) => {
        const { warnings } = await rotateKey(access, {
          tenant,
          key,
          overlap: options.overlap,
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
