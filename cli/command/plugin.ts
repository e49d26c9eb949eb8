import type { Command } from 'commander';
import type { Context } from './context.ts';
import { installCommand } from './plugin/install.ts';
import { upgradeCommand } from './plugin/upgrade.ts';

export function pluginCommand(context: Context): Command {
  const group = context.command('plugin', "Vault's secrets plugin, auth0/: for platform engineers, see docs/plugin.md");
  for (const command of [installCommand, upgradeCommand]) group.addCommand(command(context));
  return group;
}
