import { z } from 'zod';
import { readAnnouncements } from '#broker/operator/announcement.ts';
import { operation } from './operation.ts';
import type { Operation } from './operation.ts';
import { changeList, tenantId } from './schema.ts';

/** Most in one answer. */
const SHOWN = 100;

export const changeOperations: readonly Operation[] = [
  operation({
    id: 'listChanges',
    method: 'GET',
    path: '/v1/changes',
    tag: 'Changes',
    summary: 'Tells what was changed lately, the newest first',
    description: 'Through this very broker and since its start; the audit has the changes through all of them.',
    need: { permission: 'read:tenants', changes: false },
    params: z.strictObject({}),
    query: z.strictObject({ tenant: tenantId.optional().meta({ description: 'Only changes of this tenant.' }) }),
    success: { status: 200, description: 'At most 100 of them.', body: { name: 'ChangeList', schema: changeList } },
    refusals: [],
    async handle({ caller, query, changes }) {
      // It lies in this process, so Vault is asked whether the caller may look at all.
      await readAnnouncements(caller.access);
      const latest = changes
        .latest(SHOWN, query.tenant)
        .map(({ time, event, outcome, caller: by, tenant, key_id: keyId, trust, error }) => ({
          time,
          event,
          outcome,
          caller: by,
          tenant: tenant ?? null,
          key_id: keyId ?? null,
          trust: trust ?? null,
          error: error ?? null,
        }));
      return { status: 200, headers: {}, body: { since: changes.since, changes: latest } };
    },
  }),
];
