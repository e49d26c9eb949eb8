import type { Command } from 'commander';
import type { Context } from './context.ts';
import { applyCommand } from './migrate/apply.ts';
import { planCommand } from './migrate/plan.ts';
import { retireCommand } from './migrate/retire.ts';
import { statusCommand } from './migrate/status.ts';
import { verifyCommand } from './migrate/verify.ts';

export function migrateCommand(context: Context): Command {
  return context
    .command('migrate', 'away from one Auth0 M2M application a customer')
    .addCommand(planCommand(context))
    .addCommand(applyCommand(context))
    .addCommand(verifyCommand(context))
    .addCommand(retireCommand(context))
    .addCommand(statusCommand(context));
}
