import { BoundedMap } from '#broker/bounded-map.ts';
import { monotonicOf } from '#broker/clock.ts';
import type { Clocks } from '#broker/clock.ts';
import { PosternError } from '#broker/error.ts';
import { RecentMap } from '#broker/recent-map.ts';
import { unaskedOf } from '#broker/vault-fault.ts';
import { FingerprintKey } from './approle.ts';
import type { AppRoleCredential } from './approle.ts';
import { Generations } from './generations.ts';
import type { Identity } from './identity.ts';
import { EndedCredential, knownBeforeOf } from './known-before.ts';
import type { KnownBefore } from './known-before.ts';
import { Throttle } from './throttle.ts';
import { Turnstile } from './turnstile.ts';

/**
 * The port to whoever decides (Vault's AppRole login).
 * @throws {PosternError} `invalid_client` only when the credential was judged and found wrong.
 */
export interface Login {
  login(credential: AppRoleCredential, address: string): Promise<Identity>;
}

/** How a time is bridged in which Vault can't be asked. */
export interface Bridging {
  /** How long a verification is good for beyond its time while Vault can't be asked, ms; 0: not at all. */
  readonly graceMs: number;
  /** Whether it is known that Vault doesn't answer logins. */
  away(): boolean;
  /** Whether it may be asked behind who is served meanwhile: if only to find out whether it answers again. Default: if not away. */
  mayTry?(): boolean;
  /** Whether announcements are being read. Where they are and Vault only asks for patience (429), nothing is missed. */
  hears(): boolean;
  /** ms by which our clock is known to be behind Vault's, by which credentials end. Default: 0. */
  behind?(): number;
}

export interface LoginOptions extends Clocks {
  login: Login;
  /** How long a verification is remembered, ms; never beyond the identity's own expiry. Default 30,000. */
  rememberMs?: number;
  /** How long a refusal is remembered, ms. Default 10,000. */
  refusalMs?: number;
  /** Most verified credentials in memory. Default 100,000. */
  max?: number;
  /** Default: nothing is bridged. */
  bridging?: Bridging;
  /** Whether the answer depends on the client's address (it is forwarded to Vault). Default false. */
  byAddress?: boolean;
  throttle?: Throttle;
  /** What those pass whom the throttle doesn't count, since they were right before. */
  turnstile?: Turnstile | undefined;
  /** Called when a credential was verified anew, not when that was remembered. */
  onVerified?: (identity: Identity) => void;
}

interface Verified {
  readonly identity: Identity;
  /** ms of the monotonic clock. */
  readonly askedAt: number;
  /** When somebody had waited for Vault in vain, ms of the monotonic clock. */
  vainAt?: number;
  /** When it was last asked behind who was served. */
  behindAt?: number;
}

/** Waiting is what takes longer than this, ms. */
const WAITING = 500;
/** So long after somebody waited in vain nobody else does with this credential, ms: Vault is asked behind them. */
const IN_VAIN = 10_000;
/** Between two such attempts with one credential, ms. */
const BEHIND = 1_000;

/** Whose a credential was that was right here once. */
interface Past extends KnownBefore {
  /** It was not refused since. */
  right: boolean;
}

/**
 * WHO: from a credential to an {@link Identity}, by Vault's login, remembered for a bounded time.
 * Keys are digests under a key of this process, so no secret lies in memory as a map key.
 */
export class VerifiedCredentials {
  readonly #login: Login;
  readonly #rememberMs: number;
  readonly #refusalMs: number;
  readonly #bridging: Bridging | undefined;
  readonly #byAddress: boolean;
  readonly #throttle: Throttle;
  readonly #turnstile: Turnstile;
  readonly #onVerified: ((identity: Identity) => void) | undefined;
  readonly #now: () => number;
  readonly #monotonic: () => number;
  readonly #key = new FingerprintKey();
  /** `askedAt` by the monotonic clock: an identity is remembered for so long, and never beyond its own end. */
  readonly #verified: BoundedMap<string, Verified>;

  readonly #refused = new BoundedMap<string, number>(50_000);
  /**
   * Fingerprints that were right once. It proves nothing now; it only spares them the throttle, so that a flood of guesses can't slow a
   * customer down.
   */
  readonly #onceRight: RecentMap<string, Past>;
  /**
   * The same wherever each came from: one map, where addresses don't count. Nothing is decided by it: the audit names a refused one.
   */
  readonly #knownBefore: RecentMap<string, Past>;
  readonly #flights = new Map<string, Promise<Identity>>();
  /** What was forgotten, so that a login begun before is not remembered after. */
  readonly #forgotten = new Generations();

