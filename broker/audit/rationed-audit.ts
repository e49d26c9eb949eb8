import type { AuditLog } from './exchange-event.ts';
import { Ration } from './ration.ts';

/** Refusals of strangers beyond those that have lines of their own. */
export interface SummaryEvent {
  /** ISO 8601, UTC: the end of the interval. */
  readonly time: string;
  readonly event: 'refusals.summary';
  readonly outcome: 'refused';
  readonly seconds: number;
  /** How many by door and code, e.g. `token invalid_client`. */
  readonly refusals: Readonly<Record<string, number>>;
}

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
        const event: SummaryEvent = {
          time: new Date().toISOString(),
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
