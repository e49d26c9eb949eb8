import type { Command } from 'commander';
import type { Context } from './context.ts';
import { issueCommand } from './secret/issue.ts';
import { listCommand } from './secret/list.ts';
import { revokeCommand } from './secret/revoke.ts';
import { rotateCommand } from './secret/rotate.ts';

export function secretCommand(context: Context): Command {
  const group = context.command('secret', "tenants' secret_ids (their client_secret): several can live side by side");
  for (const command of [issueCommand, listCommand, rotateCommand, revokeCommand]) group.addCommand(command(context));
  return group;
}
