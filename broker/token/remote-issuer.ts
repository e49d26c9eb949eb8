import { KeyObject } from 'node:crypto';
import { createLocalJWKSet, errors } from 'jose';
import type { CryptoKey, JSONWebKeySet, JWTPayload, ProtectedHeaderParameters } from 'jose';
import { MAX_DOCUMENT, boundedFetch } from '#broker/bounded-fetch.ts';
import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import { PosternError } from '#broker/error.ts';
import { verifySignedJwt } from './signed-jwt.ts';

export interface RemoteIssuerOptions extends Clocks {
  /** With its trailing slash; its keys are at `.well-known/jwks.json` below it (RFC 7517). */
  issuer: string;
  /** Deadline of one fetch of the keys, ms. Default 5000. */
  timeoutMs?: number;
  /** Default: the global one. */
  fetch?: typeof fetch | undefined;
  /** Between a failed fetch and the next, ms: whoever presents token after token must not cause a fetch each. Default 5000. */
  pauseMs?: number;
  /** Told of each answer's `Date`, and how long it took to come, ms; not of what a cache had, which was dated when it got that. */
  onDate?: ((date: string | null, tookMs: number) => void) | undefined;
}

export interface Expectation {
  audience?: string;
  /** Seconds by which the issuer's clock and ours may differ. Default 0. */
  clockTolerance?: number;
  requiredClaims?: string[];
}

/** What is wrong with a token: `claim` is missing, ill-formed or another than expected; `type`: its `typ` isn't an access token's. */
export type TokenFault = 'malformed' | 'algorithm' | 'signature' | 'type' | 'ended' | 'claim';

/** A token's verified claims, or its fault and, where a claim is at fault, which. */
export type Verdict =
  | { readonly claims: JWTPayload; readonly fault?: never }
  | { readonly claims?: never; readonly fault: TokenFault; readonly claim?: string };

interface Keys {
  readonly find: ReturnType<typeof createLocalJWKSet>;
  readonly kids: ReadonlySet<unknown>;
  /** ms of the monotonic clock. */
  readonly fetchedAt: number;
}

/** A key that a set had. ms of the monotonic clock, by the age of the sets. */
interface Published {
  /** As of then the newest set had it. */
  seen: number;
  /** As of then the oldest set since lacks it. */
  missing: number | undefined;
}

/** How old the keys may get before they are fetched again, ms. */
const MAX_AGE = 600_000;
/** Where they can't be, those at hand are good for so long, ms: an issuer tells of a key long before it signs by it. */
const KEPT = 3_600_000;
/** An unknown kid makes the keys be fetched again, but at most so often, ms. */
const COOLDOWN = 30_000;
/** How old they may get before they are fetched again, and nobody waits, to see whether a key was taken out of use, ms. */
const LOOK_AGAIN = 300_000;
/** A key that is missing from sets so far apart is out of use, ms: caches on the way may show sets of before by turns. */
const MISSING = 60_000;
/** Keys that are remembered as having been in the set. */
const MOST_KEYS = 1_000;
/** Since the pause after a failed fetch, ms. */
const JUST_FAILED = 5_000;
/** Seconds for which a cache has had what it answers (RFC 9111 §5.1). */
const AGE = /^\d{1,9}$/;
/** RFC 9068 §2.1, and what Auth0 sets without that profile. */
const ACCESS_TOKEN_TYP = /^(application\/)?(at\+)?jwt$/i;

/** An issuer of access tokens elsewhere: verifies its tokens by the keys that it publishes, RS256 only. */
export class RemoteIssuer {
  readonly issuer: string;
  /** Fetches of the keys since the start. */
  fetches = 0;
  readonly #url: URL;
  readonly #timeoutMs: number;
  readonly #pauseMs: number;
  readonly #fetchFrom: typeof fetch;
  readonly #onDate: RemoteIssuerOptions['onDate'];
  readonly #clock: Clock;
  #keys: Keys | undefined;
  #fetching: Promise<Keys> | undefined;
  /** By kid. */
  readonly #had = new Map<string, Published>();
  readonly #withdrawn = new Set<string>();
  #looksAgain = false;
  /** Each is taken over once. */
  readonly #taken = new WeakMap<CryptoKey, KeyObject>();
  #pausedUntil = -Infinity;
  /** Whether the fetch under way follows one that has just failed: nobody waits for it but who began it. */
  #doubtful = false;

