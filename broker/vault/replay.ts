import { setTimeout as sleep } from 'node:timers/promises';
import type { UsedAssertions } from '#broker/credential/assertions.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultClient } from './client.ts';
import { VaultFault, lostRace } from '#broker/vault-fault.ts';
import type { Kv } from './kv.ts';
import type { VaultSession } from './session.ts';
import { asUnavailable, unavailable } from './unavailable.ts';

/** Seconds of one bucket. Much longer than an assertion lives, so that most need one record only. */
const BUCKET = 3600;
/** Seconds after which a bucket is thrown away; far beyond what clocks may differ by. */
const KEEP = 900;
/** Between two tidyings, ms. */
const PAUSE = 600_000;
/** Records removed at once while tidying: more would keep Vault busy, fewer would not keep up with it. */
const AT_ONCE = 4;
/** The first digits of a digest: no list of one shard grows beyond what is taken, however many assertions an hour has. */
const SHARD = 2;
/** A clock further off Vault's than this tidies nothing, ms: it might throw away what still counts. */
const TRUSTED_SKEW = 60_000;

/** The record may be there, though its answer was lost: whoever repeats the request as it was may be refused as one who repeats it. */
function perhapsUsed({ message, retryAfter = 1, unasked }: VaultFault): PosternError {
  return new PosternError('temporarily_unavailable', 'Service temporarily unavailable: try again with a new assertion or token', {
    detail: `${message}: whether this one is used is not known`,
    retryAfter,
    unasked,
  });
}

export interface VaultReplayOptions {
  client: Pick<VaultClient, 'health'>;
  kv: Kv;
  session: VaultSession;
  onError?: (error: unknown) => void;
  now?: () => number;
}

/**
 * Used assertions, `<hour>-<shard>/<key>` in a KV v2 mount of their own, where each record is written by check-and-set as the first
 * of its name: of all replicas one succeeds. An assertion has a record in each bucket from now to its end, so that two uses of
 * one jti within their lives share a bucket, whatever their ends and whichever hour it is.
 */
export class VaultReplay implements UsedAssertions {
  readonly #options: VaultReplayOptions;
  readonly #now: () => number;
  readonly #stop = new AbortController();

  constructor(options: VaultReplayOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  async claim(key: string, until: number): Promise<boolean> {
    const last = Math.floor(until / BUCKET);
    const first = Math.min(last, Math.floor(this.#now() / 1000 / BUCKET));
    // From the last on: that one is the same whatever a replica's clock says, so the first to write it has won.
    for (let bucket = last; bucket >= first; bucket--)
      if (!(await this.#create(`${bucket}-${key.slice(0, SHARD)}/${key}`, until))) return false;
    return true;
  }

  async #create(path: string, until: number): Promise<boolean> {
    try {
      await this.#options.session.use((token) => this.#options.kv.write(path, { until }, 0, { token }));
      return true;
    } catch (error) {
      if (lostRace(error)) return false;
      if (error instanceof VaultFault && (error.reason === 'denied' || error.reason === 'not_found')) {
        throw unavailable(
          `${error.message}: is the mount ${this.#options.kv.mount} there, and may the broker write to it (terraform apply)?`,
        );
      }
      throw error instanceof VaultFault && error.unasked === 'unanswered' && error.reason !== 'not_asked'
        ? perhapsUsed(error)
        : asUnavailable(error);
    }
  }

  /** Tidies until {@link stop}; never throws. Replicas do so at times of their own. */
  async run(): Promise<void> {
    while (await this.#pause())
      await this.tidy().catch((error: unknown) => {
        if (!this.#stop.signal.aborted) this.#options.onError?.(error);
      });
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Removes the records of assertions that have long ended. @throws {VaultFault} */
  async tidy(): Promise<number> {
    const { client, kv, session } = this.#options;
    const { time } = await client.health();
    const now = this.#now();
    if (time === undefined || Math.abs(time - now) > TRUSTED_SKEW) return 0;
    // Without a shard as older brokers wrote them.
    const ended = (name: string): boolean =>
      /^\d+(-[0-9a-f]+)?\/$/.test(name) && (Number.parseInt(name, 10) + 1) * BUCKET + KEEP < now / 1000;
    // The next tidying is not far, and nobody waits for a long list at the end.
    const list = (path: string): Promise<string[]> =>
      session.use((token) => kv.list(path, { token, attempts: 1, signal: this.#stop.signal }));
    const buckets = (await list('')).filter(ended);
    let removed = 0;
    for (const bucket of buckets) {
      const keys = await list(bucket.slice(0, -1));
      for (let at = 0; at < keys.length; at += AT_ONCE) {
        if (this.#stop.signal.aborted) return removed;
        const some = keys.slice(at, at + AT_ONCE);
        await Promise.all(some.map((key) => session.use((token) => kv.remove(`${bucket}${key}`, { token }))));
        removed += some.length;
      }
    }
    return removed;
  }

  async #pause(): Promise<boolean> {
    await sleep(PAUSE * (0.5 + Math.random()), undefined, { signal: this.#stop.signal, ref: false }).catch(() => {});
    return !this.#stop.signal.aborted;
  }
}
