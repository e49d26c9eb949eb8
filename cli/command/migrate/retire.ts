import type { Command } from 'commander';
import type { VaultAccess } from '#broker/operator/access.ts';
import { PosternError } from '#broker/error.ts';
import { readLastUse } from '#broker/operator/last-use.ts';
import { hasPlugin } from '#broker/operator/plugin/mounts.ts';
import { carryOut, judge, restore, settle } from '#broker/operator/migration/retire.ts';
import type { Verdict } from '#broker/operator/migration/retire.ts';
import { readUpstreamMetadata } from '#broker/operator/upstream.ts';
import { successors } from '#broker/operator/migration/successor.ts';
import type { Context } from '#cli/command/context.ts';
import { inWords, seconds } from '#cli/command/duration.ts';
import { openRetirement } from '#cli/command/management.ts';
import { JOURNAL, RETRIES, mappingOf, named, openJournal, printable, requireSameTenant } from './migration.ts';
import type { MigrationOptions } from './migration.ts';

interface Options extends MigrationOptions {
  unusedFor?: number;
  disable?: boolean;
  restore?: boolean;
  yes?: boolean;
  force?: boolean;
  unverified?: boolean;
  shared: string[];
}

const DEFAULT_UNUSED = { delete: 30 * 86_400, disable: 86_400 };

/** Seconds. Deleted is deleted: 30 for 30 days is soon typed. */
const LEAST = 3_600;

const collect = (one: string, all: string[]): string[] => [...all, one];

export function retireCommand(context: Context): Command {
  return context
    .command('retire', 'disable or delete applications whose tenant has taken their place; changes nothing without --yes', [
      ['postern migrate retire plan.json --disable --yes', 'those not used for a day get no more tokens; --restore lets them in again'],
      ['postern migrate retire plan.json', 'what could be deleted, and what stands in the way of the others'],
      ['postern migrate retire plan.json --unused-for 30d --yes', 'delete what was not used for 30 days'],
    ])
    .argument('<plan>')
    .argument('[client_id...]', 'only these')
    .option('--unused-for <duration>', `how long without use, by Auth0's log (default: 30d; with --disable 1d)`, seconds)
    .option('--disable', 'take client_credentials from its grant types in place of deleting it')
    .option('--restore', 'give disabled ones their grant types back')
    .option('--yes', 'do it')
    .option('--unverified', 'also those not verified, or whose tenant no broker has seen')
    .option('--force', 'also a named one that has other grant types, callbacks, or grants that its tenant lacks')
    .option(
      '--shared <client_id>',
      'the application that all tenants share, where nothing marks it: never touched; repeatable',
      collect,
      [],
    )
    .option(...JOURNAL)
    .addHelpText(
      'after',
      `
AUTH0_MGMT_TOKEN needs read:clients, read:client_grants and read:logs; update:clients to disable, delete:clients to delete.
Auth0 keeps its log for 1 to 30 days, by the plan: for a longer time \`postern migrate status --observe\` must have looked often
enough that each look reaches back to the one before. A deleted application can't be brought back.`,
    )
    .action(
      context.vaultAction<Options, [string, string[]]>(async ({ access, options, output, terminal, end }, file, ids) => {
        if (options.force === true && ids.length === 0)
          throw new PosternError('invalid_request', '--force goes with the client_ids that it is meant for');
        if (options.restore === true && options.disable === true)
          throw new PosternError('invalid_request', 'Either --disable or --restore');
        const action = options.disable === true ? 'disable' : 'delete';
        const unusedFor = options.unusedFor ?? DEFAULT_UNUSED[action];
        if (action === 'delete' && unusedFor < LEAST && options.force !== true)
          throw new PosternError('invalid_request', `--unused-for ${inWords(unusedFor)} would delete what may be in use`, {
            detail: 'Say 1h or more (30d is the default), or --force for those that you name.',
          });
        const mapping = await mappingOf(terminal, file);
        requireSameTenant(mapping, terminal.env);
        const chosen = named(mapping, ids);
        const { applications, caller } = await openRetirement(terminal.env, { retries: RETRIES, signal: terminal.signal });
        const journal = await openJournal(options, file, mapping);
        try {
          const count = output.counter('applications');
          if (options.restore === true) {
            const restored: string[] = [];
            const waiting = chosen.filter(({ client_id: id }) => ['disabled', 'disabling'].includes(journal.of(id).state));
            for (const [index, { client_id: id }] of waiting.entries()) {
              terminal.signal.throwIfAborted();
              if (options.yes !== true || (await restore(applications, journal, id))) restored.push(id);
              count(index + 1, waiting.length);
            }
            output.result({ dry_run: options.yes !== true, restored }, restored.join('\n'));
            output.note(`${restored.length} ${options.yes === true ? 'let in again' : 'would be let in again: --yes does it'}`);
            return;
          }
          const own = await ownApplications(access, {
            caller,
            marked: await applications.shared(),
            journal: journal.shared,
            given: options.shared,
          });
          const [stands, lastUse] = await Promise.all([
            successors(access),
            readLastUse(
              access,
              'tenant',
              chosen.map(({ client_id: id, tenant }) => journal.of(id).tenant ?? tenant),
            ),
          ]);
          const guard = {
            applications,
            own,
            lastUse,
            stands,
            unusedFor,
            force: options.force === true,
            unverified: options.unverified === true,
          };
          const verdicts: Verdict[] = [];
          for (const [index, one] of chosen.entries()) {
            terminal.signal.throwIfAborted();
            const { verdict, found } = await judge(one, action, guard, journal);
            if (options.yes === true) await settle(journal, one, found);
            if (options.yes === true && found !== undefined) await carryOut(guard, journal, verdict, found);
            verdicts.push(verdict);
            count(index + 1, chosen.length);
          }
          const done = verdicts.filter((verdict) => verdict.action === action).length;
          const waiting = verdicts.filter((verdict) => verdict.action === 'wait').length;
          output.result(
            { dry_run: options.yes !== true, unused_for: unusedFor, applications: verdicts },
            output.table(
              ['CLIENT_ID', 'NAME', 'TENANT', 'ACTION', 'LAST USE', 'WHY'],
              verdicts.map((one) => [
                one.client_id,
                printable(one.name),
                printable(one.tenant),
                one.action,
                one.last_use ?? '-',
                printable(one.reasons.join('; ')),
              ]),
            ),
          );
          const would = options.yes === true ? '' : 'would be ';
          output.note(
            `${done} ${would}${action}d (unused for ${inWords(unusedFor)}), ${waiting} wait${options.yes === true ? '' : '; nothing was changed: --yes does it'}`,
          );
          // Of those that somebody named, none may be left without a word.
          if (ids.length > 0 && waiting > 0) end(4);
        } finally {
          await journal.close();
        }
      }),
    );
}

