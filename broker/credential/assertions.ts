import { createHash } from 'node:crypto';
import { BoundedMap } from '#broker/bounded-map.ts';
import { monotonicOf } from '#broker/clock.ts';
import type { Clocks } from '#broker/clock.ts';
import { PosternError } from '#broker/error.ts';
import { networksOf } from '#broker/network.ts';
import type { ClientAssertion } from './assertion.ts';
import { ASSERTION_SKEW, BadAssertion, checkAssertion } from './assertion-check.ts';
import type { AssertionClaims, ClientKey } from './assertion-check.ts';
import type { Identity } from './identity.ts';
import { Lane } from './lane.ts';
import type { Throttle } from './throttle.ts';
import { Turnstile } from './turnstile.ts';

/** A client that may authenticate by assertions, as Terraform registered it. All of it is public. */
export interface Registration {
  readonly clientId: string;
  readonly tenant: string;
  readonly keys: readonly ClientKey[];
}

/**
 * A key that is not among the remembered ones may be new: they are read again, but a client's no more often than this, ms. An unknown
 * client is looked for as often, so that no wait for Vault tells the two apart.
 */
const COOLDOWN = 5_000;

/** The port to where clients' public keys lie. */
export interface ClientKeys {
  /** @returns undefined where no such client is registered. @throws {PosternError} temporarily_unavailable, misconfigured */
  registrationOf(clientId: string): Promise<Registration | undefined>;
}

/** The port to who decides: Vault verifies the assertion again, by the keys that it was given itself, and gives the tenant's own token. */
export interface AssertionLogin {
  /** @throws {PosternError} invalid_client, temporarily_unavailable, misconfigured */
  login(registration: Registration, assertion: ClientAssertion, address: string): Promise<Identity>;
}

/** The port to what all replicas know of used assertions. */
export interface UsedAssertions {
  /**
   * Says that an assertion is used from now on.
   * @param key its name, safe in a path
   * @param until seconds since 1970; it may be forgotten afterwards
   * @returns false where it was used before, by whichever replica
   * @throws {PosternError} temporarily_unavailable
   */
  claim(key: string, until: number): Promise<boolean>;
}

export interface AssertionsOptions extends Clocks {
  keys: ClientKeys;
  login: AssertionLogin;
  used: UsedAssertions;
  throttle: Throttle;
  /** What `aud` may name: the issuer and the token endpoint. */
  audiences: readonly string[];
  /** How long a client's keys are remembered, ms. Default 30,000. */
  rememberMs?: number;
  /** Most clients remembered. Default 10,000. */
  max?: number;
  /** What passes on to Vault those whose assertions are good here. */
  turnstile?: Turnstile | undefined;
}

interface Checked {
  readonly registration: Registration;
  readonly claims: AssertionClaims;
}

/**
 * WHO, by private_key_jwt (RFC 7523 §2.2): verified here, then by Vault, then written down as used. No verification is
 * remembered, since an assertion is good for one request. Whoever has not shown a good one from this address is held back like
 * wrong secrets, before a signature costs us anything. Who has goes on while somebody forges theirs from there; how much of the
 * processor that may cost is bounded.
 */
export class Assertions {
  readonly #options: AssertionsOptions;
  readonly #rememberMs: number;
  readonly #now: () => number;
  readonly #monotonic: () => number;
  readonly #known: BoundedMap<string, { registration: Registration; readAt: number }>;
  /** When nobody was found under a client_id. Apart from the others, since an attacker chooses these. */
  readonly #unknown = new BoundedMap<string, number>(10_000);
  #forgotten = 0;
  readonly #readings = new Map<string, Promise<Registration | undefined>>();
  /** Client and address of a good assertion. It proves nothing now. */
  readonly #onceRight = new BoundedMap<string, true>(50_000);
  readonly #lane = new Lane();
  readonly #turnstile: Turnstile;
  /** Used at this replica, so that a replay here costs Vault nothing. The truth is {@link UsedAssertions}. */
  readonly #used = new BoundedMap<string, true>(50_000);

  constructor(options: AssertionsOptions) {
    this.#options = options;
    this.#rememberMs = options.rememberMs ?? 30_000;
    this.#now = options.now ?? Date.now;
    this.#monotonic = monotonicOf(options);
    this.#known = new BoundedMap(options.max ?? 10_000);
    this.#turnstile = options.turnstile ?? new Turnstile();
  }

  /** Forgets the registered keys: the next assertion has them read again. */
  forgetAll(): void {
    this.#forgotten++;
    this.#known.clear();
    this.#readings.clear();
  }

