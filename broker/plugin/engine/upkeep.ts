import type { Clock } from '#broker/clock.ts';
import { ReadOnly } from '#broker/plugin/backend.ts';
import type { PluginLog, SystemView } from '#broker/plugin/backend.ts';
import type { Configuration } from './config.ts';
import type { Credentials } from './credentials.ts';
import { reasonOf } from './backend-error.ts';
import type { Place, TokenRecords } from './token-records.ts';

export interface UpkeepOptions {
  readonly system: SystemView;
  readonly configuration: Configuration;
  readonly credentials: Credentials;
  /** The engine's own cache: what was asked for is taken into memory again. */
  readonly cache: TokenRecords;
  /** What brokers share: only what has ended is removed. */
  readonly shared: TokenRecords;
  readonly log: PluginLog;
  readonly clock: Pick<Clock, 'monotonic' | 'after'>;
  /** Between two rounds, ms. */
  readonly everyMs: number;
}

/** Most refreshes begun in one round: Auth0 allows some 25 requests a second on paid plans. */
const REFRESHES = 100;
/** Most stored tokens looked at in one round: 40 small reads a second at most. */
const LOOKS = 200;
/** Between the end of one look at all stored tokens and the next, ms. */
const REST = 60_000;

/** Longest wait for a round under way, ms: Vault seals, steps down and unmounts no sooner than this has ended. */
const PATIENCE = 1_000;

/** What is done without a request: only on the node that may write, and bounded in each round. */
export class Upkeep {
  readonly #options: UpkeepOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  readonly #stop = new AbortController();
  #walk: AsyncGenerator<{ readonly records: TokenRecords; readonly place: Place }> | undefined;
  #restUntil = -Infinity;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer ??= setInterval(() => void this.round(), this.#options.everyMs).unref();
  }

  /**
   * Ends a round under way after the call to storage that it is at; that one may go on, where storage takes longer than a second. The
   * mount's storage is then closed.
   */
  async stop(): Promise<void> {
    this.#stop.abort();
    clearInterval(this.#timer);
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(PATIENCE, resolve);
    await Promise.race([this.#running, late]);
    cancel();
  }

  /** One round; those that would overlap are one. It never rejects. */
  round(): Promise<void> {
    if (this.#stop.signal.aborted) return Promise.resolve();
    return (this.#running ??= this.#round().finally(() => (this.#running = undefined)));
  }

  async #round(): Promise<void> {
    const { credentials, configuration, log } = this.#options;
    try {
      if (!(await this.#mayWrite())) return;
      if (configuration.unsaved) await configuration.save();
      await credentials.refresh(REFRESHES, this.#stop.signal);
      await this.#look();
    } catch (error) {
      // The next round tries again.
      if (!(error instanceof ReadOnly) && !this.#stop.signal.aborted)
        log.warn('upkeep of tokens was broken off', { reason: reasonOf(error) });
    }
  }

  /** A standby and a secondary of replication read what the active node of the primary wrote. */
  async #mayWrite(): Promise<boolean> {
    const [{ performanceStandby, performanceSecondary, drSecondary }, local] = await Promise.all([
      this.#options.system.replicationState(),
      this.#options.system.localMount(),
    ]);
    return !performanceStandby && !drSecondary && (!performanceSecondary || local);
  }

  async #look(): Promise<void> {
    const { clock, cache, credentials, log } = this.#options;
    if (clock.monotonic() < this.#restUntil) return;
    this.#walk ??= this.#places();
    for (let looks = 0; looks < LOOKS && !this.#stop.signal.aborted; looks++) {
      const { value, done } = await this.#walk.next().catch((error: unknown) => {
        // A generator that threw is over: the next round begins a new walk.
        this.#walk = undefined;
        throw error;
      });
      if (done === true) {
        this.#walk = undefined;
        this.#restUntil = clock.monotonic() + REST;
        return;
      }
      const { records, place } = value;
      // One that can't be read or adopted keeps nobody from the others.
      try {
        const found = await records.read(place);
        if (found === undefined) continue;
        if (records.hasEnded(found)) await records.deleteEnded(place);
        else if (records === cache) await credentials.adopt(place, found);
      } catch (error) {
        if (error instanceof ReadOnly) throw error;
        log.debug('a stored token was left as it is', { tenant: place.tenant, api: place.api, reason: reasonOf(error) });
      }
    }
  }

  async *#places(): AsyncGenerator<{ readonly records: TokenRecords; readonly place: Place }> {
    for (const records of [this.#options.cache, this.#options.shared]) {
      for (const tenant of await records.tenants()) {
        for (const place of await records.places(tenant)) yield { records, place };
      }
    }
  }
}
