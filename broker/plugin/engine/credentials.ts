import { LRUCache } from 'lru-cache';
import type { GrantRequest } from '#broker/authorization/documents.ts';
import { Authorization } from '#broker/authorization/authorization.ts';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import { BackendError, ReadOnly } from '#broker/plugin/backend.ts';
import type { PluginLog } from '#broker/plugin/backend.ts';
import { TokenCache } from '#broker/token/cache.ts';
import type { Served } from '#broker/token/cache.ts';
import { tokenOf } from '#broker/token/document.ts';
import type { TokenSource } from '#broker/token/source.ts';
import type { Token } from '#broker/token/token.ts';
import type { Apis } from './apis.ts';
import type { Config, Configuration } from './config.ts';
import type { Roles, Tenant } from './roles.ts';
import { placeOf, StorageTokens } from './store.ts';
import type { Place, TokenRecord, TokenRecords } from './token-records.ts';

/** What a source of Auth0's tokens is made from. */
export interface SourceSettings {
  readonly issuer: string;
  readonly binding: Config['binding'];
  readonly tenantClaim: string;
  readonly timeoutMs: number;
  readonly upstream: { readUpstream(): Promise<{ readonly clientId: string; readonly clientSecrets: readonly string[] }> };
}

/** `calls`: to Auth0's token endpoint since it was made. */
export type CountedSource = TokenSource & { readonly calls: number };

export interface CredentialsOptions {
  readonly configuration: Configuration;
  readonly apis: Apis;
  readonly roles: Roles;
  readonly records: TokenRecords;
  readonly source: (settings: SourceSettings) => CountedSource;
  readonly log: PluginLog;
  readonly now: () => number;
  /** Default `now`. */
  readonly monotonic?: (() => number) | undefined;
}

/** What follows from one configuration. */
interface Made {
  readonly config: Config;
  readonly authorization: Authorization;
  readonly cache: TokenCache;
  readonly source: CountedSource;
}

/** A token that this process has served, or holds ready. */
interface Recent {
  readonly grant: AuthorizedGrant;
  readonly identity: Identity;
  served: Token | undefined;
  /** Nobody has asked since the next one was fetched: that one is left to end. */
  idle: boolean;
  /** The next one is fetched before anybody asks for it. */
  ahead: boolean;
  /** Storage does not say yet that the token at hand was asked for. */
  unmarked: boolean;
}

/** From when a token is due until the next one surely lies ready, ms: a round of upkeep and a call to Auth0. */
const READY_AFTER = 10_000;
/** Longest pause of a reader whose token is overdue, ms. */
const OVERDUE_MAX = 30_000;
/** Most tokens in memory. */
const MAX = 12_000;
/** Most memory for them, bytes: 10,000 of 1 kB, so that V8's limit for this process (tools/plugin/bundle.ts) stays out of reach however long they are. */
const MAX_BYTES = 36_000_000;

/** Credentials of tenants: who may have which token, from memory, storage or Auth0. The broker's own rooms decide and cache. */
export class Credentials {
  readonly #options: CredentialsOptions;
  readonly #recents = new LRUCache<string, Recent>({ max: MAX });
  /** SHA-256 of tokens that were dropped -> when they end by themselves, ms since 1970. */
  readonly #dropped = new Map<string, number>();
  /** The same of tokens whose record another node has touched: not served until storage was read and has them still. */
  readonly #doubted = new Map<string, number>();
  #made: Made | undefined;
  #making: Promise<Made> | undefined;
  #earlierCalls = 0;

  constructor(options: CredentialsOptions) {
    this.#options = options;
  }

  /** Tokens in memory. */
  get cached(): number {
    return this.#recents.size;
  }

  /** To Auth0's token endpoint. */
  get calls(): number {
    return this.#earlierCalls + (this.#made?.source.calls ?? 0);
  }

