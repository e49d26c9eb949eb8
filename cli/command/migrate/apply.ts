import { resolve } from 'node:path';
import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { readApis } from '#broker/operator/apis.ts';
import { DurableFile } from '#broker/operator/bulk/durable-file.ts';
import { applyMigration } from '#broker/operator/migration/apply.ts';
import { MigrationJournal } from '#broker/operator/migration/journal.ts';
import type { Context } from '#cli/command/context.ts';
import { seconds } from '#cli/command/duration.ts';
import { JOURNAL, beside, journalPath, mappingOf, openJournal, printable } from './migration.ts';
import type { MigrationOptions } from './migration.ts';

interface Options extends MigrationOptions {
  yes?: boolean;
  update?: boolean;
  replace?: boolean;
  issued?: string;
  wrap: boolean;
  wrapTtl: number;
}

/** Tenants at once. */
const WIDTH = 16;
/** Faults told one by one. */
const TOLD = 20;

export function applyCommand(context: Context): Command {
  return context
    .command('apply', 'make a tenant, its grants and a credential for each application of the plan; changes nothing without --yes', [
      ['postern migrate apply plan.json', 'look at what would be made'],
      ['postern migrate apply plan.json --yes', 'what is issued goes to plan.json.issued'],
    ])
    .argument('<plan>', 'of `postern migrate plan --out`, with your changes')
    .option('--yes', 'do it')
    .option('--update', 'change tenants that are there and differ; else they are told as failures')
    .option('--replace', 'with --update: take away grants that the plan leaves out')
    .option('--issued <file>', 'where the credentials go, one JSON document a line, for you alone (default: <plan>.issued)')
    .option('--wrap-ttl <duration>', 'life of the wrapping tokens in which secret_ids come', seconds, 604_800)
    .option('--no-wrap', 'put secret_ids into the file themselves')
    .option(...JOURNAL)
    .addHelpText(
      'after',
      `
In the plan you may change \`tenant\`, \`migrate\` and \`grants\` of an application, and add \`organization\`, \`claims\`, \`cidrs\`,
\`default_api\`, \`token_ttl\`, \`secret_id_ttl\`, \`secret_id_num_uses\`, \`limits\` and \`issue\` (secret_id, key, or null for none).
Auth0 is neither asked nor changed: applications go on until \`postern migrate retire\`. Broken off and run again, it goes on:
each application gets one credential, and what was issued and seen by nobody is revoked.`,
    )
    .action(
      context.vaultAction<Options, [string]>(async ({ access, options, output, terminal, end }, file) => {
        const mapping = await mappingOf(terminal, file);
        const apis = await readApis(access);
        await using undo = new AsyncDisposableStack();
        let to;
        let of;
        if (options.yes === true) {
          const journal = await openJournal(options, file, mapping);
          undo.defer(() => journal.close());
          const path = beside(options.issued, file, '.issued', '--issued');
          if (resolve(path) === resolve(journalPath(options, file)))
            throw new PosternError('invalid_request', '--issued and --journal are one file: the journal holds no secret');
          const issued = await DurableFile.open(path);
          undo.defer(() => issued.close());
          to = { journal, issued, wrap: options.wrap ? options.wrapTtl : (false as const) };
          of = (id: string) => journal.of(id);
        } else {
          const known = file === '-' && options.journal === undefined ? new Map() : await MigrationJournal.read(journalPath(options, file));
          of = (id: string) => known.get(id) ?? { observations: [], state: 'planned' as const };
        }
        const result = await applyMigration(access, mapping, {
          apis,
          of,
          to,
          update: options.update,
          replace: options.replace,
          width: WIDTH,
          onProgress: output.counter('applications'),
          signal: terminal.signal,
        });
        const { made, changed, unchanged, skipped, failed, left, issued } = result;
        const would = to === undefined ? 'would be ' : '';
        output.result(
          { dry_run: to === undefined, ...result },
          output.fields([
            [`tenants ${would}made`, String(made)],
            [`${would}changed`, String(changed)],
            ['unchanged', String(unchanged)],
            ['skipped', String(skipped)],
            ['failed', String(failed.length)],
            ...(left === 0 ? [] : [['not begun', String(left)] as const]),
            ['credentials issued', String(issued)],
          ]),
        );
        for (const { tenant, message, remedy } of failed.slice(0, TOLD))
          output.note(`${tenant}: ${printable(message)}${remedy === null ? '' : ` ${remedy}`}`);
        if (failed.length > TOLD) output.note(`and ${failed.length - TOLD} more: see them all with --json`);
        if (issued > 0)
          output.warn(
            `${options.issued ?? `${file}.issued`} holds what was issued: hand it out by a channel that you trust, then remove it.`,
          );
        if (to === undefined) output.note('Nothing was changed: --yes does it.');
        else if (left > 0) output.note('Run the same command again: it goes on.');
        if (failed.length > 0 || left > 0) end(left > 0 ? 5 : 4);
      }),
    );
}
