import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import { PosternError } from '#broker/error.ts';
import type { Servable } from './servable.ts';
import type { TokenSource } from './source.ts';
import type { Token } from './token.ts';

/**
 * A source whose new token is a revoked one is asked again so much later, ms: a signature over the same claims is the same, and they count
 * whole seconds.
 */
const NEXT_SECOND = 1_000;
/** An end of all tokens lies in the next seconds at most, since clocks differ; nobody is kept waiting for a later one. ms. */
const LONGEST_WAIT = 5_000;

/** Longest pause that is named, s. */
const LONGEST_PAUSE = 3_600;

/** A new token ends at once by this machine's clock, so that it can't be served here. Where clocks are right it is as good as any. */
export class Untimely extends PosternError {
  readonly token: Token;

  constructor(token: Token, source: string) {
    super('temporarily_unavailable', 'The token issuer is not available', {
      detail: `source ${source} gave a token that ends at once: are this machine's clock and the issuer's the same?`,
      retryAfter: 10,
      here: true,
    });
    this.token = token;
  }
}

/** Tokens out of their sources, each good to be served when it comes. */
export class FreshTokens {
  readonly #sources: Readonly<Record<string, TokenSource | undefined>>;
  readonly #servable: Servable;
  readonly #clock: Clock;
  readonly #storeNow: () => number;

  /**
   * @param sources by name
   * @param clocks `storeNow`: the clock by which operators end tokens, ms since 1970. Default: `now`.
   */
  constructor(
    sources: Readonly<Record<string, TokenSource | undefined>>,
    servable: Servable,
    clocks: Clocks & { readonly storeNow?: (() => number) | undefined } = {},
  ) {
    this.#sources = sources;
    this.#servable = servable;
    this.#clock = clockOf(clocks);
    this.#storeNow = clocks.storeNow ?? this.#clock.now;
  }

  /** @throws {PosternError} where its source would surely refuse */
  admit(grant: AuthorizedGrant): void {
    const source = Object.hasOwn(this.#sources, grant.source) ? this.#sources[grant.source] : undefined;
    source?.admit?.(grant);
  }

  /** @throws {PosternError} what the source says; misconfigured without it; temporarily_unavailable when its token can't be served */
  async issue(grant: AuthorizedGrant): Promise<Token> {
    const source = Object.hasOwn(this.#sources, grant.source) ? this.#sources[grant.source] : undefined;
    if (source === undefined)
      throw new PosternError('misconfigured', 'This API is not available', { detail: `token source ${grant.source} is not configured` });
    // Else it would be void as soon as it was made; with source auth0 each costs quota.
    const wait = this.#untilCounted(grant.tenant);
    if (wait > 0 && wait <= LONGEST_WAIT) await this.#clock.sleep(wait);
    let token = await source.issue(grant);
    if (this.#servable.isRevoked(token, grant.tenant)) {
      await this.#clock.sleep(NEXT_SECOND);
      token = await source.issue(grant);
    }
    if (this.#servable.isRevoked(token, grant.tenant))
      throw new PosternError('temporarily_unavailable', 'The token issuer is not available', {
        detail: `source ${grant.source} gives a revoked token again`,
        // Where an end was announced by a clock that is ahead, none is good before that second.
        retryAfter: Math.min(LONGEST_PAUSE, Math.max(1, Math.ceil(this.#untilCounted(grant.tenant) / 1000))),
      });
    if (!this.#servable.includes(token, grant.tenant)) throw new Untimely(token, grant.source);
    return token;
  }

  /** How long until a token of the tenant is from after the end of all its tokens, ms; below 0: it is. */
  #untilCounted(tenant: string): number {
    return (this.#servable.endedAt(tenant) + 1) * 1000 - this.#storeNow();
  }
}
