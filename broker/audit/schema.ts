import { z } from 'zod';
import { adminEvent, admissionEvent, departuresEvent } from './admin-event.ts';
import { exchangeEvent } from './exchange-event.ts';
import { quotaEvent } from './quota-event.ts';
import { summaryEvent } from './rationed-audit.ts';
import { tokenEventSchema } from './token-event.ts';
import { leadershipEvent, leaseEvent, publicationEvent, refreshEvent } from './work-event.ts';

/** Every line of the audit is one of these. */
export const AUDIT_EVENTS = {
  exchange: exchangeEvent,
  token: tokenEventSchema,
  refresh: refreshEvent,
  lease: leaseEvent,
  publication: publicationEvent,
  leadership: leadershipEvent,
  quota: quotaEvent,
  admin: adminEvent,
  departures: departuresEvent,
  admission: admissionEvent,
  summary: summaryEvent,
} as const;

/** JSON Schema 2020-12 of one line: docs/audit.schema.json, by `make generate`. */
export function auditSchema(): Record<string, unknown> {
  const { $schema, ...rest } = z.toJSONSchema(z.union(Object.values(AUDIT_EVENTS)), { target: 'draft-2020-12' });
  return { $schema, title: "One line of Postern's audit", ...rest };
}
