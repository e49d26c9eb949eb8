import type { Command } from 'commander';
import { enableTenant } from '#broker/operator/tenant/disable.ts';
import type { Context } from '#cli/command/context.ts';
import { tenantText } from './show.ts';

export function enableCommand(context: Context): Command {
  return context
    .command('enable', 'undo `disable`', [['postern tenant enable acme', 'its credentials work again']])
    .argument('<tenant>')
    .action(
      context.vaultAction<object, [string]>(async ({ access, output }, tenant) => {
        const now = await enableTenant(access, tenant);
        output.result(now, tenantText(output, now));
      }),
    );
}
