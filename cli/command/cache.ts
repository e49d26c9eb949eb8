import type { Command } from 'commander';
import { dropCommand } from './cache/drop.ts';
import { listCommand } from './cache/list.ts';
import type { Context } from './context.ts';

export function cacheCommand(context: Context): Command {
  const group = context.command('cache', 'the tokens that brokers share in Vault: which there are, never what they say');
  for (const command of [listCommand, dropCommand]) group.addCommand(command(context));
  return group;
}
