import type { Command } from 'commander';
import type { Context } from './context.ts';
import { addCommand } from './trust/add.ts';
import { listCommand } from './trust/list.ts';
import { removeCommand } from './trust/remove.ts';
import { showCommand } from './trust/show.ts';
import { testCommand } from './trust/test.ts';

export function trustCommand(context: Context): Command {
  const trust = context.command('trust', 'workloads known by the OIDC token that they already have (docs/keyless.md)');
  for (const command of [addCommand, listCommand, showCommand, removeCommand, testCommand]) trust.addCommand(command(context));
  return trust;
}
