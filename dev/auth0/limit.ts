/** Auth0's limit on `/oauth/token`: so many requests in a fixed window, told in headers on every reply. */
export interface RateLimit {
  requests: number;
  seconds: number;
}

export interface Allowance {
  allowed: boolean;
  headers: Record<string, string>;
}

export class RateWindow {
  readonly #limit: RateLimit;
  #opened = 0;
  #used = 0;

  constructor(limit: RateLimit) {
    this.#limit = limit;
  }

  /** @param now Unix milliseconds */
  take(now: number): Allowance {
    if (now >= this.#opened + this.#limit.seconds * 1_000) {
      this.#opened = now;
      this.#used = 0;
    }
    const allowed = this.#used < this.#limit.requests;
    if (allowed) this.#used += 1;
    const reset = Math.ceil(this.#opened / 1_000 + this.#limit.seconds);
    return {
      allowed,
      headers: limitHeaders(this.#limit.requests, this.#limit.requests - this.#used, reset, allowed ? undefined : reset - now / 1_000),
    };
  }
}

/** @param reset Unix seconds @param retryAfter seconds */
export function limitHeaders(limit: number, remaining: number, reset: number, retryAfter?: number): Record<string, string> {
  return {
    'X-RateLimit-Limit': String(limit),
    'X-RateLimit-Remaining': String(remaining),
    'X-RateLimit-Reset': String(reset),
    ...(retryAfter === undefined ? {} : { 'Retry-After': String(Math.max(1, Math.ceil(retryAfter))) }),
  };
}
