import type { ApiCatalog, GrantRequest } from '#broker/authorization/documents.ts';
import type { Authorization, AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { Changed, decide } from '#broker/credential/generations.ts';
import type { Generations } from '#broker/credential/generations.ts';
import type { Identity } from '#broker/credential/identity.ts';
import type { KnownBefore } from '#broker/credential/known-before.ts';
import type { Credential, CredentialVerifier } from '#broker/credential/verifiers.ts';
import { PosternError } from '#broker/error.ts';
import { limitExceeded } from '#broker/rate-limit/admission.ts';
import type { Admission, Limiter } from '#broker/rate-limit/admission.ts';
import type { Allowance } from '#broker/rate-limit/allowance.ts';
import { traced } from '#broker/span.ts';
import type { Served, TokenCache } from './cache.ts';
import type { EarlyReading, TokenStore } from './store.ts';

export interface ExchangeOptions {
  verified: CredentialVerifier;
  authorization: Authorization;
  cache: TokenCache;
  apis: ApiCatalog;
  store: TokenStore;
  /** Whether something changed while an exchange waited: then it is decided again. */
  generations: Pick<Generations, 'now' | 'since'>;
  /** Counts the requests of tenants and keys that are limited. Default: nothing is. */
  limiter?: Limiter | undefined;
}

/** What is asked for, and who the caller says it is. */
export interface ExchangeRequest extends GrantRequest {
  /** Must be that of the identity; undefined where the credential alone says it. */
  readonly clientId?: string | undefined;
}

/** What an exchange learnt before it ended, well or badly: for the audit, and for what the answer says of limits. */
export interface Trace {
  identity?: Identity;
  grant?: AuthorizedGrant;
  /** Whose the refused credential was when it was right; it proves nothing. */
  before?: KnownBefore | undefined;
  /** Where its client is limited: it counts once, however often it is decided. */
  admission?: Admission;
}

/** The main job, whatever the door: credential -> identity -> grant -> token. */
export class Exchange {
  readonly #options: ExchangeOptions;
  /** A thousand first requests with one credential share one identity, and so one early reading. */
  readonly #early = new WeakMap<Identity, { api: string; reading: EarlyReading }>();

  constructor(options: ExchangeOptions) {
    this.#options = options;
  }

  /**
   * @returns at once when all is remembered, else a promise.
   * @throws {PosternError}
   */
  run(credential: Credential, request: ExchangeRequest, address: string, trace: Trace): Served | Promise<Served> {
    const { generations } = this.#options;
    const begun = generations.now;
    const running = this.#attempt(credential, request, address, trace, false);
    // A hit has waited for nothing.
    if (!(running instanceof Promise)) return running;
    const attempt = (again: boolean): Served | Promise<Served> => this.#attempt(credential, request, address, trace, again);
    return decide(generations, attempt, ({ grant }) => grant.tenant, { begun, running });
  }

  #attempt(credential: Credential, request: ExchangeRequest, address: string, trace: Trace, again: boolean): Served | Promise<Served> {
    const begun = this.#options.generations.now;
    const identity = traced('verify', () => this.#options.verified.verify(credential, address, again));
    if (identity instanceof Promise) return this.#runAnew(identity, credential, request, trace, begun);
    trace.identity = identity;
    requireClient(identity, request);
    const grant = traced('authorize', () => this.#options.authorization.authorize(identity, request));
    if (grant instanceof Promise) return this.#runAuthorizing(identity, grant, trace, begun);
    const counting = this.#count(identity, trace);
    if (counting !== undefined) return this.#runAuthorizing(identity, grant, trace, begun, undefined, counting);
    trace.grant = grant;
    return traced('cache', () => this.#options.cache.get(grant, identity));
  }

  /**
   * Counts the request of a client that is verified, so that nobody else spends its allowance, whatever becomes of the request.
   * @returns nothing where nobody has to be asked
   * @throws {PosternError} limit_exceeded
   */
  #count(identity: Identity, trace: Trace): void | Promise<void> {
    const { authorization, limiter } = this.#options;
    if (limiter === undefined || trace.admission !== undefined) return;
    const admit = (allowances: readonly Allowance[]): void | Promise<void> => {
      if (allowances.length === 0) return;
      const admission = limiter.admit(allowances);
      return admission instanceof Promise ? admission.then((late) => admitted(late, trace)) : admitted(admission, trace);
    };
    const allowances = authorization.allowancesOf(identity);
    return allowances instanceof Promise ? allowances.then(admit) : admit(allowances);
  }

  /** The credential was unseen, so its grants are too: the token is looked for while they are read. */
  async #runAnew(
    verifying: Promise<Identity>,
    credential: Credential,
    request: ExchangeRequest,
    trace: Trace,
    begun: number,
  ): Promise<Served> {
    const identity = await verifying.catch((error: unknown) => {
      trace.before = this.#options.verified.knownBefore?.(credential);
      throw error;
    });
    trace.identity = identity;
    requireClient(identity, request);
    const early = this.#readEarly(identity, request);
    const authorizing = traced('authorize', () => this.#options.authorization.authorize(identity, request));
    // Kept by identity, what was read would lie in memory as long as that does.
    return this.#runAuthorizing(identity, authorizing, trace, begun, early).finally(() => this.#early.delete(identity));
  }

  async #runAuthorizing(
    identity: Identity,
    authorizing: AuthorizedGrant | Promise<AuthorizedGrant>,
    trace: Trace,
    begun: number,
    early?: EarlyReading,
    counting?: Promise<void>,
  ): Promise<Served> {
    // That it comes too often is said first, and what the grants say not at all.
    if (authorizing instanceof Promise) authorizing.catch(() => {});
    await (counting ?? this.#count(identity, trace));
    const grant = await authorizing;
    // The cache looks only at what changes from now on.
    if (this.#options.generations.since(identity.tenant, begun)) throw new Changed();
    trace.grant = grant;
    return traced('cache', () => this.#options.cache.get(grant, identity, grant.whole ? early : undefined));
  }

  #readEarly(identity: Identity, request: GrantRequest): EarlyReading | undefined {
    // A lent token may be used only while its request waits, and nobody need wait for an early reading.
    if (identity.lent) return undefined;
    // Only the token with all of the tenant's scopes can be looked for before the grants are known.
    if (request.audience === undefined || request.scope !== undefined || identity.limit !== undefined) return undefined;
    const api = this.#options.apis.byAudience(request.audience);
    // Whoever decides on the grant waits for it, and hears of its failure.
    if (api instanceof Promise) api.catch(() => {});
    if (api === undefined || api instanceof Promise || this.#options.cache.holds(identity.tenant, api.name)) return undefined;
    const begun = this.#early.get(identity);
    if (begun) return begun.api === api.name ? begun.reading : undefined;
    const reading = this.#options.store.readEarly(identity.tenant, api.name, identity);
    this.#early.set(identity, { api: api.name, reading });
    // Where nobody comes to wait for it, its failure is nobody's.
    reading.catch(() => {});
    return reading;
  }
}

function admitted(admission: Admission, trace: Trace): void {
  trace.admission = admission;
  if (admission.exhausted !== undefined) throw limitExceeded(admission.exhausted);
}

/** Before anything is issued, and metered. A client_id beside a credential that names none decides nothing; a wrong one is a mistake. */
function requireClient({ clientId }: Identity, request: ExchangeRequest): void {
  if (request.clientId !== undefined && request.clientId !== clientId)
    throw new PosternError('invalid_request', "client_id is not that of the subject_token's tenant: leave it out");
}
