import type { Clocks } from '#broker/clock.ts';
import type { Endings } from '#broker/credential/endings.ts';
import type { Revocations } from './revocations.ts';
import type { Token } from './token.ts';

export interface ServableOptions extends Pick<Clocks, 'now'> {
  /** What was taken back is served from nowhere: not from memory, the store or a flight. */
  revocations?: Pick<Revocations, 'has'>;
  /** What a tenant held when operators ended its tokens is served from nowhere either. */
  endings?: Pick<Endings, 'tokensEndedAt'>;
  /** By {@link Token.signedBy}: what is signed by a key that was taken out of use is worth nothing to services. */
  isRetired?: (signedBy: string) => boolean;
  /** A token is served only with so many seconds left, or half its life where that is less; may differ by tenant. Default 60. */
  minRemaining?: number | ((tenant: string) => number);
  /** By {@link Token.signedBy}: the clock by which its tokens end; ms since 1970. Default: `now`. */
  tokenNow?: ((signedBy: string) => number) | undefined;
}

/** Which tokens may be served now. */
export class Servable {
  readonly #options: ServableOptions;
  readonly #minRemaining: number | ((tenant: string) => number);
  readonly #now: (signedBy: string) => number;

  constructor(options: ServableOptions) {
    this.#options = options;
    this.#minRemaining = options.minRemaining ?? 60;
    this.#now = options.tokenNow ?? options.now ?? Date.now;
  }

  /** The time by which this token ends, ms since 1970. */
  now({ signedBy }: Pick<Token, 'signedBy'>): number {
    return this.#now(signedBy);
  }

  includes(token: Pick<Token, 'sha256' | 'issuedAt' | 'expiresAt' | 'signedBy'>, tenant: string, now: number = this.now(token)): boolean {
    const least = typeof this.#minRemaining === 'number' ? this.#minRemaining : this.#minRemaining(tenant);
    const floor = Math.max(0, Math.min(least, (token.expiresAt - token.issuedAt) / 2));
    const left = token.expiresAt * 1000 - now;
    return left >= floor * 1000 && left > 0 && !this.isRevoked(token, tenant);
  }

  isRevoked({ sha256, issuedAt, signedBy }: Pick<Token, 'sha256' | 'issuedAt' | 'signedBy'>, tenant: string): boolean {
    const { revocations, endings, isRetired } = this.#options;
    return (
      revocations?.has(sha256) === true ||
      (endings !== undefined && issuedAt <= endings.tokensEndedAt(tenant)) ||
      (isRetired !== undefined && isRetired(signedBy))
    );
  }

  /** Tokens issued at this second or before are void; -Infinity where operators ended none. Seconds since 1970. */
  endedAt(tenant: string): number {
    return this.#options.endings?.tokensEndedAt(tenant) ?? -Infinity;
  }
}
