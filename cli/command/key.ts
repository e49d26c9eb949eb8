import type { Command } from 'commander';
import type { Context } from './context.ts';
import { identifyCommand } from './key/identify.ts';
import { issueCommand } from './key/issue.ts';
import { listCommand } from './key/list.ts';
import { pruneCommand } from './key/prune.ts';
import { revokeCommand } from './key/revoke.ts';
import { rotateCommand } from './key/rotate.ts';

export function keyCommand(context: Context): Command {
  const group = context.command('key', "tenants' API keys: one string in place of client_id and client_secret");
  for (const command of [issueCommand, listCommand, identifyCommand, rotateCommand, revokeCommand, pruneCommand])
    group.addCommand(command(context));
  return group;
}
