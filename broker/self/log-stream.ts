import { createHash, timingSafeEqual } from 'node:crypto';
import { Problem } from '#broker/admin/problem.ts';
import type { Departure } from '#broker/credential/owner.ts';

export interface LogStreamOptions {
  /** What Auth0 sends as Authorization, with or without `Bearer `. */
  readonly secret: string;
  /** Who left, by these events. */
  readonly departuresOf: (events: readonly unknown[], nowMs: number) => readonly Departure[];
  /** @returns how many were news */
  readonly announce: (departures: readonly Departure[]) => Promise<number>;
  readonly now?: () => number;
}

/** Most events of one delivery: Auth0 sends 100 at most. */
const MAX_EVENTS = 1_000;

/**
 * Auth0 delivers its tenant log here (log stream, custom webhook). A delivery that comes twice changes nothing, and one that is old ends
 * only keys that were made before what it tells of.
 */
export class LogStream {
  readonly #options: LogStreamOptions;
  readonly #expected: readonly Buffer[];

  constructor(options: LogStreamOptions) {
    this.#options = options;
    this.#expected = [options.secret, `Bearer ${options.secret}`].map(digest);
  }

  /** @throws {Problem} invalid-token */
  admit(authorization: string | undefined): void {
    const given = digest(authorization ?? '');
    // Nothing tells whether there was a secret, or how much of it was right.
    if (!this.#expected.map((one) => timingSafeEqual(one, given)).includes(true)) throw new Problem('invalid-token', 'Unauthorized');
  }

  /** @param body an array, one event, or a line each: the three forms of a custom webhook. @throws {Problem} malformed-request */
  async take(body: unknown): Promise<{ events: number; departures: number }> {
    const events = Array.isArray(body)
      ? body
      : Array.isArray((body as { logs?: unknown } | null)?.logs)
        ? (body as { logs: unknown[] }).logs
        : [body];
    if (events.length > MAX_EVENTS) throw new Problem('malformed-request', `A delivery has ${MAX_EVENTS} events at most`);
    const now = (this.#options.now ?? Date.now)();
    const departures = this.#options.departuresOf(events, now);
    return { events: events.length, departures: departures.length === 0 ? 0 : await this.#options.announce(departures) };
  }
}

/** JSON lines, JSON objects or a JSON array. @throws {Problem} malformed-request */
export function eventsIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    try {
      return text
        .split('\n')
        .filter((line) => line.trim() !== '')
        .map((line) => JSON.parse(line) as unknown);
    } catch {
      throw new Problem('malformed-request', 'The body is neither JSON nor a line of JSON each');
    }
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
