import type { Command } from 'commander';
import { disableTenant } from '#broker/operator/tenant/disable.ts';
import type { Context } from '#cli/command/context.ts';
import { tenantText } from './show.ts';

export function disableCommand(context: Context): Command {
  return context
    .command('disable', 'give a tenant nothing any more, on every broker within 2 s; its credentials stay', [
      ['postern tenant disable acme', 'tokens that it holds already go on until they expire'],
    ])
    .argument('<tenant>')
    .action(
      context.vaultAction<object, [string]>(async ({ access, output }, tenant) => {
        const now = await disableTenant(access, tenant);
        output.result(now, tenantText(output, now));
        output.note(`To undo it: postern tenant enable ${tenant}`);
      }),
    );
}
