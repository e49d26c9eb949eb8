import { Option } from 'commander';
import type { Command } from 'commander';
import type { Format } from '#broker/operator/bulk/table.ts';
import type { Context } from '#cli/command/context.ts';

/** Names in a warning. */
const TOLD = 10;

export function exportCommand(context: Context): Command {
  return context
    .command('export', 'every tenant as `postern tenant import` reads it; no secret is in it', [
      ['postern tenant export > tenants.csv', 'for a spreadsheet'],
      ['postern tenant export --format json > tenants.json', 'for a program'],
    ])
    .addOption(new Option('--format <format>', 'csv, or json as with --json').choices(['csv', 'json']).default('csv'))
    .addHelpText('after', '\nEach is written as soon as it is read: what is broken off is not whole, and the exit code says so.')
    .action(
      context.vaultAction<{ format: Format }>(async ({ access, options, output, terminal }) => {
        const [{ exportTenants }, { csvHeader, csvRow }] = await Promise.all([
          import('#broker/operator/bulk/export.ts'),
          import('#broker/operator/bulk/table.ts'),
        ]);
        const list = output.json || options.format === 'json' ? output.list('tenants', [], true) : undefined;
        const left: string[] = [];
        let more = 0;
        let begun = list !== undefined;
        for await (const { tenant, record } of exportTenants(access, { onProgress: output.counter('tenants'), signal: terminal.signal })) {
          if (record === undefined && left.length < TOLD) left.push(tenant);
          else if (record === undefined) more += 1;
          else if (list !== undefined) await list.add(record, () => []);
          else {
            await output.text(`${begun ? '' : csvHeader()}${csvRow(record)}`);
            begun = true;
          }
        }
        await list?.end();
        if (!begun) await output.text(csvHeader());
        if (left.length > 0)
          output.warn(`${left.join(', ')}${more > 0 ? ` and ${more} more` : ''} left out, for they are incomplete: postern doctor`);
      }),
    );
}