interface Known {
  caller: string | undefined;
  marked: readonly string[];
  journal: ReadonlySet<string>;
  given: readonly string[];
}

/** What Postern itself works with. @throws {PosternError} misconfigured where the shared application isn't known */
async function ownApplications(access: VaultAccess, { caller, marked, journal, given }: Known): Promise<Map<string, string>> {
  const own = new Map<string, string>();
  for (const id of given) own.set(id, 'it is the one that all tenants share, as --shared says');
  for (const id of journal) own.set(id, "tenants' tokens are made by its name");
  for (const id of marked) own.set(id, 'it carries the mark of the application that all tenants share');
  const plugin = (await hasPlugin(access)) ? await pluginApplications(access) : [];
  for (const id of plugin) own.set(id, 'the secrets plugin works with it');
  const { version } = await readUpstreamMetadata(access);
  if (version > 0 && own.size === 0)
    throw new PosternError('misconfigured', 'Which application all tenants share is not known, and it must never be retired', {
      detail: 'Name it: --shared CLIENT_ID. It is the one whose credential `postern upstream set` was given.',
    });
  if (caller !== undefined) own.set(caller, 'the Management token is its own');
  return own;
}

async function pluginApplications(access: VaultAccess): Promise<string[]> {
  const { plugin } = access.mounts;
  const answer = await access.call("read the plugin's configuration", ({ client, as }) => client.read(`${plugin}/config`, as));
  return ['client_id', 'management_client_id'].flatMap((name) => {
    const id = answer?.data?.[name];
    return typeof id === 'string' && id !== '' ? [id] : [];
  });
}
