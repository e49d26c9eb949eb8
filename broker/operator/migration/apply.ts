import type { Api } from '#broker/authorization/documents.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import type { DurableFile } from '#broker/operator/bulk/durable-file.ts';
import { importTenants } from '#broker/operator/bulk/import.ts';
import type { Imported } from '#broker/operator/bulk/import.ts';
import { readRows } from '#broker/operator/bulk/row.ts';
import type { Progress } from '#broker/operator/secret/secret-id.ts';
import type { Migrated, MigrationJournal } from './journal.ts';
import { entriesOf } from './mapping.ts';
import type { Mapping } from './mapping.ts';

export interface ApplyOptions {
  readonly apis: ReadonlyMap<string, Api | undefined>;
  /** What the journal tells; of a migration that has not begun, nothing. */
  readonly of: (clientId: string) => Migrated;
  /** Left out: look, and change nothing. */
  readonly to?: { readonly journal: MigrationJournal; readonly issued: DurableFile; readonly wrap: number | false } | undefined;
  readonly update?: boolean | undefined;
  readonly replace?: boolean | undefined;
  /** Tenants at once. */
  readonly width: number;
  readonly onProgress?: Progress;
  readonly signal?: AbortSignal;
}

/** By `at`, counted from 1, `failed` names the application among those to migrate. */
export interface Applied extends Imported {
  /** Applications that nothing is made for: not to migrate, or deleted already. */
  skipped: number;
}

/**
 * Makes a tenant, its grants and one credential for each application that is to migrate. Run again, it goes on; Auth0 is not changed.
 * @throws {PosternError} invalid_request for a plan that can't be taken; conflict where it isn't the one that was begun
 */
export async function applyMigration(access: VaultAccess, { applications }: Mapping, options: ApplyOptions): Promise<Applied> {
  const { to } = options;
  const chosen = applications.filter(({ client_id: id, migrate }) => migrate && options.of(id).state !== 'deleted');
  const moved = chosen.flatMap(({ client_id: id, tenant }) => {
    const before = options.of(id).tenant;
    return before === undefined || before === tenant ? [] : [`  ${id} became the tenant ${before}, and is to become ${tenant} now`];
  });
  if (moved.length > 0)
    throw new PosternError('conflict', `Nothing was changed. The plan is another than the one that was begun:\n${moved.join('\n')}`, {
      detail: 'Put the names back. A tenant has its name for life: make another by `postern tenant create`.',
    });
  const { rows, faults } = readRows(entriesOf(chosen), options.apis);
  if (faults.length > 0) {
    const lines = faults.map(({ at, message }) => `  ${chosen[at - 1]?.client_id}: ${message.replaceAll('\n', ' ')}`);
    throw new PosternError('invalid_request', `Nothing was changed. The plan can't be taken:\n${lines.slice(0, 20).join('\n')}`, {
      detail: 'Mend these applications in the plan, or set "migrate": false.',
    });
  }
  const idOf = (at: number): string => chosen[at - 1]?.client_id ?? '';
  const about = new Map(
    chosen.map(({ client_id: id, name, tenant }) => [tenant, { application: id, ...(name === '' ? {} : { application_name: name }) }]),
  );
  const result = await importTenants(access, rows, {
    ...options,
    dryRun: to === undefined,
    issuing: to && { ...to, about },
    onSettled: async ({ at, tenant }) => {
      // One line an application, however often it is run.
      if (to !== undefined && options.of(idOf(at)).tenant === undefined)
        await to.journal.note({ applied: idOf(at), tenant, at: new Date().toISOString() });
    },
  });
  return { ...result, skipped: applications.length - chosen.length };
}