  constructor(options: RemoteIssuerOptions) {
    this.issuer = options.issuer;
    this.#url = new URL('.well-known/jwks.json', options.issuer);
    this.#timeoutMs = options.timeoutMs ?? 5_000;
    this.#pauseMs = options.pauseMs ?? 5_000;
    this.#fetchFrom = boundedFetch(MAX_DOCUMENT, options.fetch);
    this.#onDate = options.onDate;
    this.#clock = clockOf(options);
  }

  /** @throws {PosternError} temporarily_unavailable where the keys can't be had: that says nothing of the token */
  async verify(jwt: string, expected: Expectation = {}): Promise<Verdict> {
    try {
      const { payload, protectedHeader } = await verifySignedJwt(jwt, (header) => this.#find(header), {
        ...expected,
        issuer: this.issuer,
        currentDate: new Date(this.#clock.now()),
      });
      const { typ } = protectedHeader;
      return typ === undefined || ACCESS_TOKEN_TYP.test(typ) ? { claims: payload } : { fault: 'type' };
    } catch (error) {
      if (error instanceof PosternError) throw error;
      return faultOf(error) ?? this.#throwAway('hold one that cannot be used');
    }
  }

  /**
   * Resolves while there are keys to verify by.
   * @throws {PosternError} temporarily_unavailable
   */
  async ready(): Promise<void> {
    await this.#usable();
  }

  /**
   * Whether the issuer has taken a key out of use that it once published: nobody verifies by it what it signed. Known within six minutes
   * where it is asked, which nobody waits for; a set that can't be had takes none out of use.
   */
  hasWithdrawn(kid: string): boolean {
    const now = this.#clock.monotonic();
    const age = now - (this.#keys?.fetchedAt ?? -Infinity);
    if (age > LOOK_AGAIN && this.#fetching === undefined && now >= this.#pausedUntil) void this.#fetch().catch(() => {});
    return this.#withdrawn.has(kid);
  }

  /** Whether the keys that came last, if any did, lack this one: what it signed can't be verified, which doesn't make it a forgery. */
  lacks(kid: string): boolean {
    return this.#keys?.kids.has(kid) === false;
  }

  /** Has the keys come again, whoever needs them. @throws {PosternError} temporarily_unavailable */
  async look(): Promise<void> {
    await this.#fetch();
  }

  /** @param asOf when the issuer said so, ms of the monotonic clock: of an older set nothing that a newer one has told is believed */
  #note(kids: ReadonlySet<unknown>, asOf: number): void {
    for (const kid of kids) {
      if (typeof kid !== 'string') continue;
      const known = this.#had.get(kid);
      if (known === undefined && this.#had.size < MOST_KEYS) this.#had.set(kid, { seen: asOf, missing: undefined });
      if (known === undefined || asOf < (known.missing ?? asOf)) continue;
      Object.assign(known, { seen: Math.max(known.seen, asOf), missing: undefined });
      this.#withdrawn.delete(kid);
    }
    for (const [kid, known] of this.#had) {
      if (kids.has(kid) || asOf <= known.seen) continue;
      const { missing = asOf } = known;
      known.missing = Math.min(missing, asOf);
      if (asOf - missing >= MISSING) this.#withdrawn.add(kid);
    }
    this.#lookAgain();
  }

  /** Where a key is missing, to be sure: nobody may come who would ask. */
  #lookAgain(): void {
    const isMissing = (): boolean => [...this.#had].some(([kid, { missing }]) => missing !== undefined && !this.#withdrawn.has(kid));
    if (this.#looksAgain || !isMissing()) return;
    this.#looksAgain = true;
    this.#clock.after(MISSING, () => {
      this.#looksAgain = false;
      if (isMissing()) void this.#fetch().catch(() => this.#lookAgain());
    });
  }

  async #find(header: ProtectedHeaderParameters): Promise<KeyObject> {
    const found = await this.#published(header);
    let key = this.#taken.get(found);
    if (key === undefined) this.#taken.set(found, (key = KeyObject.from(found)));
    return key;
  }

