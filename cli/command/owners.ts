import type { Command } from 'commander';
import type { Context } from './context.ts';
import { syncCommand } from './owners/sync.ts';

export function ownersCommand(context: Context): Command {
  const group = context.command('owners', 'people who have API keys of their own (docs/user-keys.md)');
  group.addCommand(syncCommand(context));
  return group;
}
