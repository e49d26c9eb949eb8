import { RecentMap } from '#broker/recent-map.ts';

/** Minutes since 1970, by key id or tenant: when each was last used. */
export type LastUse = ReadonlyMap<string, number>;

/** The port to where last uses are kept for good. */
export interface UsageStore {
  /** Merges; of two times for one name the later stays. @returns the names that could not be stored now */
  merge(used: LastUse): Promise<ReadonlySet<string>>;
}

export interface UsageOptions {
  store: UsageStore;
  /** Time between two writings, ms. */
  intervalMs: number;
  /** Most names remembered between two writings; of more, those used first are forgotten. Default 100,000. */
  max?: number;
  now?: () => number;
  onError?: (error: unknown) => void;
}

/**
 * Collects when API keys or tenants were used, and hands it on now and then: a request never writes. It is told of verifications only, so
 * a use that a remembered verification answered counts as that verification's time: up to 30 s early.
 */
export class Usage {
  readonly #options: UsageOptions;
  readonly #now: () => number;
  #used: RecentMap<string, number>;
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> | undefined;
  #stopped = false;

  constructor(options: UsageOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#used = this.#nothing();
  }

  record(name: string): void {
    this.#used.set(name, Math.floor(this.#now() / 60_000));
  }

  /** Hands on every interval until {@link stop}. The first time comes at random within it, so that replicas do not write all at once. */
  start(): void {
    this.#schedule(this.#options.intervalMs * (0.5 + Math.random() / 2));
  }

  /** Hands on what is left, as far as `patienceMs` allows: a slow Vault must not hold up the end. Never throws. */
  async stop(patienceMs = 3000): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const last = (this.#flushing ?? Promise.resolve()).then(() => this.flush());
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, patienceMs)));
    await Promise.race([last, late]);
    clearTimeout(timer);
  }

  /** Never throws: what could not be handed on is tried again next time. */
  flush(): Promise<void> {
    this.#flushing ??= this.#flush().finally(() => (this.#flushing = undefined));
    return this.#flushing;
  }

  async #flush(): Promise<void> {
    if (this.#used.size === 0) return;
    const used = this.#take();
    try {
      const left = await this.#options.store.merge(used);
      this.#takeBack(used, (name) => left.has(name));
    } catch (error) {
      this.#takeBack(used, () => true);
      this.#options.onError?.(error);
    }
  }

  #nothing(): RecentMap<string, number> {
    return new RecentMap(this.#options.max ?? 100_000);
  }

  /** What is remembered, the oldest first; it is remembered no more. */
  #take(): LastUse {
    const used = this.#used;
    this.#used = this.#nothing();
    return used;
  }

  /** Older than what came meanwhile: it goes before it, and is forgotten first. */
  #takeBack(used: LastUse, which: (name: string) => boolean): void {
    const newer = this.#take();
    for (const [name, minute] of used) if (which(name)) this.#used.set(name, minute);
    for (const [name, minute] of newer) this.#used.set(name, minute);
  }

  #schedule(ms: number): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.flush().then(() => this.#schedule(this.#options.intervalMs)), ms);
    this.#timer.unref();
  }
}
