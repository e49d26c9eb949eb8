import type { Command } from 'commander';
import { listTenants } from '#broker/operator/tenant/list.ts';
import type { Context } from '#cli/command/context.ts';

export function listCommand(context: Context): Command {
  return context
    .command('list', 'every tenant', [
      ['postern tenant list', 'a table; tab-separated where it is piped'],
      ['postern tenant list --json | jq -r \'.tenants[] | select(.state != "active").tenant\'', 'those that get nothing'],
    ])
    .action(
      context.vaultAction(async ({ access, output, terminal }) => {
        const tenants = await listTenants(access, { onProgress: output.counter('tenants'), signal: terminal.signal });
        const rows = tenants.map((one) => [
          one.tenant,
          one.state,
          one.grants.map(({ api }) => api).join(',') || '-',
          one.organization ?? '-',
          one.role_id ?? '-',
        ]);
        output.result({ tenants }, output.table(['TENANT', 'STATE', 'APIS', 'ORGANIZATION', 'CLIENT_ID'], rows));
        if (tenants.length === 0) output.note('There is no tenant yet: postern tenant create --help');
        const wrong = tenants.filter(({ problems }) => problems.length > 0);
        if (wrong.length > 0)
          output.warn(
            `${wrong
              .map(({ tenant }) => tenant)
              .slice(0, 10)
              .join(', ')}${wrong.length > 10 ? ' and others' : ''} not set up right: postern doctor`,
          );
      }),
    );
}
