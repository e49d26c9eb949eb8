import type { Command } from 'commander';
import { listTrusts } from '#broker/operator/trust/view.ts';
import type { Context } from '#cli/command/context.ts';

export function listCommand(context: Context): Command {
  return context
    .command('list', "a tenant's trusts", [['postern trust list acme', 'all of one tenant']])
    .argument('<tenant>')
    .action(
      context.vaultAction<object, [string]>(async ({ access, output }, tenant) => {
        const trusts = await listTrusts(access, tenant);
        const rows = trusts.map((one) => [
          one.name,
          one.issuer,
          one.audience,
          one.subject ?? one.subject_pattern ?? '-',
          one.scopes?.join(' ') ?? 'all',
          one.cidrs.join(',') || 'anywhere',
          one.managed_by ?? 'operators',
        ]);
        output.result(
          { tenant, trusts },
          output.table(['NAME', 'ISSUER', 'AUDIENCE', 'SUBJECT', 'SCOPES', 'USABLE FROM', 'WRITTEN BY'], rows),
        );
        for (const { name, problem } of trusts) if (problem !== null) output.warn(`Brokers refuse ${name}: ${problem}`);
        if (trusts.length === 0) output.note(`${tenant} trusts nobody: postern trust add ${tenant} --help`);
      }),
    );
}
