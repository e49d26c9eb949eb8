import { Option } from 'commander';
import type { Command } from 'commander';
import type { Format } from '#broker/operator/bulk/table.ts';
import type { Context } from '#cli/command/context.ts';

export function exportCommand(context: Context): Command {
  return context
    .command('export', 'every tenant as `postern tenant import` reads it; no secret is in it', [
      ['postern tenant export > tenants.csv', 'for a spreadsheet'],
      ['postern tenant export --format json > tenants.json', 'for a program'],
    ])
    .addOption(new Option('--format <format>', 'csv, or json as with --json').choices(['csv', 'json']).default('csv'))
    .action(
      context.vaultAction<{ format: Format }>(async ({ access, options, output, terminal }) => {
        const [{ exportTenants }, { writeTable }] = await Promise.all([
          import('#broker/operator/bulk/export.ts'),
          import('#broker/operator/bulk/table.ts'),
        ]);
        const { records, incomplete } = await exportTenants(access, { onProgress: output.counter('tenants'), signal: terminal.signal });
        output.result({ tenants: records }, writeTable(records, options.format));
        if (incomplete.length > 0) output.warn(`${incomplete.slice(0, 10).join(', ')} left out, for they are incomplete: postern doctor`);
      }),
    );
}
