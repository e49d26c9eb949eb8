import { createHash, createHmac, randomBytes } from 'node:crypto';
import { BoundedMap } from '#broker/bounded-map.ts';
import { monotonicOf } from '#broker/clock.ts';
import type { Clocks } from '#broker/clock.ts';
import { PosternError } from '#broker/error.ts';
import type { UsedAssertions } from './assertions.ts';
import type { Identity } from './identity.ts';
import type { Throttle } from './throttle.ts';
import { TRUST_SKEW, judge } from './trust.ts';
import type { Finding, KeySource, Trust } from './trust.ts';
import { judgeHeader } from './trusted-token.ts';
import type { TrustedToken } from './trusted-token.ts';
import { Turnstile } from './turnstile.ts';

/** The port to where trusts are written down. */
export interface TrustReader {
  /**
   * @param clientId whose; undefined: everybody's who trusts the issuer for the audience.
   * @throws {PosternError} temporarily_unavailable, misconfigured
   */
  trustsOf(clientId: string | undefined, issuer: string, audience: string): Promise<readonly Trust[]>;
}

/** The port to an issuer's public keys. */
export interface IssuerKeys {
  /**
   * Whether one of them made the signature. What the token says is not looked at.
   * @throws {PosternError} temporarily_unavailable where they can't be had: that says nothing of the token
   */
  verify(source: KeySource, token: TrustedToken): Promise<boolean>;
}

/** The port to who decides: Vault verifies the token again, on a mount of that tenant and issuer, and gives the tenant's own token. */
export interface TrustLogin {
  /** @throws {PosternError} what `refused` makes; access_denied, temporarily_unavailable, misconfigured */
  login(trust: Trust, token: TrustedToken, address: string, refused: (reason: string) => PosternError): Promise<Identity>;
}

export interface TrustsOptions extends Clocks {
  trusts: TrustReader;
  keys: IssuerKeys;
  login: TrustLogin;
  used: UsedAssertions;
  /** One of its own: a bad token names no client, so a token's fingerprint stands for one. */
  throttle: Throttle;
  /** What passes on to Vault those whose tokens are good here. */
  turnstile?: Turnstile | undefined;
  /** How long trusts are remembered, ms. Default 30,000; what is announced has them forgotten at once. */
  rememberMs?: number;
}

/** To the client all that is wrong looks alike. */
export const NOT_TRUSTED = 'The token is not trusted';

/**
 * WHO, by a JWT of an issuer that a tenant trusts (RFC 8693, RFC 7523 §2.1): verified here, then by Vault. No verification is remembered,
 * so that what Vault no longer takes ends with the next request.
 */
export class Trusts {
  readonly #options: TrustsOptions;
  readonly #now: () => number;
  readonly #monotonic: () => number;
  readonly #rememberMs: number;
  readonly #turnstile: Turnstile;
  /** By client_id, issuer and audience: all that the answer depends on. An attacker chooses them, so they are bounded. */
  readonly #known = new BoundedMap<string, { trusts: Promise<readonly Trust[]>; readAt: number }>(10_000);
  /** HMACs under a key of this process, of tokens that were good the last time. They prove nothing now. */
  readonly #onceGood = new BoundedMap<string, true>(50_000);
  readonly #hmac = randomBytes(32);

  constructor(options: TrustsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#turnstile = options.turnstile ?? new Turnstile();
    this.#monotonic = monotonicOf(options);
    this.#rememberMs = options.rememberMs ?? 30_000;
  }

  /** The next token has the trusts read again. */
  forgetAll(): void {
    this.#known.clear();
  }

