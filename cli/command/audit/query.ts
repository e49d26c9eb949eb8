import { once } from 'node:events';
import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import type { Call, Context } from '#cli/command/context.ts';
import { count } from '#cli/command/duration.ts';
import { auditFile } from './file.ts';
import { HEADINGS, addFilters, cells, matcher, needles, parsed } from './filter.ts';
import type { AuditLine, FilterOptions } from './filter.ts';
import { followed, linesOf } from './lines.ts';

interface Options extends FilterOptions {
  limit?: number;
}

export function queryCommand(context: Context): Command {
  const command = context
    .command('query', "find lines of brokers' audits, oldest first", [
      [
        'postern audit query /var/log/postern/audit.jsonl --key key_0f1e2d3c4b5a69788796a5b4 --from 7d',
        'what a leaked key did, and where from',
      ],
      ['zcat audit.jsonl.*.gz | postern audit query - --tenant acme --outcome refused --json | jq .address', 'the same from older files'],
      ['kubectl logs -l app=postern --prefix=false | postern audit query --client 5f0c…', 'what replicas write to stdout'],
    ])
    .argument('[file...]', 'audits, one after the other; - is standard input (default: POSTERN_AUDIT_FILE, or what is piped in)');
  return addFilters(command)
    .option('--limit <lines>', 'end after so many', count)
    .addHelpText(
      'after',
      '\nWith --json each line comes as the broker wrote it, one JSON object a line. Exit code 4 means that none was found.',
    )
    .action(
      context.action<Options, [string[]]>(async (call, files) => {
        const { options, output, terminal, end } = call;
        const { limit = Infinity } = options;
        const show = printer(call);
        let found = 0;
        for (const file of files.length === 0 ? [auditFile(terminal, undefined)] : files) {
          if (found >= limit) break;
          for await (const { line, raw } of chosen(linesOf(terminal, file), options)) {
            await show(line, raw);
            found += 1;
            if (found >= limit) break;
          }
        }
        if (found > 0) return;
        output.note('No line matches.');
        end(4);
      }),
    );
}

export function tailCommand(context: Context): Command {
  const command = context
    .command('tail', "show lines of a broker's audit as it writes them, until Ctrl-C", [
      ['postern audit tail /var/log/postern/audit.jsonl --key key_0f1e2d3c4b5a69788796a5b4', 'whether a revoked key is still tried'],
      ['journalctl -fu postern -o cat | postern audit tail --outcome refused', 'refusals, where the audit goes to stdout'],
    ])
    .argument('[file]', 'the audit (default: POSTERN_AUDIT_FILE, or what is piped in)');
  return addFilters(command)
    .option('--all', 'also what is in the file already')
    .option('--limit <lines>', 'end after so many', count)
    .addHelpText('after', '\nA file is followed through its rotation. With --json each line comes as the broker wrote it.')
    .action(
      context.action<Options & { all?: boolean }, [string | undefined]>(async (call, named) => {
        const { options, terminal } = call;
        const { limit = Infinity, all = false } = options;
        const file = auditFile(terminal, named);
        const show = printer(call);
        let found = 0;
        if (limit === 0) return;
        const lines = file === '-' ? linesOf(terminal, file) : followed(file, terminal.signal, all);
        for await (const { line, raw } of chosen(lines, options)) {
          await show(line, raw);
          found += 1;
          if (found >= limit) break;
        }
      }),
    );
}

/** Those of an audit's lines that match. */
export async function* chosen(lines: AsyncIterable<string>, options: FilterOptions): AsyncGenerator<{ line: AuditLine; raw: string }> {
  const wanted = needles(options);
  const matches = matcher(options);
  for await (const raw of lines) {
    if (!wanted.every((text) => raw.includes(text))) continue;
    const line = parsed(raw);
    if (line !== undefined && matches(line)) yield { line, raw };
  }
}

/** Prints lines one by one, no faster than they are read on. */
function printer({ output, terminal: { stdout } }: Call): (line: AuditLine, raw: string) => Promise<void> {
  let first = true;
  return async (line, raw) => {
    const row = cells(line).map((cell, at) => (output.forPeople ? cell.padEnd(WIDTHS[at] ?? 0) : cell));
    const heading = HEADINGS.map((cell, at) => cell.padEnd(WIDTHS[at] ?? 0)).join('  ');
    if (first && output.forPeople && !output.json) stdout.write(`${output.style('bold', heading.trimEnd())}\n`);
    first = false;
    const text = output.json ? raw : row.join(output.forPeople ? '  ' : '\t').trimEnd();
    if (stdout.destroyed) throw new PosternError('invalid_request', 'Nobody reads on');
    if (!stdout.write(`${text}\n`)) await once(stdout, 'drain');
  };
}

/** Lines come one by one, so that columns can't be as wide as the widest. */
const WIDTHS = [24, 19, 8, 16, 28, 10, 12, 15, 0];
