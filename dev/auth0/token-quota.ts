import type { TokenQuota } from './account.ts';
import type { Exchange } from './grant.ts';

const SECONDS = { per_hour: 3_600, per_day: 86_400 } as const;
type Period = keyof typeof SECONDS;

/** Auth0's quotas for M2M tokens (Early Access), of the application and of the organization. */
export class TokenQuotas {
  /** By whose it is, and its period. */
  readonly #windows = new Map<string, { opened: number; used: number }>();

  /**
   * Takes one token of every quota that is set, where all allow it.
   * @param now Unix milliseconds
   */
  take(
    { client, organization }: Pick<Exchange, 'client' | 'organization'>,
    now: number,
  ): { allowed: boolean; headers: Record<string, string> } {
    const subjects = [
      { header: 'Auth0-Client-Quota-Limit', id: client.id, quota: client.tokenQuota },
      { header: 'Auth0-Organization-Quota-Limit', id: organization?.id ?? '', quota: organization?.tokenQuota },
    ].filter(({ quota }) => quota !== undefined);
    const buckets = subjects.flatMap(({ header, id, quota }) =>
      periodsOf(quota).map(([period, limit]) => ({
        header,
        period,
        limit,
        enforce: quota?.enforce ?? true,
        window: this.#window(id, period, now),
      })),
    );
    const allowed = buckets.every(({ window, limit, enforce }) => !enforce || window.used < limit);
    if (allowed) for (const window of new Set(buckets.map((bucket) => bucket.window))) window.used += 1;
    const headers: Record<string, string> = {};
    for (const { header, period, limit, window } of buckets) {
      const left = Math.ceil((window.opened + SECONDS[period] * 1_000 - now) / 1_000);
      const text = `b=${period};q=${limit};r=${Math.max(0, limit - window.used)};t=${left}`;
      headers[header] = headers[header] === undefined ? text : `${headers[header]},${text}`;
    }
    return { allowed, headers };
  }

  #window(id: string, period: Period, now: number): { opened: number; used: number } {
    const key = `${id} ${period}`;
    const open = this.#windows.get(key);
    if (open !== undefined && now < open.opened + SECONDS[period] * 1_000) return open;
    const window = { opened: now, used: 0 };
    this.#windows.set(key, window);
    return window;
  }
}

function periodsOf(quota: TokenQuota | undefined): [Period, number][] {
  return (Object.keys(SECONDS) as Period[]).flatMap((period) => {
    const limit = quota?.[period];
    return limit === undefined ? [] : [[period, limit]];
  });
}
