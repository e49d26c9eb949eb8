import { Option } from 'commander';
import type { Command } from 'commander';
import { rotateSecretId } from '#broker/operator/secret/rotate.ts';
import { DEFAULT_WRAP_TTL } from '#broker/operator/secret/issue.ts';
import { boundCidrsIfKnown } from '#broker/operator/tenant/bound-cidrs.ts';
import type { Context } from '#cli/command/context.ts';
import { moment, seconds } from '#cli/command/duration.ts';
import { issuedText, wrapOption } from './issue.ts';

interface Options {
  overlap: number;
  wrap: number | boolean;
}

const DEFAULT_OVERLAP = '24h';

export function rotateCommand(context: Context): Command {
  return context
    .command('rotate', 'a new secret_id in place of another, which ends after an overlap', [
      ['postern secret rotate acme', `its only one; both are good for ${DEFAULT_OVERLAP}`],
      ['postern secret rotate acme 6f1c7f02-6c51-4d0a-8f0e-2d9a4d1f3b55 --overlap 7d', 'this one of several, by its accessor'],
      ['postern secret rotate acme --overlap 0', 'the old one ends at once'],
    ])
    .argument('<tenant>')
    .argument('[accessor]', 'the one that ends, where there are several')
    .addOption(
      new Option('--overlap <duration>', 'for how long the old one goes on beside the new one, up to 30d')
        .argParser(seconds)
        .default(seconds(DEFAULT_OVERLAP), DEFAULT_OVERLAP),
    )
    .addOption(wrapOption())
    .option('--no-wrap', 'print the secret_id itself on stdout')
    .addHelpText(
      'after',
      `
The new one has the old one's name, CIDRs and length of life, counted from now. The old one gets its end only after the new
one was shown. Interrupted at any point, run the same command again: what was issued is revoked, and another one is shown.
At its end the old one is revoked by the next \`secret list\`, \`secret rotate\` or \`key prune\`: Vault can't shorten the life of a
secret_id, so let \`postern key prune\` run each night. API keys are rotated by \`key rotate\`, which brokers end by themselves.`,
    )
    .action(
      context.vaultAction<Options, [string, string | undefined]>(async ({ access, options, output, terminal }, tenant, accessor) => {
        await rotateSecretId(access, {
          tenant,
          accessor,
          overlap: options.overlap,
          wrap: options.wrap === true ? DEFAULT_WRAP_TTL : (options.wrap as number | false),
          signal: terminal.signal,
          async deliver(issued) {
            const bound = await boundCidrsIfKnown(access, tenant);
            const text = [
              issuedText(output, issued, bound),
              output.fields([
                ['replaces', issued.replaces],
                ['which ends', moment(issued.replaces_until, '')],
              ]),
            ].join('\n');
            // Alone on stdout, so that it can go straight into a file or a secret store.
            output.result(issued, issued.secret_id ?? text);
            await output.taken();
            if (issued.secret_id !== undefined && !output.json) output.note(`\n${text}`);
            if (issued.secret_id !== undefined)
              output.warn('the secret_id stands on stdout, unwrapped: keep it out of logs, shell history and chats.');
            for (const warning of issued.warnings) output.warn(warning);
            if (issued.abandoned.length > 0)
              output.warn(`an interrupted run issued ${issued.abandoned.join(', ')}, which is revoked: if it was shown, do not use it.`);
          },
        });
      }),
    );
}
