import type { Command } from 'commander';
import { configCommand } from './agent/config.ts';
import type { Context } from './context.ts';

export function agentCommand(context: Context): Command {
  return context.command('agent', "a Vault Agent beside a customer's workload").addCommand(configCommand(context));
}
