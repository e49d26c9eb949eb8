import type { Command } from 'commander';
import type { Context } from './context.ts';
import { planCommand } from './migrate/plan.ts';

export function migrateCommand(context: Context): Command {
  return context.command('migrate', 'away from one Auth0 M2M application a customer').addCommand(planCommand(context));
}
