import { z } from 'zod';
import { newRequestId } from '#broker/request-id.ts';
import type { AuditLog } from './exchange-event.ts';
import * as field from './field.ts';
import { Ration } from './ration.ts';

export const summaryEvent = z
  .strictObject({
    ...field.always,
    event: z.literal('refusals.summary'),
    outcome: z.literal('refused'),
    seconds: z.int().nonnegative().meta({ description: 'Until `time`.' }),
    refusals: z
      .record(z.string().max(128), z.int().positive())
      .meta({ description: 'How many by door, or what failed, and code: `token invalid_client`, say.' }),
  })
  .meta({ description: 'Refusals of strangers, or failures of refreshes, beyond those that have lines of their own.' });

/** The audit with a ration for those whom nobody has verified; whoever was verified has each line. */
export class RationedAudit implements AuditLog {
  readonly #audit: AuditLog;
  readonly #ration: Ration;

  /** @param lines refusals of strangers in a minute that have a line each */
  constructor(audit: AuditLog, lines: number) {
    this.#audit = audit;
    this.#ration = new Ration({
      lines,
      tell: (refusals, seconds) => {
        const event: z.infer<typeof summaryEvent> = {
          time: new Date().toISOString(),
          request_id: newRequestId(),
          event: 'refusals.summary',
          outcome: 'refused',
          seconds,
          refusals,
        };
        audit.write(`${JSON.stringify(event)}\n`);
      },
    });
  }

  write(line: string, stranger?: string): void {
    if (stranger === undefined || this.#ration.admits(stranger)) this.#audit.write(line);
  }

  /** Tells what is counted, before the process ends. */
  end(): void {
    this.#ration.end();
  }
}