  /**
   * @param again the same request has shown it before, and something changed while it waited: it is not used twice
   * @throws {PosternError} invalid_grant where it is good once, else invalid_request; too_many_requests, temporarily_unavailable
   */
  async verify(token: TrustedToken, address: string, again = false): Promise<Identity> {
    const fingerprint = createHmac('sha256', this.#hmac).update(token.reveal()).digest('base64');
    const check = (): Promise<Identity> => this.#check(token, address, again);
    try {
      const good = this.#onceGood.has(fingerprint);
      const identity = await (good ? check() : this.#options.throttle.run(fingerprint, address, check, isBad));
      this.#onceGood.set(fingerprint, true);
      return identity;
    } catch (error) {
      if (isBad(error)) this.#onceGood.delete(fingerprint);
      throw error;
    }
  }

  async #check(token: TrustedToken, address: string, again: boolean): Promise<Identity> {
    const refused = (reason: string): PosternError => notTrusted(token, reason);
    const trust = await this.#trustOf(token, refused);
    return this.#turnstile.run(trust.tenant, async () => {
      const identity = await this.#options.login.login(trust, token, address, refused);
      const { jti, exp } = token.claims;
      // After the login: if Vault is away, the token is not used up.
      if (token.once && !again && jti !== undefined) {
        if (typeof jti !== 'string' || jti === '' || jti.length > 1024) throw refused('jti is not text of 1 to 1,024 characters');
        if (!(await this.#options.used.claim(useOf(trust, jti), Number(exp) + TRUST_SKEW))) throw refused('this jti was used before');
      }
      return identity;
    });
  }

  /** The one trust that a token is good for: never one of several by chance. */
  async #trustOf(token: TrustedToken, refused: (reason: string) => PosternError): Promise<Trust> {
    const header = judgeHeader(token.header).find(({ good }) => !good);
    if (header !== undefined) throw refused(told(header));
    const { iss, aud } = token.claims;
    const audience: unknown = Array.isArray(aud) ? aud[0] : aud;
    if (typeof iss !== 'string' || typeof audience !== 'string') throw refused('iss or aud is missing');
    const written = await this.#read(token.clientId, iss, audience);
    const now = this.#now();
    const faults: string[] = [];
    const fitting = written.filter((trust) => {
      const fault = judge(trust, token.claims, now).find(({ good }) => !good);
      if (fault !== undefined) faults.push(`${trust.tenant}/${trust.name}: ${told(fault)}`);
      return fault === undefined;
    });
    const verified: Trust[] = [];
    // Each by the keys that it names itself: what one tenant takes for the issuer's keys says nothing to another.
    for (const trust of fitting) if (await this.#options.keys.verify(trust, token)) verified.push(trust);
    if (verified.length === 0) {
      if (fitting.length > 0) throw refused('no key of the issuer made this signature');
      throw refused(faults.slice(0, 5).join(' · ') || 'nobody trusts this issuer for this audience');
    }
    return chosen(verified, token);
  }

  #read(clientId: string | undefined, issuer: string, audience: string): Promise<readonly Trust[]> {
    const key = JSON.stringify([clientId ?? null, issuer, audience]);
    const known = this.#known.get(key);
    if (known !== undefined && this.#monotonic() - known.readAt < this.#rememberMs) return known.trusts;
    const trusts = this.#options.trusts.trustsOf(clientId, issuer, audience);
    const entry = { trusts, readAt: this.#monotonic() };
    this.#known.set(key, entry);
    trusts.catch(() => {
      if (this.#known.peek(key) === entry) this.#known.delete(key);
    });
    return trusts;
  }
}

/**
 * What is used up: a jti of an issuer, for all tenants that take the same keys for its. Who has written down other keys for that issuer,
 * and so can sign whatever it likes, uses up nobody else's.
 */
function useOf({ issuer, jwksUrl, keys, caPem }: KeySource, jti: string): string {
  const source = JSON.stringify(['trust', issuer, jwksUrl ?? null, keys ?? null, caPem ?? null, jti]);
  return createHash('sha256').update(source).digest('hex');
}

/** An exact subject goes before a pattern. Among equals nobody guesses. */
function chosen(trusts: readonly Trust[], token: TrustedToken): Trust {
  if (new Set(trusts.map(({ clientId }) => clientId)).size > 1)
    throw new PosternError(codeOf(token), 'More than one client trusts this token: send client_id', { detail: namesOf(trusts) });
  const exact = trusts.filter(({ subject }) => subject !== undefined);
  const [trust, other] = exact.length > 0 ? exact : trusts;
  if (trust === undefined || other !== undefined)
    throw new PosternError(codeOf(token), 'Several trusts of the client fit this token, none better than another', {
      detail: `${namesOf(trusts)}: let their subjects or claims differ`,
    });
  return trust;
}

function namesOf(trusts: readonly Trust[]): string {
  return trusts.map(({ tenant, name }) => `${tenant}/${name}`).join(', ');
}

function told({ of, why }: Finding): string {
  return `${of} ${why}`;
}

/** RFC 7523 §3.1 of an assertion, RFC 8693 §2.2.2 of a subject token. */
function codeOf({ once }: Pick<TrustedToken, 'once'>): 'invalid_grant' | 'invalid_request' {
  return once ? 'invalid_grant' : 'invalid_request';
}

export function notTrusted(token: Pick<TrustedToken, 'once'>, detail?: string): PosternError {
  return new PosternError(codeOf(token), NOT_TRUSTED, detail === undefined ? {} : { detail });
}

function isBad(error: unknown): boolean {
  return error instanceof PosternError && (error.code === 'invalid_grant' || error.code === 'invalid_request');
}
