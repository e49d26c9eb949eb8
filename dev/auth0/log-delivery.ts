import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Auth0Account, Auth0LogStream } from './account.ts';

/** An entry of the tenant's log, as a stream delivers it ("Log Event Type Codes"). */
export interface LogEvent {
  log_id: string;
  data: Record<string, unknown> & { date: string; type: string; log_id: string };
}

/** Auth0 gathers what happens close together; most events of one delivery. */
const GATHER_MS = 50;
const MOST = 100;
/** "We will retry up to three times". */
const RETRIES = 3;
/** Entries that are kept, so that a long run with millions of exchanges doesn't grow. */
const KEPT = 50_000;

/** Sends the tenant's log to each of its streams: in order, in batches, again when the other side fails. */
export class LogDelivery {
  /** What was logged last, oldest first. */
  readonly events: LogEvent[] = [];
  /** How long an entry can be searched for, ms: by the plan 1 to 30 days. */
  retentionMs = 30 * 86_400_000;
  /** Pause before a delivery is tried again, ms. */
  retryMs = 500;
  readonly #account: Auth0Account;
  readonly #waiting = new Map<string, LogEvent[]>();
  readonly #stopped = new AbortController();

  constructor(account: Auth0Account) {
    this.#account = account;
  }

  /** Those that a search still finds, oldest first. */
  kept(): LogEvent[] {
    const oldest = new Date(Date.now() - this.retentionMs).toISOString();
    return this.events.filter(({ data }) => data.date >= oldest);
  }

  /** To be searched for and delivered. */
  write(type: string, data: Record<string, unknown>): void {
    const event = this.keep(type, data);
    for (const stream of this.#account.logStreams ?? []) {
      const waiting = this.#waiting.get(stream.id);
      if (waiting !== undefined) waiting.push(event);
      else {
        this.#waiting.set(stream.id, [event]);
        void this.#flush(stream);
      }
    }
  }

  /** To be searched for alone: the filter of every stream here leaves it out, as Auth0's "Log Event Filters" can. */
  keep(type: string, data: Record<string, unknown>): LogEvent {
    const id = `900${Date.now()}${randomUUID().replaceAll('-', '')}`;
    const event: LogEvent = { log_id: id, data: { date: new Date().toISOString(), ...data, type, log_id: id, tenant_name: 'stand-in' } };
    this.events.push(event);
    if (this.events.length > KEPT) this.events.splice(0, KEPT / 10);
    return event;
  }

  /** Once more, as after a lost answer. @returns the status */
  async send(stream: Auth0LogStream, events: readonly unknown[]): Promise<number> {
    const format = stream.httpContentFormat ?? 'JSONLINES';
    const bodies =
      format === 'JSONARRAY'
        ? [JSON.stringify(events)]
        : format === 'JSONLINES'
          ? [events.map((event) => JSON.stringify(event)).join('\n')]
          : events.map((event) => JSON.stringify(event));
    let status = 0;
    for (const body of bodies) {
      const response = await fetch(stream.httpEndpoint, {
        method: 'POST',
        headers: {
          'Content-Type': 'application/json',
          ...(stream.httpAuthorization === undefined ? {} : { Authorization: stream.httpAuthorization }),
        },
        body,
        redirect: 'error',
        signal: AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(10_000)]),
      });
      await response.body?.cancel();
      status = response.status;
    }
    return status;
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #flush(stream: Auth0LogStream): Promise<void> {
    const signal = this.#stopped.signal;
    try {
      await sleep(GATHER_MS, undefined, { signal });
      for (let waiting; (waiting = this.#waiting.get(stream.id)) !== undefined && waiting.length > 0;) {
        const batch = waiting.splice(0, MOST);
        for (let attempt = 0; attempt <= RETRIES; attempt += 1) {
          const status = await this.send(stream, batch).catch(() => 0);
          if (status >= 200 && status < 300) break;
          await sleep(this.retryMs, undefined, { signal });
        }
      }
    } catch {
      // Stopped.
    } finally {
      this.#waiting.delete(stream.id);
    }
  }
}
