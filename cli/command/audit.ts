import type { Command } from 'commander';
import { queryCommand, tailCommand } from './audit/query.ts';
import type { Context } from './context.ts';

export function auditCommand(context: Context): Command {
  const group = context.command('audit', "brokers' audits: who had which token when, and who was refused");
  for (const command of [queryCommand, tailCommand]) group.addCommand(command(context));
  return group;
}