  /**
   * @param again the same request has shown it before, and something changed while it waited: it is not used twice
   * @throws {PosternError} invalid_client, too_many_requests, temporarily_unavailable, misconfigured
   */
  async verify(assertion: ClientAssertion, address: string, again = false): Promise<Identity> {
    const { registration, claims } = await this.#check(assertion, address);
    const inTurn = <T>(work: () => Promise<T>): Promise<T> => this.#turnstile.run(assertion.clientId, work);
    const login = (): Promise<Identity> => this.#options.login.login(registration, assertion, address);
    if (again) return inTurn(login);
    const key = replayKeyOf(assertion.clientId, claims.jti);
    if (this.#used.has(key)) throw refused('this jti was used before');
    this.#used.set(key, true);
    try {
      // First the login: if Vault is away, the assertion is not used up.
      const identity = await inTurn(login);
      if (await inTurn(() => this.#options.used.claim(key, claims.exp + ASSERTION_SKEW))) return identity;
    } catch (error) {
      this.#used.delete(key);
      throw error;
    }
    throw refused('this jti was used before');
  }

  async #check(assertion: ClientAssertion, address: string): Promise<Checked> {
    const { throttle } = this.#options;
    const { clientId } = assertion;
    const pair = `${networksOf(address)[0]}\0${clientId}`;
    if (!this.#onceRight.has(pair)) {
      const checked = await throttle.run(clientId, address, () => this.#checkAnew(assertion), isWrong);
      this.#onceRight.set(pair, true);
      return checked;
    }
    const known = await this.#registrationOf(clientId);
    try {
      const check = (): Promise<Checked> => this.#checkBy(known, assertion);
      return await (throttle.isUsedUp(clientId, address) ? this.#lane.run(check) : check());
    } catch (error) {
      if (!isWrong(error)) throw error;
      // It costs the same allowance as where the client is unknown, so that the two look alike after many attempts too.
      return throttle.run(clientId, address, () => this.#checkAgain(known, assertion, error as PosternError), isWrong);
    }
  }

  async #checkAnew(assertion: ClientAssertion): Promise<Checked> {
    const isKnown = this.#known.has(assertion.clientId);
    const found = await this.#registrationOf(assertion.clientId);
    try {
      return await this.#checkBy(found, assertion);
    } catch (error) {
      if (!isKnown || !isWrong(error)) throw error;
      return this.#checkAgain(found, assertion, error as PosternError);
    }
  }

  /** Whether a newer key made it. @throws what was found before, where nothing is newer */
  async #checkAgain(before: Registration | undefined, assertion: ClientAssertion, found: PosternError): Promise<Checked> {
    const now = await this.#registrationOf(assertion.clientId, COOLDOWN);
    if (now === before || haveSameKeys(now, before)) throw found;
    return this.#checkBy(now, assertion);
  }

  async #checkBy(registration: Registration | undefined, assertion: ClientAssertion): Promise<Checked> {
    try {
      const claims = await checkAssertion(assertion, registration?.keys ?? [], this.#options.audiences, this.#now());
      if (registration !== undefined) return { registration, claims };
    } catch (error) {
      if (!(error instanceof BadAssertion)) throw error;
      throw refused(registration === undefined ? 'no keys are registered for this client' : error.message);
    }
    // Nobody has the private half of a decoy.
    throw refused('no keys are registered for this client');
  }

  #registrationOf(clientId: string, maxAge = this.#rememberMs): Promise<Registration | undefined> {
    const known = this.#known.get(clientId);
    const fresh = known === undefined ? this.#isFresh(this.#unknown.get(clientId), COOLDOWN) : this.#isFresh(known.readAt, maxAge);
    if (fresh) return Promise.resolve(known?.registration);
    let reading = this.#readings.get(clientId);
    if (reading === undefined) {
      const readAt = this.#monotonic();
      const forgotten = this.#forgotten;
      reading = this.#options.keys
        .registrationOf(clientId)
        .then((registration) => {
          // Begun before all was forgotten, it may say what held before.
          if (forgotten !== this.#forgotten) return registration;
          if (registration === undefined) {
            this.#known.delete(clientId);
            this.#unknown.set(clientId, readAt);
          } else this.#known.set(clientId, { registration, readAt });
          return registration;
        })
        .finally(() => {
          if (this.#readings.get(clientId) === reading) this.#readings.delete(clientId);
        });
      this.#readings.set(clientId, reading);
    }
    return reading;
  }

  #isFresh(readAt: number | undefined, maxAge: number): boolean {
    return readAt !== undefined && this.#monotonic() - readAt < maxAge;
  }
}

function haveSameKeys(one: Registration | undefined, other: Registration | undefined): boolean {
  const [keys, others] = [one?.keys ?? [], other?.keys ?? []];
  return keys.length === others.length && keys.every(({ kid, key }, at) => kid === others[at]?.kid && key.equals(others[at]!.key));
}

/** All that names an assertion, as a file name: a client's jti is its own to choose, and no other client's. */
function replayKeyOf(clientId: string, jti: string): string {
  return createHash('sha256').update(`${clientId}\0${jti}`).digest('hex');
}

/** To the client the same bytes as a wrong secret; to the operator, at debug, the reason. */
function refused(reason: string): PosternError {
  return new PosternError('invalid_client', 'Unauthorized', { detail: `client_assertion: ${reason}` });
}

function isWrong(error: unknown): boolean {
  return error instanceof PosternError && error.code === 'invalid_client';
}
