import { z } from 'zod';
import { newRequestId } from '#broker/request-id.ts';
import type { AuditLog, Refusal } from './exchange-event.ts';
import * as field from './field.ts';
import { Ration } from './ration.ts';

export const summaryEvent = z
  .strictObject({
    ...field.always,
    event: z.literal('refusals.summary'),
    outcome: z.literal('refused'),
    seconds: z.int().nonnegative().meta({ description: 'Until `time`.' }),
    tenant: field.tenant.optional(),
    refusals: z
      .record(z.string().max(128), z.int().positive())
      .meta({ description: 'How many by door, or what failed, and code: `token invalid_client`, say.' }),
  })
  .meta({
    description:
      'Refusals beyond those that have lines of their own: of strangers, or of verified clients of one tenant; or failures of refreshes.',
  });

/**
 * The audit with a ration of refusals: one for all whom nobody has verified, and one for each tenant, so that none takes another's. What
 * was granted has each line.
 */
export class RationedAudit implements AuditLog {
  readonly #audit: AuditLog;
  readonly #lines: number;
  readonly #strangers: Ration;
  /** Of tenants that were refused in the last minute. */
  readonly #tenants = new Map<string, Ration>();

  /** @param lines refusals in a minute, of strangers and of each tenant, that have a line each */
  constructor(audit: AuditLog, lines: number) {
    this.#audit = audit;
    this.#lines = lines;
    this.#strangers = new Ration({ lines, tell: (refusals, seconds) => this.#tell(refusals, seconds) });
  }

  write(line: string, refusal?: Refusal): void {
    if (refusal === undefined || this.admits(refusal)) this.#audit.write(line);
  }

  admits(refusal: Refusal): boolean {
    return this.#rationOf(refusal).admits(refusal.kind);
  }

  /** Tells what is counted, before the process ends. */
  end(): void {
    this.#strangers.end();
    for (const ration of this.#tenants.values()) ration.end();
  }

  #rationOf({ tenant }: Refusal): Ration {
    if (tenant === undefined) return this.#strangers;
    let ration = this.#tenants.get(tenant);
    if (ration === undefined) {
      const tell = (refusals: Readonly<Record<string, number>>, seconds: number): void => this.#tell(refusals, seconds, tenant);
      ration = new Ration({ lines: this.#lines, tell, onEnd: () => this.#tenants.delete(tenant) });
      this.#tenants.set(tenant, ration);
    }
    return ration;
  }

  #tell(refusals: Readonly<Record<string, number>>, seconds: number, tenant?: string): void {
    const event: z.infer<typeof summaryEvent> = {
      time: new Date().toISOString(),
      request_id: newRequestId(),
      event: 'refusals.summary',
      outcome: 'refused',
      seconds,
      tenant,
      refusals,
    };
    this.#audit.write(`${JSON.stringify(event)}\n`);
  }
}
