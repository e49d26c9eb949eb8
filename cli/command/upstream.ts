import type { Command } from 'commander';
import type { Context } from './context.ts';
import { importCommand } from './upstream/import.ts';
import { setCommand } from './upstream/set.ts';

export function upstreamCommand(context: Context): Command {
  const group = context.command('upstream', 'the one Auth0 application that all tenants share; only brokers can read its secret');
  for (const command of [setCommand, importCommand]) group.addCommand(command(context));
  return group;
}
