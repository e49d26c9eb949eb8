import { PosternError } from '#broker/error.ts';
import { BackendError } from '#broker/plugin/backend.ts';
import type { ServedFrom } from '#broker/token/served.ts';

/** What a cache of tokens counts by itself. */
interface CacheCounts {
  readonly evicted: number;
  readonly refreshes: { readonly done: number; readonly failed: number };
}

/** What this process has done since it began, over all configurations that it had, in plain numbers. */
export class Counts {
  /** Of `creds`: by where the token came from, and those that got none. `failed`: through no fault of the reader's. */
  readonly reads = { memory: 0, store: 0, source: 0, refused: 0, failed: 0 };
  /** Tokens asked of the source, and how long it took in all. `unavailable`: there was no answer, or one that asks for patience. */
  readonly upstream = { ok: 0, refused: 0, unavailable: 0, ms: 0 };
  readonly #ended = { evicted: 0, done: 0, failed: 0 };

  granted(from: ServedFrom): void {
    this.reads[from]++;
  }

  denied(error: unknown): void {
    this.reads[(error instanceof PosternError || error instanceof BackendError) && error.status < 500 ? 'refused' : 'failed']++;
  }

  /** Counts a call to the source. @throws what that throws */
  async asked<T>(call: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    try {
      const answer = await call();
      this.upstream.ok++;
      return answer;
    } catch (error) {
      this.upstream[error instanceof PosternError && error.code !== 'temporarily_unavailable' ? 'refused' : 'unavailable']++;
      throw error;
    } finally {
      this.upstream.ms += performance.now() - begun;
    }
  }

  /** A cache that is thrown away has counted, too. */
  ended({ evicted, refreshes }: CacheCounts): void {
    this.#ended.evicted += evicted;
    this.#ended.done += refreshes.done;
    this.#ended.failed += refreshes.failed;
  }

  /** Of all caches there were, with the present one, if any. */
  cache(present: CacheCounts | undefined): { readonly evicted: number; readonly done: number; readonly failed: number } {
    const { evicted, done, failed } = this.#ended;
    return {
      evicted: evicted + (present?.evicted ?? 0),
      done: done + (present?.refreshes.done ?? 0),
      failed: failed + (present?.refreshes.failed ?? 0),
    };
  }
}
