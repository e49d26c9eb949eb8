import type { Command } from 'commander';
import { removeTrust } from '#broker/operator/trust/remove.ts';
import type { Context } from '#cli/command/context.ts';

export function removeCommand(context: Context): Command {
  return context
    .command('remove', 'no token is trusted by it any more', [['postern trust remove acme ci', 'holds on every broker within 2 s']])
    .argument('<tenant>')
    .argument('<name>')
    .action(
      context.vaultAction<object, [string, string]>(async ({ access, output }, tenant, name) => {
        const { epoch, managed_by: manager } = await removeTrust(access, tenant, name);
        output.result(
          { removed: true, tenant, name, epoch },
          `${tenant} no longer trusts ${name}; announced to the brokers (announcement ${epoch}).`,
        );
        output.note('Access tokens that it was given live on until they end.');
        if (manager === 'terraform') output.warn('Terraform wrote it, and brings it back with the next apply: take it out there too.');
      }),
    );
}
