import type { GrantRequest } from '#broker/authorization/documents.ts';
import { PosternError } from '#broker/error.ts';
import { BackendError } from '#broker/plugin/backend.ts';
import { tokenOf } from '#broker/token/document.ts';
import type { TokenCache } from '#broker/token/cache.ts';
import type { Served } from '#broker/token/served.ts';
import type { Token } from '#broker/token/token.ts';
import type { Config } from './config.ts';
import type { Entities } from './entities.ts';
import { Issuance, Superseded } from './issuance.ts';
import type { CountedSource, IssuanceOptions } from './issuance.ts';
import { identityOf } from './roles.ts';
import type { Tenant } from './roles.ts';
import type { Place, TokenRecord } from './token-records.ts';

export interface CredentialsOptions extends IssuanceOptions {
  readonly entities: Entities;
}

/** Who asks for a token of which tenant. */
export interface Reader {
  readonly tenant: string;
  /** Vault's id of the entity whose token the request came with; empty where the token has none, as a root token. */
  readonly entityId: string;
}

/** From when a token is due until the next one surely lies ready, ms: a round of upkeep and a call to Auth0. */
const READY_AFTER = 10_000;
/** Longest pause of a reader whose token is overdue, ms. */
const OVERDUE_MAX = 30_000;
/** How often one request is decided anew because its role, an API or the configuration changed while it waited. */
const DECISIONS = 5;

/** Credentials of tenants: who may have which token, from memory, storage or Auth0. The broker's own rooms decide and cache. */
export class Credentials {
  readonly #options: CredentialsOptions;
  /** The latest there was. */
  #issuance: Issuance | undefined;
  /** The same, where it is that of the configuration as it is now. */
  #current: Issuance | undefined;
  /** Changes of the configuration. */
  #changes = 0;
  /** It knows Auth0's pauses and keys, and whether Auth0 answers: one, while what it is made from stays. */
  #source: { readonly madeFrom: string; readonly source: CountedSource } | undefined;
  #earlierCalls = 0;

  constructor(options: CredentialsOptions) {
    this.#options = options;
  }

  /** Tokens in memory. */
  get cached(): number {
    return this.#issuance?.cache.size ?? 0;
  }

  /** Undefined before the first request. */
  get cache(): TokenCache | undefined {
    return this.#issuance?.cache;
  }

  /** To Auth0's token endpoint. */
  get calls(): number {
    return this.#earlierCalls + (this.#source?.source.calls ?? 0);
  }

  /**
   * @returns the token, and in how many seconds the reader does well to read again
   * @throws {BackendError} 404 where this reader has no role, 400 for an audience that is not an API's; {PosternError} from
   *   authorization and the token cache; {ReadOnly}
   */
  async read(reader: Reader, request: GrantRequest): Promise<{ readonly token: Token; readonly next: number }> {
    const { counts } = this.#options;
    try {
      const { from, ...read } = await this.#read(reader, request);
      counts.granted(from);
      return read;
    } catch (error) {
      counts.denied(error);
      throw error;
    }
  }

