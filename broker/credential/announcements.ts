import { monotonicOf } from '#broker/clock.ts';
import type { Clocks } from '#broker/clock.ts';
import { PosternError } from '#broker/error.ts';
import type { VerifiedCredentials } from './verified-credentials.ts';

/** The document `state/epoch`: what operators announce to every replica. */
export interface Announcements {
  /** Counts up with every announcement. */
  readonly epoch: number;
  /** Tenants that get nothing until they are enabled again. */
  readonly disabled: readonly string[];
  /** The latest announcements, newest last; older ones fall off. */
  readonly recent: readonly { readonly epoch: number; readonly tenant: string }[];
}

export const NO_ANNOUNCEMENTS: Announcements = { epoch: 0, disabled: [], recent: [] };

/** The port to where the epoch lies. */
export interface AnnouncementReader {
  readAnnouncements(): Promise<Announcements>;
}

/** What else the replicas share and must not miss. */
export interface Watched {
  /** Learns what is new. */
  look(): Promise<void>;
}

export interface AnnouncementWatchOptions extends Clocks {
  reader: AnnouncementReader;
  /** Looked at together with the epoch, and as fresh: while one of the two is not known, nobody is served. */
  revocations?: Watched;
  verified: Pick<VerifiedCredentials, 'forget' | 'forgetAll'>;
  /** Time between two looks, ms. Default 1000: what is announced holds on every replica within 2 s. */
  intervalMs?: number;
  /** How long the last epoch read is gone by, ms. Default 60,000: longer than any verification is remembered. */
  staleMs?: number;
  onError?: (error: unknown) => void;
}

/** Looks at the epoch, and at the revoked tokens, each second; forgets the verifications of tenants that changed. */
export class AnnouncementWatch {
  readonly #options: AnnouncementWatchOptions;
  readonly #monotonic: () => number;
  #seen: Announcements | undefined;
  /** When all was last known, ms of the monotonic clock; undefined: never. */
  #readAt: number | undefined;
  #disabled: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: AnnouncementWatchOptions) {
    this.#options = options;
    this.#monotonic = monotonicOf(options);
  }

  /** Whether all was ever read: before that nobody knows who is disabled, or what is revoked. */
  get known(): boolean {
    return this.#readAt !== undefined;
  }

  /** @throws {PosternError} temporarily_unavailable while no epoch is {@link known}, or none was read for long: nobody is served on a guess. */
  isDisabled(tenant: string): boolean {
    if (this.#readAt === undefined)
      throw new PosternError('temporarily_unavailable', 'Service temporarily unavailable', {
        detail: 'state/epoch or state/revocations was not read yet',
        retryAfter: 1,
      });
    if (this.#monotonic() - this.#readAt > (this.#options.staleMs ?? 60_000)) {
      throw new PosternError('temporarily_unavailable', 'Service temporarily unavailable', {
        detail:
          'state/epoch or state/revocations could not be read for too long: who was disabled, or what was revoked meanwhile, is not known',
        retryAfter: 5,
      });
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
    const begun = this.#monotonic();
    const [epoch, revocations] = await Promise.allSettled([this.#options.reader.readAnnouncements(), this.#options.revocations?.look()]);
    // What one of them says holds whatever became of the other.
    if (epoch.status === 'fulfilled') this.#take(epoch.value);
    if (epoch.status === 'fulfilled' && revocations.status === 'fulfilled') this.#readAt = begun;
    // What is remembered ends by itself within its time; nothing is held longer because Vault is away.
    else for (const one of [epoch, revocations]) if (one.status === 'rejected') this.#options.onError?.(one.reason);
  }

  #take(now: Announcements): void {
    const before = this.#seen;
    this.#seen = now;
    this.#disabled = new Set(now.disabled);
    if (now.epoch === before?.epoch) return;
    const news = now.recent.filter((change) => before !== undefined && change.epoch > before.epoch && change.epoch <= now.epoch);
    // Every step from `before` to `now` must be accounted for, else something fell off the list. At the first look nothing is.
    const steps = new Set(news.map((change) => change.epoch)).size;
    if (before !== undefined && now.epoch > before.epoch && steps === now.epoch - before.epoch)
      for (const { tenant } of news) this.#options.verified.forget(tenant);
    else this.#options.verified.forgetAll();
  }
}
