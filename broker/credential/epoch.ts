import { PosternError } from '#broker/error.ts';
import type { VerifiedCredentials } from './login.ts';

/** The document `state/epoch`: what operators announce to every replica. */
export interface Epoch {
  /** Counts up with every announcement. */
  readonly epoch: number;
  /** Tenants that get nothing until they are enabled again. */
  readonly disabled: readonly string[];
  /** The latest announcements, newest last; older ones fall off. */
  readonly recent: readonly { readonly epoch: number; readonly tenant: string }[];
}

export const NO_EPOCH: Epoch = { epoch: 0, disabled: [], recent: [] };

/** The port to where the epoch lies. */
export interface EpochReader {
  readEpoch(): Promise<Epoch>;
}

export interface EpochWatchOptions {
  reader: EpochReader;
  verified: Pick<VerifiedCredentials, 'forget' | 'forgetAll'>;
  /** Time between two looks, ms. Default 1000: what is announced holds on every replica within 2 s. */
  intervalMs?: number;
  /** How long the last epoch read is gone by, ms. Default 60,000: longer than any verification is remembered. */
  staleMs?: number;
  now?: () => number;
  onError?: (error: unknown) => void;
}

/** Looks at the epoch each second and forgets the verifications of tenants that changed. */
export class EpochWatch {
  readonly #options: EpochWatchOptions;
  readonly #now: () => number;
  #seen: Epoch | undefined;
  #readAt = 0;
  #disabled: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: EpochWatchOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Whether an epoch was ever read: before that nobody knows who is disabled. */
  get known(): boolean {
    return this.#seen !== undefined;
  }

  /** @throws {PosternError} temporarily_unavailable while no epoch is {@link known}, or none was read for long: nobody is served on a guess. */
  isDisabled(tenant: string): boolean {
    if (this.#seen === undefined) throw new PosternError('temporarily_unavailable', 'Service temporarily unavailable', { detail: 'state/epoch was not read yet', retryAfter: 1 });
    if (this.#now() - this.#readAt > (this.#options.staleMs ?? 60_000)) {
      throw new PosternError('temporarily_unavailable', 'Service temporarily unavailable', { detail: 'state/epoch could not be read for too long: who was disabled meanwhile is not known', retryAfter: 5 });
    }
    return this.#disabled.has(tenant);
  }

  /** Looks once, then again every interval until {@link stop}. */
  async start(): Promise<void> {
    await this.look();
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.start(), this.#options.intervalMs ?? 1000);
    this.#timer.unref();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async look(): Promise<void> {
    try {
      this.#take(await this.#options.reader.readEpoch());
    } catch (error) {
      // What is remembered ends by itself within its time; nothing is held longer because Vault is away.
      this.#options.onError?.(error);
    }
  }

  #take(now: Epoch): void {
    const before = this.#seen;
    this.#seen = now;
    this.#readAt = this.#now();
    this.#disabled = new Set(now.disabled);
    if (now.epoch === before?.epoch) return;
    const news = now.recent.filter((change) => before !== undefined && change.epoch > before.epoch && change.epoch <= now.epoch);
    // Every step from `before` to `now` must be accounted for, else something fell off the list. At the first look nothing is.
    const steps = new Set(news.map((change) => change.epoch)).size;
    if (before !== undefined && now.epoch > before.epoch && steps === now.epoch - before.epoch) for (const { tenant } of news) this.#options.verified.forget(tenant);
    else this.#options.verified.forgetAll();
  }
}