  async #published(header: ProtectedHeaderParameters): Promise<CryptoKey> {
    const { find, fetchedAt } = await this.#usable();
    const age = this.#clock.monotonic() - fetchedAt;
    try {
      return await find(header);
    } catch (error) {
      const isUnknown = error instanceof errors.JWKSNoMatchingKey;
      // A key that is no key is the set's fault, which may be mended at any time.
      if (faultOf(error) === undefined ? age < this.#pauseMs : !isUnknown || age < COOLDOWN) throw error;
      return (await this.#fetch()).find(header);
    }
  }

  async #usable(): Promise<Keys> {
    const known = this.#keys;
    const age = known === undefined ? Infinity : this.#clock.monotonic() - known.fetchedAt;
    if (known !== undefined && age < MAX_AGE) return known;
    try {
      return await this.#fetch();
    } catch (error) {
      if (known === undefined || age >= KEPT) throw error;
      return known;
    }
  }

  /** One fetch at a time, whoever waits for it; after one that failed, nobody but who finds out. */
  async #fetch(): Promise<Keys> {
    if (this.#fetching !== undefined && this.#doubtful) return this.#throwAway();
    this.#fetching ??= this.#fetchNow().finally(() => (this.#fetching = undefined));
    return this.#fetching;
  }

  async #fetchNow(): Promise<Keys> {
    if (this.#clock.monotonic() < this.#pausedUntil) return this.#throwAway();
    this.fetches++;
    this.#doubtful = this.#clock.monotonic() - this.#pausedUntil < JUST_FAILED;
    const deadline = new AbortController();
    const cancel = this.#clock.after(this.#timeoutMs, () => deadline.abort());
    const begun = this.#clock.monotonic();
    try {
      const response = await this.#fetchFrom(this.#url, { redirect: 'manual', signal: deadline.signal });
      const age = response.headers.get('age');
      if (age === null) this.#onDate?.(response.headers.get('date'), this.#clock.monotonic() - begun);
      if (response.status === 200) {
        const set = (await response.json()) as JSONWebKeySet;
        const find = createLocalJWKSet(set);
        // Whoever issues tokens has a key.
        if (set.keys.length > 0) {
          const kids = new Set(set.keys.map(({ kid }) => kid));
          this.#keys = { find, kids, fetchedAt: this.#clock.monotonic() };
          this.#note(kids, begun - (AGE.test(age ?? '') ? Number(age) * 1_000 : 0));
          return this.#keys;
        }
      } else await response.body?.cancel();
    } catch {
      // Told below: what a fetch throws may hold more than may be logged.
    } finally {
      cancel();
    }
    this.#pausedUntil = this.#clock.monotonic() + this.#pauseMs;
    return this.#throwAway();
  }

  #throwAway(why = 'cannot be fetched'): never {
    const pause = Math.ceil((this.#pausedUntil - this.#clock.monotonic()) / 1000);
    throw new PosternError('temporarily_unavailable', 'The token issuer is not available', {
      detail: `the keys of ${this.issuer} ${why}`,
      retryAfter: Math.max(2, pause),
    });
  }
}

/** undefined for what is the key set's fault, not the token's. */
function faultOf(error: unknown): { fault: TokenFault; claim?: string } | undefined {
  if (error instanceof errors.JWTExpired) return { fault: 'ended' };
  if (error instanceof errors.JWTClaimValidationFailed) return { fault: 'claim', claim: error.claim };
  if (error instanceof errors.JOSEAlgNotAllowed) return { fault: 'algorithm' };
  if (
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys ||
    error instanceof errors.JWSSignatureVerificationFailed
  )
    return { fault: 'signature' };
  if (error instanceof errors.JWTInvalid || error instanceof errors.JWSInvalid || error instanceof errors.JOSENotSupported)
    return { fault: 'malformed' };
  return undefined;
}
