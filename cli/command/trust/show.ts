import type { Command } from 'commander';
import { showTrust } from '#broker/operator/trust/view.ts';
import type { Context } from '#cli/command/context.ts';

export function showCommand(context: Context): Command {
  return context
    .command('show', 'what a token must be for one trust', [['postern trust show acme ci', 'each claim and what it must be']])
    .argument('<tenant>')
    .argument('<name>')
    .action(
      context.vaultAction<object, [string, string]>(async ({ access, output }, tenant, name) => {
        const view = await showTrust(access, tenant, name);
        const rows = [
          ['iss', view.issuer],
          ['aud', view.audience],
          ['sub', view.subject ?? `like ${view.subject_pattern}`],
          ...Object.entries(view.claims),
          ['scopes', view.scopes?.join(' ') ?? 'all that the tenant has'],
          ['usable from', view.cidrs.join(', ') || 'anywhere'],
          ["issuer's keys", view.keys],
          ['written by', view.managed_by ?? 'operators'],
        ];
        output.result({ ...view }, output.table(['WHAT', 'MUST BE'], rows));
        if (view.problem !== null) output.warn(`Brokers refuse it: ${view.problem}`);
      }),
    );
}
