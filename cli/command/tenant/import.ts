import { InvalidArgumentError, Option } from 'commander';
import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import type { Fault } from '#broker/operator/bulk/row.ts';
import type { Format } from '#broker/operator/bulk/table.ts';
import type { Context } from '#cli/command/context.ts';
import { seconds } from '#cli/command/duration.ts';

interface Options {
  format?: Format;
  dryRun?: boolean;
  update?: boolean;
  replace?: boolean;
  parallel: number;
  wrapTtl: number;
  wrap: boolean;
  issued?: string;
  journal?: string;
}

/** Faults told one by one. */
const TOLD = 20;

export function importCommand(context: Context): Command {
  return context
    .command('import', 'make many tenants from a CSV or JSON file; run again, it goes on', [
      ['postern tenant import customers.csv --dry-run', 'look at every line, and change nothing'],
      ['postern tenant import customers.csv', 'what is issued goes to customers.csv.issued'],
      ['postern tenant export | postern tenant import - --update', 'back to what it was'],
    ])
    .argument('<file>', 'its columns are those of `postern tenant export`; - reads standard input')
    .addOption(new Option('--format <format>', 'csv or json (default: by what the file begins with)').choices(['csv', 'json']))
    .option('--dry-run', 'check the whole file against Vault, and change nothing')
    .option('--update', 'change tenants that are there and differ; else they are told as failures')
    .option('--replace', 'with --update: take away grants that the file leaves out')
    .option('--parallel <number>', 'tenants at once, 1 to 64', width, 16)
    .option('--issued <file>', 'where keys and secret_ids go, one JSON document a line, for you alone (default: <file>.issued)')
    .option('--wrap-ttl <duration>', 'life of the wrapping tokens in which secret_ids come', seconds, 86_400)
    .option('--no-wrap', 'put secret_ids into the file themselves')
    .option('--journal <file>', 'what was issued so far, without secrets (default: <file>.journal)')
    .addHelpText(
      'after',
      `
A line asks for a credential by \`issue\` (key or secret_id), and names it by \`credential\` (default: import). It gets one,
however often the import is broken off and run again: what was issued and seen by nobody is revoked. Keys can't be
wrapped. Cells: grants \`orders=read:orders write:orders; reports=read:reports\`; lists parted by spaces; claims,
self_service and trusts in JSON.`,
    )
    .action(
      context.vaultAction<Options, [string]>(async ({ access, options, output, terminal, end }, file) => {
        const { readTable, readRows, importTenants, readApis, DurableFile, Journal } = await modules();
        const { tableInput } = await import('./table-input.ts');
        if (options.replace && !options.update) throw new PosternError('invalid_request', '--replace goes with --update');
        const { entries, format } = readTable(await tableInput(terminal, file), options.format);
        const apis = await readApis(access);
        const { rows, faults } = readRows(entries, apis);
        const where = ({ at }: Fault): string => `${format === 'csv' ? 'line' : 'entry'} ${at}`;
        if (faults.length > 0) {
          const told = faults.slice(0, TOLD).map((fault) => `  ${where(fault)}: ${fault.message.replaceAll('\n', ' ')}`);
          if (faults.length > TOLD) told.push(`  and ${faults.length - TOLD} more`);
          throw new PosternError('invalid_request', `Nothing was changed. The file can't be taken:\n${told.join('\n')}`);
        }
        await using undo = new AsyncDisposableStack();
        const asks = rows.some(({ issue }) => issue !== undefined) && options.dryRun !== true;
        let issuing;
        if (asks) {
          const journal = await Journal.open(beside(options.journal, file, '.journal', '--journal'), options.vaultAddr);
          undo.defer(() => journal.close());
          const issued = await DurableFile.open(beside(options.issued, file, '.issued', '--issued'));
          undo.defer(() => issued.close());
          issuing = { journal, issued, wrap: options.wrap ? options.wrapTtl : (false as const) };
        }
        const result = await importTenants(access, rows, {
          apis,
          issuing,
          update: options.update,
          replace: options.replace,
          dryRun: options.dryRun,
          width: options.parallel,
          onProgress: output.counter('tenants'),
          signal: terminal.signal,
        });
        const { made, changed, unchanged, failed, left, issued } = result;
        const would = options.dryRun ? 'would be ' : '';
        output.result(
          { dry_run: options.dryRun === true, ...result },
          output.fields([
            [`${would}made`, String(made)],
            [`${would}changed`, String(changed)],
            ['unchanged', String(unchanged)],
            ['failed', String(failed.length)],
            ...(left === 0 ? [] : [['not begun', String(left)] as const]),
            ['credentials issued', String(issued)],
          ]),
        );
        for (const fault of failed.slice(0, TOLD))
          output.note(`${where(fault)}: ${fault.tenant}: ${fault.message}${fault.remedy === null ? '' : ` ${fault.remedy}`}`);
        if (failed.length > TOLD) output.note(`and ${failed.length - TOLD} more: see them all with --json`);
        if (issued > 0)
          output.warn(
            `${options.issued ?? `${file}.issued`} holds what was issued: hand it out by a channel that you trust, then remove it.`,
          );
        if (left > 0) output.note('Run the same command again: it goes on.');
        if (failed.length > 0 || left > 0) end(left > 0 ? 5 : 4);
      }),
    );
}

/** Read when they are needed: every other command starts without them. */
async function modules() {
  const [table, row, bulk, apis, file, journal] = await Promise.all([
    import('#broker/operator/bulk/table.ts'),
    import('#broker/operator/bulk/row.ts'),
    import('#broker/operator/bulk/import.ts'),
    import('#broker/operator/apis.ts'),
    import('#broker/operator/bulk/durable-file.ts'),
    import('#broker/operator/bulk/journal.ts'),
  ]);
  return { ...table, ...row, ...bulk, ...apis, ...file, ...journal };
}

/** @throws {PosternError} invalid_request where standard input has no name to go by */
function beside(named: string | undefined, file: string, ending: string, flag: string): string {
  if (named !== undefined) return named;
  if (file !== '-') return `${file}${ending}`;
  throw new PosternError('invalid_request', `What comes by standard input and asks for credentials needs ${flag} FILE`);
}

function width(text: string): number {
  const value = Number(text);
  if (!/^\d{1,2}$/.test(text) || value < 1 || value > 64) throw new InvalidArgumentError('It is a number from 1 to 64.');
  return value;
}
