import type { AdminEvent } from './admin-event.ts';

const KEPT = 500;

/** The latest changes through this process, for people who look; the audit has them all. */
export class RecentChanges {
  /** ISO 8601: nothing older is known here. */
  readonly since: string;
  readonly #max: number;
  readonly #events: AdminEvent[] = [];

  /** @param max most that are kept. Default 500 */
  constructor(options: { max?: number; now?: () => number } = {}) {
    this.#max = options.max ?? KEPT;
    this.since = new Date((options.now ?? Date.now)()).toISOString();
  }

  record(event: AdminEvent): void {
    if (this.#events.push(event) > this.#max) this.#events.shift();
  }

  /** The newest first. @param tenant only its changes */
  latest(limit: number, tenant?: string): readonly AdminEvent[] {
    return this.#events
      .filter((event) => tenant === undefined || event.tenant === tenant)
      .slice(-limit)
      .toReversed();
  }
}