  constructor(options: LoginOptions) {
    this.#login = options.login;
    this.#rememberMs = options.rememberMs ?? 30_000;
    this.#refusalMs = options.refusalMs ?? 10_000;
    this.#bridging = options.bridging;
    this.#byAddress = options.byAddress ?? false;
    this.#throttle = options.throttle ?? new Throttle();
    this.#turnstile = options.turnstile ?? new Turnstile();
    this.#onVerified = options.onVerified;
    this.#now = options.now ?? Date.now;
    this.#monotonic = monotonicOf(options);
    const { max = 100_000 } = options;
    this.#verified = new BoundedMap(max);
    this.#knownBefore = new RecentMap(max);
    this.#onceRight = this.#byAddress ? new RecentMap(max) : this.#knownBefore;
  }

  /**
   * @returns the identity at once where it is remembered, else the promise of one.
   * @throws {PosternError} invalid_client, too_many_requests, temporarily_unavailable
   */
  verify(credential: AppRoleCredential, address: string): Identity | Promise<Identity> {
    const fingerprint = credential.fingerprint(this.#key, this.#byAddress ? address : '');
    const known = this.#verified.get(fingerprint);
    if (known !== undefined && this.#monotonic() - known.askedAt < this.#rememberMs && this.#isCurrent(known.identity))
      return known.identity;
    // Nobody waits for an answer that won't come.
    if (known !== undefined && (this.#bridging?.away() === true || this.#waitedInVain(known))) {
      if (this.#hasEnded(known.identity)) throw endedCredential(known);
      if (this.#bridges(known)) {
        if (this.#mayAskBehind(known)) void this.#verifyAnew(fingerprint, credential, address).catch(() => {});
        return bridged(known);
      }
    }
    return this.#verifyAnew(fingerprint, credential, address);
  }

  #waitedInVain({ vainAt }: Verified): boolean {
    return vainAt !== undefined && this.#monotonic() - vainAt < IN_VAIN;
  }

  /** Whoever is served meanwhile: so it is found out that Vault answers again, and what. */
  #mayAskBehind(known: Verified): boolean {
    const now = this.#monotonic();
    if (now - (known.behindAt ?? known.vainAt ?? -Infinity) < BEHIND) return false;
    const may = this.#bridging?.mayTry === undefined ? this.#bridging?.away() === false : this.#bridging.mayTry();
    if (may) known.behindAt = now;
    return may;
  }

  #isCurrent(identity: Identity): boolean {
    return this.#now() < identity.expiresAt && !this.#hasEnded(identity);
  }

  /** By Vault's clock, where ours is behind. */
  #hasEnded({ endsAt }: Identity): boolean {
    return endsAt !== Infinity && this.#now() + (this.#bridging?.behind?.() ?? 0) >= endsAt;
  }

  /** Never asked is not refused: what Vault said last holds on for a while. A refusal and what is announced take it out of memory. */
  #bridges({ identity, askedAt }: Verified): boolean {
    const { graceMs = 0 } = this.#bridging ?? {};
    const inTime = graceMs > 0 && this.#monotonic() - askedAt < this.#rememberMs + graceMs;
    return inTime && identity.counted !== true && !this.#hasEnded(identity);
  }

  /** Whether it says that Vault couldn't be asked, so that what it said before may answer. */
  #isUnanswered(error: unknown): boolean {
    const unasked = unaskedOf(error);
    return unasked === 'unanswered' || (unasked === 'throttled' && this.#bridging?.hears() === true);
  }

  /** Whose it was when it was right, as far as this process knows; looked up for every refused one, known or not, at the same cost. */
  knownBefore(credential: AppRoleCredential): KnownBefore | undefined {
    const past = this.#knownBefore.get(credential.fingerprint(this.#key, ''));
    return past === undefined ? undefined : knownBeforeOf(past);
  }

  /** Whether it was right here before, so that its client's own line is where it waits. It proves nothing now. */
  isKnown(credential: AppRoleCredential, address: string): boolean {
    return this.#wasRight(credential.fingerprint(this.#key, this.#byAddress ? address : ''));
  }

  /** Verifications in memory. */
  get size(): number {
    return this.#verified.size;
  }

