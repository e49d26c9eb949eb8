import type { Command } from 'commander';
import { announce } from '#broker/operator/announcement.ts';
import type { Context } from './context.ts';

/** Stands for all tenants in an announcement. No tenant has such a name. */
const ALL = '*';

export function announceCommand(context: Context): Command {
  const group = context.command('announce', 'tell the brokers what they can find out by nothing else');
  group.addCommand(
    context
      .command('replayed', 'after a restore of Vault: what it lost was done again, so brokers stop warning of it', [
        ['postern announce replayed', 'docs/restore.md says what comes before'],
      ])
      .action(
        context.vaultAction<object>(async ({ access, output }) => {
          const { epoch } = await announce(access, ALL, 'replayed');
          output.result({ replayed: true, epoch }, `Announced to the brokers (announcement ${epoch}): their warning ends.`);
        }),
      ),
  );
  return group;
}
