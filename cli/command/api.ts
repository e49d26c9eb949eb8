import type { Command } from 'commander';
import { listCommand } from './api/list.ts';
import { showCommand } from './api/show.ts';
import type { Context } from './context.ts';

export function apiCommand(context: Context): Command {
  const group = context.command('api', 'what tenants can be granted; Terraform makes them');
  for (const command of [listCommand, showCommand]) group.addCommand(command(context));
  return group;
}
