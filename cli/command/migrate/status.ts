import type { Command } from 'commander';
import { MigrationJournal } from '#broker/operator/migration/journal.ts';
import type { Migrated } from '#broker/operator/migration/journal.ts';
import type { Mapped } from '#broker/operator/migration/mapping.ts';
import { useOf } from '#broker/operator/migration/watch.ts';
import type { Context } from '#cli/command/context.ts';
import { openRetirement } from '#cli/command/management.ts';
import { JOURNAL, RETRIES, journalPath, mappingOf, openJournal, printable, requireSameTenant } from './migration.ts';
import type { MigrationOptions } from './migration.ts';

interface Options extends MigrationOptions {
  observe?: boolean;
}

const NOTHING: Migrated = { observations: [], state: 'planned' };

export function statusCommand(context: Context): Command {
  return context
    .command('status', 'how far each application of a plan is, by the journal', [
      ['postern migrate status plan.json', 'asks neither Vault nor Auth0'],
      ['postern migrate status plan.json --observe', "daily, by cron: writes down what Auth0's log tells before it forgets"],
    ])
    .argument('<plan>')
    .option('--observe', "look into Auth0's log (scope read:logs) when each application was last used, and write it down")
    .option(...JOURNAL)
    .action(
      context.action<Options, [string]>(async ({ options, output, terminal }, file) => {
        const mapping = await mappingOf(terminal, file);
        if (options.observe === true) {
          requireSameTenant(mapping, terminal.env);
          const { applications } = await openRetirement(terminal.env, { retries: RETRIES, signal: terminal.signal });
          const journal = await openJournal(options, file, mapping);
          try {
            const count = output.counter('applications');
            for (const [index, { client_id: id }] of mapping.applications.entries()) {
              if (journal.of(id).state !== 'deleted') await journal.note({ observed: id, ...(await applications.observe(id)) });
              count(index + 1, mapping.applications.length);
            }
          } finally {
            await journal.close();
          }
        }
        const known = await MigrationJournal.read(journalPath(options, file));
        const rows = mapping.applications.map((one) => row(one, known.get(one.client_id) ?? NOTHING));
        output.result(
          { domain: mapping.domain, applications: rows },
          output.table(
            ['CLIENT_ID', 'NAME', 'TENANT', 'STATE', 'VERIFIED', 'LAST USE', 'WATCHED SINCE'],
            rows.map((one) => [
              one.client_id,
              printable(one.name),
              printable(one.tenant),
              one.state,
              one.verified === null ? '-' : one.noticed.length === 0 ? 'yes' : `no: ${one.noticed.join(', ')}`,
              one.last_use ?? '-',
              one.watched_since ?? '-',
            ]),
          ),
        );
      }),
    );
}

function row({ client_id, name, tenant, migrate }: Mapped, { state, verified, observations, tenant: made }: Migrated) {
  const { tried, since } = useOf(observations);
  const iso = (time: number | undefined): string | null => (time === undefined ? null : new Date(time).toISOString());
  return {
    client_id,
    name,
    tenant: made ?? (migrate ? tenant : '-'),
    state: state === 'planned' && !migrate ? 'stays' : state,
    verified: verified?.at ?? null,
    noticed: verified?.noticed ?? [],
    last_use: iso(tried),
    watched_since: iso(since),
  };
}