  async #read(reader: Reader, request: GrantRequest): Promise<{ token: Token; next: number; from: Served['from'] }> {
    for (let decision = 0; decision < DECISIONS; decision++) {
      const found = this.#options.roles.find(reader.tenant);
      const tenant = found instanceof Promise ? await found : found;
      if (tenant === undefined || !(await this.#isReader(tenant, reader))) throw unknownRole(reader.tenant);
      const issuance = this.#current ?? (await this.#prepare());
      // It changed while it was read.
      if (issuance === undefined || issuance !== this.#current) continue;
      const { basis } = issuance;
      const grant = await issuance.authorize(tenant, request);
      const served = issuance.cache.get(grant, tenant.identity);
      const held = served instanceof Promise ? await servedOrSuperseded(served) : served;
      // Any of these may have waited. What is handed out must hold now; where it is granted anew, it lies ready by then.
      if (held !== undefined && basis === issuance.basis && this.#options.roles.isCurrent(tenant))
        return { token: held.token, next: this.#next(held.token, issuance.minRemaining(reader.tenant)), from: held.from };
    }
    throw new PosternError('temporarily_unavailable', 'What this tenant may have is being changed', { retryAfter: 1 });
  }

  /** The configuration may be another now: the next request begins with what is stored then. */
  forgetConfiguration(): void {
    this.#changes++;
    this.#current = undefined;
    this.#issuance?.judgeAnew();
  }

  /** The API is another now, or none: who may have what is decided anew, and its tokens are read from storage by that. */
  forgetApi(name: string): void {
    this.#issuance?.judgeAnew();
    this.#issuance?.cache.forget((grant) => grant.api === name);
  }

  /** The tenant's role is another now: its next token is read from storage, by what it then may have. */
  forgetTenant(tenant: string): void {
    this.#issuance?.cache.forget((grant) => grant.tenant === tenant);
  }

  /**
   * Nobody gets a cached token of this tenant from here again.
   * @returns how many there were in storage
   * @throws {ReadOnly}, {BackendError} 503: some may be gone, then
   */
  async drop(tenant: string): Promise<number> {
    const { records } = this.#options;
    let dropped = 0;
    try {
      for (const place of await records.places(tenant)) {
        const found = await records.read(place);
        await records.delete(place);
        // A place may hold no more than the note that Auth0 is being asked.
        if (found && tokenOf(found)) dropped++;
      }
    } finally {
      // Last: who read storage before that is under way or in memory.
      this.forgetTenant(tenant);
    }
    return dropped;
  }

  /** Another node wrote or removed what lies there: it is read again. */
  invalidate({ tenant, api }: Place): void {
    this.#issuance?.cache.forget((grant) => grant.tenant === tenant && grant.api === api);
  }

  /**
   * Fetches the next token for whoever asked for the one at hand, so that nobody waits for it.
   * @param most how many to begin
   * @param signal ends it early
   */
  async refresh(most: number, signal?: AbortSignal): Promise<void> {
    if (this.#issuance === undefined) return;
    // Where the configuration can't be had, nothing can.
    const issuance = this.#current ?? (await this.#prepare().catch(() => undefined));
    if (issuance === undefined) return;
    const { cache, store } = issuance;
    const now = this.#options.now();
    cache.forget((_grant, token) => token !== undefined && token.expiresAt * 1000 < now);
    let begun = 0;
    for (const held of cache.recent()) {
      if (signal?.aborted === true) return;
      await store.noteAsked(held);
      if (begun < most && cache.refreshAhead(held, identityOf(held.grant.tenant, held.grant.clientId))) begun++;
    }
  }

  /** Takes a stored token into memory that was asked for before this process began. */
  async adopt(place: Place, record: TokenRecord): Promise<void> {
    const token = tokenOf(record);
    if (token === undefined || record.asked !== true) return;
    if ((await this.#options.configuration.read()) === undefined) return;
    const issuance = this.#current ?? (await this.#prepare());
    if (issuance === undefined || issuance.cache.full) return;
    const [tenant, api] = await Promise.all([this.#options.roles.find(place.tenant), this.#options.apis.byName(place.api)]);
    if (tenant === undefined || tenant.role.disabled || api === undefined) return;
    if (token.expiresAt * 1000 - this.#options.now() < leastLife(token, issuance.minRemaining(place.tenant))) return;
    const request = { audience: api.audience, scope: place.digest === undefined ? undefined : token.scope, organization: undefined };
    const grant = await issuance.authorize(tenant, request);
    if (grant.digest === record.grant && !issuance.cache.has(grant)) await issuance.cache.get(grant, tenant.identity);
  }

  /** Who had the tenant's name before may still hold a Vault token for this path: a role that names a client is that client's alone. */
  #isReader({ role }: Tenant, { tenant, entityId }: Reader): boolean | Promise<boolean> {
    const clientId = role.client_id ?? undefined;
    return clientId === undefined || this.#options.entities.isClient(entityId, { tenant, clientId });
  }

  /** Seconds until a reader does well to read again: the next token is there by then, or is fetched then. */
  #next(token: Token, minRemaining: number): number {
    const now = this.#options.now();
    const end = token.expiresAt * 1000 - leastLife(token, minRemaining);
    const ready = Math.min(token.refreshAt + READY_AFTER, end);
    // Overdue, since Auth0 is away: many readers wait for the same.
    const wait = ready > now ? ready - now : Math.min(OVERDUE_MAX, (end - now) / 4);
    return Math.max(1, Math.ceil(wait / 1000));
  }

  /**
   * That of the configuration as it is stored: the one there is goes on where it can.
   * @returns undefined where the configuration changed while it was read
   * @throws {Invalid}; {BackendError} 400 without a configuration, 503
   */
  async #prepare(): Promise<Issuance | undefined> {
    const changes = this.#changes;
    const config = await this.#options.configuration.read();
    if (changes !== this.#changes) return undefined;
    if (config === undefined) {
      this.#replace(undefined);
      throw new BackendError(400, 'this engine is not configured: write issuer, client_id and client_secret to config');
    }
    if (this.#current !== undefined) return this.#current;
    const source = this.#sourceFor(config);
    if (this.#issuance?.isFor(config) === true) this.#issuance.configure(config, source);
    else this.#replace(new Issuance(config, source, this.#options));
    return (this.#current = this.#issuance);
  }

  #replace(issuance: Issuance | undefined): void {
    if (this.#issuance !== undefined) {
      this.#issuance.end();
      this.#options.counts.ended(this.#issuance.cache);
    }
    this.#issuance = issuance;
  }

  #sourceFor(config: Config): CountedSource {
    const { configuration, now, source: make } = this.#options;
    const settings = {
      issuer: config.issuer,
      binding: config.binding,
      tenantClaim: config.tenant_claim,
      timeoutMs: config.timeout * 1000,
      upstreamAgeMs: 0,
    } as const;
    const madeFrom = JSON.stringify(settings);
    if (this.#source?.madeFrom === madeFrom) return this.#source.source;
    this.#earlierCalls = this.calls;
    const source = make({ ...settings, upstream: { readUpstream: () => configuration.credential(now()) } });
    this.#source = { madeFrom, source };
    return source;
  }
}

async function servedOrSuperseded(served: Promise<Served>): Promise<Served | undefined> {
  try {
    return await served;
  } catch (error) {
    if (error instanceof Superseded) return undefined;
    throw error;
  }
}

/** The same whether there is no such role or it is another client's, so that nobody learns which. */
function unknownRole(tenant: string): BackendError {
  return new BackendError(
    404,
    `there is no role ${tenant}: an operator must write roles/${tenant}, with the client_id of this client if any`,
  );
}

/** ms that a token must have left where `seconds` are wanted: half its life where that is less. */
function leastLife({ issuedAt, expiresAt }: Token, seconds: number): number {
  return Math.max(0, Math.min(seconds, (expiresAt - issuedAt) / 2)) * 1000;
}
