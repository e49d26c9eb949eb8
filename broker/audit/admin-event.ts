import { z } from 'zod';
import type { Refusal } from './exchange-event.ts';
import * as field from './field.ts';

/** As Vault makes them. */
const ACCESSOR = /^[0-9a-fA-F-]{36}$/;

export const adminEvent = z
  .strictObject({
    ...field.always,
    event: z
      .string()
      .regex(/^(admin|self)\.[a-z][A-Za-z]{0,63}$/)
      .meta({ description: '`admin.<operation>` or `self.<operation>`, e.g. `admin.issueKey`.' }),
    outcome: z.enum(['done', 'replayed', 'refused', 'unknown']).meta({
      description: '`unknown`: it ended with a status of 500 or more, so that all of it, some of it or nothing may be done.',
    }),
    caller: field.text("Subject of the JWT (of `self.…` the person's Auth0 user id), or display name of the Vault token.", 1024),
    by: z.enum(['jwt', 'vault_token']),
    address: field.address,
    ms: field.ms,
    tenant: field.tenant.optional(),
    key_id: field.keyId.optional(),
    trust: field.trust.optional(),
    accessor: z.string().regex(ACCESSOR).optional().meta({ description: 'Of a secret_id.' }),
    error: slug().optional(),
  })
  .meta({
    description: 'One change through the admin or the self-service API. Never a secret: keys by their accessor, callers by their name.',
  });
/** How a change through one of the two APIs went. */
export type ChangeOutcome = z.infer<typeof adminEvent>['outcome'];
export type AdminEvent = Readonly<z.infer<typeof adminEvent>>;

export const departuresEvent = z
  .strictObject({
    ...field.always,
    event: z.literal('self.departures'),
    outcome: z.literal('done'),
    departures: z.int().positive(),
    address: field.address,
    ms: field.ms,
  })
  .meta({ description: "People who left, as Auth0's log stream told: their keys end." });

export const admissionEvent = z
  .strictObject({
    ...field.always,
    event: z.enum(['admin.admission', 'self.admission']),
    outcome: z.literal('refused'),
    address: field.address,
    error: slug(),
  })
  .meta({ description: 'Somebody without a right credential was refused at the admin or the self-service API.' });

function slug() {
  return z
    .string()
    .regex(/^[a-z][a-z-]{1,63}$/)
    .meta({ description: 'Slug of the problem (docs/admin-api.md).' });
}

/** One line. */
export function lineOf(event: AdminEvent | z.infer<typeof departuresEvent> | z.infer<typeof admissionEvent>): string {
  return `${JSON.stringify(event)}\n`;
}

/** @returns the line, and by what it is counted where there are too many */
export function admissionLine(
  event: z.infer<typeof admissionEvent>['event'],
  requestId: string,
  address: string,
  error: string,
): [line: string, refusal: Refusal] {
  return [
    lineOf({ time: new Date().toISOString(), request_id: requestId, event, outcome: 'refused', address, error }),
    { kind: `${event} ${error}` },
  ];
}