  /**
   * @throws {PosternError} from authorization and the token cache; {BackendError} 400 for an audience that is no API's; {ReadOnly}
   */
  async read(tenant: Tenant, request: GrantRequest): Promise<{ readonly token: Token; readonly next: number }> {
    const made = this.#made ?? (await this.#make());
    const grant = await this.#authorize(made, tenant, request);
    const recent = this.#recentOf(grant, tenant.identity);
    recent.ahead = false;
    recent.idle = false;
    let { token } = await this.#served(made, recent);
    const wanted = leastLife(token, tenant.role.min_remaining ?? 0);
    if (token.expiresAt * 1000 - this.#options.now() < wanted) {
      // Too old for this tenant, whatever the mount says: only this tenant ever gets it.
      this.#drop(token);
      ({ token } = await this.#served(made, recent));
    }
    recent.served = token;
    return { token, next: this.#next(token, Math.max(leastLife(token, made.config.min_remaining), wanted)) };
  }

  /** Made anew at the next request, from what is then stored. */
  reset(): void {
    this.#earlierCalls = this.calls;
    this.#made = undefined;
    this.#making = undefined;
    this.#recents.clear();
  }

  /** The tenant's role is another now: what was granted by the old one is refreshed no more. */
  forgetTenant(tenant: string): void {
    for (const [key, recent] of this.#all()) if (recent.grant.tenant === tenant) this.#recents.delete(key);
  }

  /**
   * Nobody gets a cached token of this tenant from here again.
   * @returns how many there were in storage
   * @throws {ReadOnly}, {BackendError} 503: some may be gone, then
   */
  async drop(tenant: string): Promise<number> {
    const { records } = this.#options;
    const places = await records.places(tenant);
    for (const place of places) {
      const found = await records.read(place);
      const token = found && tokenOf(found);
      await records.delete(place);
      if (token) this.#drop(token);
    }
    for (const [key, recent] of this.#all()) if (recent.grant.tenant === tenant) this.#forget(key, recent);
    return places.length;
  }

  /** Another node wrote or removed what lies there: it is read again. */
  invalidate({ tenant, api }: Place): void {
    for (const [key, { grant, served }] of this.#all()) {
      if (grant.tenant !== tenant || grant.api !== api) continue;
      this.#recents.delete(key);
      if (served) this.#doubted.set(served.sha256, served.expiresAt * 1000);
    }
  }

  /** Forgets of tokens that have ended that they were not to be served. */
  sweep(): void {
    const now = this.#options.now();
    for (const tokens of [this.#dropped, this.#doubted]) for (const [sha256, ends] of tokens) if (ends < now) tokens.delete(sha256);
  }

  /**
   * Fetches the next token for whoever asked lately, so that nobody waits for it.
   * @param most how many to begin
   */
  async refresh(most: number): Promise<void> {
    const now = this.#options.now();
    const made = this.#made;
    let begun = 0;
    for (const [key, recent] of this.#all()) {
      if (recent.unmarked && !recent.ahead) {
        recent.unmarked = false;
        await this.#options.records.markAsked(placeOf(recent.grant));
      }
      const { served } = recent;
      if (served !== undefined && served.expiresAt * 1000 < now) this.#recents.delete(key);
      if (
        begun >= most ||
        made === undefined ||
        recent.idle ||
        served === undefined ||
        now < served.refreshAt ||
        served.expiresAt * 1000 < now
      )
        continue;
      recent.ahead = true;
      const next = made.cache.get(recent.grant, recent.identity);
      if (next instanceof Promise) next.catch(() => {});
      else if (next.token !== served) {
        recent.idle = true;
        continue;
      }
      begun++;
    }
  }

  /** Takes a stored token into memory that was asked for before this process began. */
  async adopt(place: Place, record: TokenRecord): Promise<void> {
    const token = tokenOf(record);
    if (token === undefined || record.asked !== true) return;
    if ((await this.#options.configuration.read()) === undefined) return;
    const made = this.#made ?? (await this.#make());
    if (made.cache.full) return;
    if (token.expiresAt * 1000 - this.#options.now() < leastLife(token, made.config.min_remaining)) return;
    const [tenant, api] = await Promise.all([this.#options.roles.find(place.tenant), this.#options.apis.byName(place.api)]);
    if (tenant === undefined || tenant.role.disabled || api === undefined) return;
    const request = { audience: api.audience, scope: place.digest === undefined ? undefined : token.scope, organization: undefined };
    const grant = await made.authorization.authorize(tenant.identity, request);
    if (grant.digest !== record.grant || this.#recents.has(grant.key)) return;
    const recent = this.#recentOf(grant, tenant.identity);
    recent.served = (await made.cache.get(grant, tenant.identity)).token;
  }

  async #authorize(made: Made, tenant: Tenant, request: GrantRequest): Promise<AuthorizedGrant> {
    try {
      const authorized = made.authorization.authorize(tenant.identity, request);
      return authorized instanceof Promise ? await authorized : authorized;
    } catch (error) {
      if (error instanceof PosternError && error.code === 'access_denied') {
        if (request.audience === undefined && !tenant.role.default_api && tenant.role.grants.length !== 1)
          throw new BackendError(400, 'audience is required: this role has no default_api, and not just one API');
        if (request.audience !== undefined && (await this.#options.apis.byAudience(request.audience)) === undefined)
          throw new BackendError(400, error.message);
      }
      throw error;
    }
  }

  #served({ cache }: Made, { grant, identity }: Recent): Served | Promise<Served> {
    return cache.get(grant, identity);
  }

  #recentOf(grant: AuthorizedGrant, identity: Identity): Recent {
    const known = this.#recents.get(grant.key);
    if (known?.grant === grant) return known;
    const recent: Recent = { grant, identity, served: known?.served, idle: false, ahead: false, unmarked: known?.unmarked ?? false };
    this.#recents.set(grant.key, recent);
    return recent;
  }

  /** Seconds until a reader does well to read again: the next token is there by then, or is fetched then. */
  #next(token: Token, least: number): number {
    const now = this.#options.now();
    const end = token.expiresAt * 1000 - least;
    const ready = Math.min(token.refreshAt + READY_AFTER, end);
    // Overdue, since Auth0 is away: many readers wait for the same.
    const wait = ready > now ? ready - now : Math.min(OVERDUE_MAX, (end - now) / 4);
    return Math.max(1, Math.ceil(wait / 1000));
  }

  /** As they are now: the map itself may change while one goes through it. */
  #all(): readonly [string, Recent][] {
    return [...this.#recents.entries()];
  }

  #forget(key: string, { served }: Recent): void {
    this.#recents.delete(key);
    if (served) this.#drop(served);
  }

  #drop(token: Token): void {
    this.#dropped.set(token.sha256, token.expiresAt * 1000);
  }

  #make(): Promise<Made> {
    if (this.#making !== undefined) return this.#making;
    const making = this.#makeNow();
    this.#making = making;
    making.then(
      (made) => {
        // What was made from the configuration before a change is not kept.
        if (this.#making === making) this.#made = made;
      },
      () => {
        if (this.#making === making) this.#making = undefined;
      },
    );
    return making;
  }

  async #makeNow(): Promise<Made> {
    const { configuration, apis, roles, records, log, now, monotonic } = this.#options;
    const config = await configuration.read();
    if (config === undefined)
      throw new BackendError(400, 'this engine is not configured: write issuer, client_id and client_secret to config');
    const source = this.#options.source({
      issuer: config.issuer,
      binding: config.binding,
      tenantClaim: config.tenant_claim,
      timeoutMs: config.timeout * 1000,
      upstream: { readUpstream: () => configuration.credential(now()) },
    });
    const store = new StorageTokens(records, {
      asked: (grant) => {
        const recent = this.#recents.peek(grant.key);
        if (recent) recent.unmarked = recent.ahead;
        return recent?.ahead !== true;
      },
      found: ({ sha256 }) => this.#doubted.delete(sha256),
    });
    const cache = new TokenCache({
      store,
      sources: { auth0: source, transit: undefined },
      revocations: {
        has: (sha256) => (this.#dropped.size > 0 && this.#dropped.has(sha256)) || (this.#doubted.size > 0 && this.#doubted.has(sha256)),
      },
      minRemaining: config.min_remaining,
      max: MAX,
      maxBytes: MAX_BYTES,
      onEvict: (evicted) => this.#recents.delete(evicted),
      now,
      ...(monotonic === undefined ? {} : { monotonic }),
      onRefreshError: (grant, error) => {
        // A standby leaves it to the active node.
        if (!(error instanceof ReadOnly))
          log.warn('a token could not be refreshed or stored; the one at hand is served while it lives', {
            tenant: grant.tenant,
            api: grant.api,
            reason: reasonOf(error),
          });
      },
    });
    const authorization = new Authorization({
      grants: roles,
      apis,
      issuers: { auth0: config.issuer, transit: undefined },
      form: `${config.binding} ${config.tenant_claim}`,
      isDisabled: () => false,
    });
    return { config, authorization, cache, source };
  }
}

/** ms that a token must have left where `seconds` are wanted: half its life where that is less. */
function leastLife({ issuedAt, expiresAt }: Token, seconds: number): number {
  return Math.max(0, Math.min(seconds, (expiresAt - issuedAt) / 2)) * 1000;
}

/** For the log: our own errors' words, and of others only what they are called. */
export function reasonOf(error: unknown): string {
  if (error instanceof PosternError) return error.detail ?? error.message;
  if (error instanceof BackendError) return error.message;
  return error instanceof Error ? error.name : 'unknown';
}