  /** Forgets one tenant's verifications: its next request asks Vault again. */
  forget(tenant: string): void {
    this.#forgotten.changed(tenant);
    for (const [fingerprint, { identity }] of this.#verified.entries()) if (identity.tenant === tenant) this.#verified.delete(fingerprint);
  }

  /** Forgets those that this is true of. */
  forgetThose(gone: (identity: Identity) => boolean): void {
    this.#forgotten.allChanged();
    for (const [fingerprint, { identity }] of this.#verified.entries()) if (gone(identity)) this.#verified.delete(fingerprint);
  }

  forgetAll(): void {
    this.#forgotten.allChanged();
    this.#verified.clear();
  }

  async #verifyAnew(fingerprint: string, credential: AppRoleCredential, address: string): Promise<Identity> {
    const refusedUntil = this.#refused.get(fingerprint);
    if (refusedUntil !== undefined && this.#monotonic() < refusedUntil) throw wrongCredential();
    // A flight that began before something was forgotten may carry an answer from before it.
    const flightKey = `${this.#forgotten.now}\0${fingerprint}`;
    const flying = this.#flights.get(flightKey);
    if (flying) return flying;
    const flight = this.#ask(fingerprint, credential, address).finally(() => this.#flights.delete(flightKey));
    this.#flights.set(flightKey, flight);
    return flight;
  }

  async #ask(fingerprint: string, credential: AppRoleCredential, address: string): Promise<Identity> {
    const { now: generation } = this.#forgotten;
    const begun = this.#monotonic();
    let askedAt = 0;
    const attempt = () => {
      askedAt = this.#monotonic();
      return this.#login.login(credential, address).catch((error: unknown) => {
        // Whatever Vault answered instead, it was no yes.
        if (unaskedOf(error) === undefined) this.#verified.delete(fingerprint);
        throw error;
      });
    };
    try {
      const answer = this.#wasRight(fingerprint)
        ? await this.#turnstile.run(credential.clientId, attempt)
        : await this.#throttle.run(credential.lastingClientId, address, attempt, isWrong);
      const identity = this.#following(this.#verified.peek(fingerprint), answer);
      this.#onVerified?.(identity);
      this.#note(fingerprint, credential, identity, true);
      // One that was asked later has been refused meanwhile.
      if ((this.#refused.get(fingerprint) ?? -Infinity) - this.#refusalMs > askedAt) return identity;
      this.#refused.delete(fingerprint);
      // What is said of others meanwhile is no reason to ask once more, in an outage perhaps.
      if (!this.#forgotten.since(identity.tenant, generation)) this.#verified.set(fingerprint, { identity, askedAt });
      return identity;
    } catch (error) {
      if (error instanceof EndedCredential) this.#note(fingerprint, credential, error.known, false);
      if (isWrong(error)) {
        const past = this.#onceRight.get(fingerprint);
        if (past !== undefined) past.right = false;
        this.#refused.set(fingerprint, this.#monotonic() + this.#refusalMs);
      }
      const known = this.#verified.get(fingerprint);
      if (this.#isUnanswered(error) && known !== undefined) {
        if (this.#hasEnded(known.identity)) throw endedCredential(known);
        if (unaskedOf(error) === 'unanswered' && this.#monotonic() - begun > WAITING) known.vainAt = this.#monotonic();
        if (this.#bridges(known)) return bridged(known);
      }
      throw error;
    }
  }

  /** What its tenant may do is yet to be read: until then the one before it answers for that, should Vault fail in between. */
  #following(known: Verified | undefined, answer: Identity): Identity {
    if (known === undefined) return answer;
    const { identity } = known;
    if (identity.tenant !== answer.tenant || identity.clientId !== answer.clientId) return answer;
    // Nothing was read for that one either where it has one before it.
    const before = identity.before ?? {
      identity,
      bridges: (error: unknown): boolean => this.#isUnanswered(error) && this.#bridges(known),
    };
    // With its texts, which the grant of a token in memory holds already.
    return { ...answer, tenant: identity.tenant, clientId: identity.clientId, before };
  }

  #wasRight(fingerprint: string): boolean {
    return this.#onceRight.get(fingerprint)?.right === true;
  }

  #note(fingerprint: string, credential: AppRoleCredential, { tenant, keyId }: KnownBefore, right: boolean): void {
    const past = { tenant, keyId, right };
    this.#onceRight.set(fingerprint, past);
    if (this.#byAddress) this.#knownBefore.set(credential.fingerprint(this.#key, ''), past);
  }
}

/** Its own end is known, whoever can be asked. */
function endedCredential({ identity }: Verified): EndedCredential {
  return new EndedCredential(identity, wrongCredential().message);
}

function bridged({ identity }: Verified): Identity {
  identity.unasked = true;
  return identity;
}

/** The one answer to an unknown client, a wrong secret and a malformed credential alike. */
export function wrongCredential(): PosternError {
  return new PosternError('invalid_client', 'Unauthorized');
}

function isWrong(error: unknown): boolean {
  return error instanceof PosternError && error.code === 'invalid_client';
}
