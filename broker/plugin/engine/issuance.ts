import type { GrantRequest } from '#broker/authorization/documents.ts';
import { Authorization } from '#broker/authorization/authorization.ts';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { claimsLayout } from '#broker/authorization/layout.ts';
import { PosternError } from '#broker/error.ts';
import { BackendError, ReadOnly } from '#broker/plugin/backend.ts';
import type { PluginLog } from '#broker/plugin/backend.ts';
import { TokenCache } from '#broker/token/cache.ts';
import type { TokenSource } from '#broker/token/source.ts';
import type { Token } from '#broker/token/token.ts';
import type { Apis } from './apis.ts';
import { reasonOf } from './backend-error.ts';
import type { Config, Configuration } from './config.ts';
import type { Counts } from './counts.ts';
import type { Roles, Tenant } from './roles.ts';
import { StorageTokens } from './store.ts';
import type { TokenRecords } from './token-records.ts';

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

export interface IssuanceOptions {
  readonly configuration: Configuration;
  readonly apis: Apis;
  readonly roles: Roles;
  readonly records: TokenRecords;
  readonly source: (settings: SourceSettings) => CountedSource;
  /** As APIs name it. */
  readonly sourceName: string;
  readonly counts: Counts;
  readonly log: PluginLog;
  readonly now: () => number;
  readonly monotonic: () => number;
}

/** Most tokens in memory. */
const MAX = 12_000;
/**
 * Most memory for them, bytes: 10,000 of 1 kB. V8's limit for this process (tools/plugin/bundle.ts) is then out of reach, however
 * long they are.
 */
const MAX_BYTES = 36_000_000;

/** While the token was being issued, the role, an API or the configuration changed: whoever waits has to be judged again. */
export class Superseded extends Error {
  override readonly name = 'Superseded';
}

/** How tokens are granted, issued and cached under one configuration; another configuration has another Issuance. */
export class Issuance {
  readonly config: Config;
  readonly cache: TokenCache;
  readonly store: StorageTokens;
  readonly #options: IssuanceOptions;
  readonly #authorization: Authorization;
  readonly #source: CountedSource;
  #superseded = false;

  constructor(config: Config, options: IssuanceOptions) {
    const { configuration, apis, roles, records, log, now, monotonic } = options;
    this.config = config;
    this.#options = options;
    this.#source = options.source({
      issuer: config.issuer,
      binding: config.binding,
      tenantClaim: config.tenant_claim,
      timeoutMs: config.timeout * 1000,
      upstream: { readUpstream: () => configuration.credential(now()) },
    });
    this.#authorization = new Authorization({
      grants: roles,
      apis,
      issuers: { [options.sourceName]: config.issuer },
      layout: claimsLayout({ binding: config.binding, tenantClaim: config.tenant_claim }),
      isDisabled: () => false,
    });
    this.store = new StorageTokens(records, (grant) => this.cache.isAwaited(grant));
    this.cache = new TokenCache({
      store: this.store,
      sources: { [options.sourceName]: { issue: (grant) => this.#issue(grant) } },
      minRemaining: (tenant) => this.minRemaining(tenant),
      max: MAX,
      maxBytes: MAX_BYTES,
      now,
      monotonic,
      onRefreshError: (grant, error) => {
        // A standby leaves it to the active node.
        if (error instanceof ReadOnly || error instanceof Superseded) return;
        log.warn('a token could not be refreshed or stored; the one at hand is served while it lives', {
          tenant: grant.tenant,
          api: grant.api,
          reason: reasonOf(error),
        });
      },
    });
  }

  /** Calls to Auth0's token endpoint. */
  get calls(): number {
    return this.#source.calls;
  }

  get superseded(): boolean {
    return this.#superseded;
  }

  /** The configuration or an API has changed: what is under way is not stored any more. */
  supersede(): void {
    this.#superseded = true;
  }

  /** Seconds of life that a token must have left to be handed to this tenant; half its life where that is less. */
  minRemaining(tenant: string): number {
    return Math.max(this.config.min_remaining, this.#options.roles.known(tenant)?.role.min_remaining ?? 0);
  }

  /** @throws {PosternError} as Authorization does; {BackendError} 400 for an audience that is not an API's, or is missing */
  async authorize({ identity, role }: Tenant, request: GrantRequest): Promise<AuthorizedGrant> {
    try {
      const authorized = this.#authorization.authorize(identity, request);
      return authorized instanceof Promise ? await authorized : authorized;
    } catch (error) {
      if (error instanceof PosternError && error.code === 'access_denied') {
        if (request.audience === undefined && !role.default_api && role.grants.length !== 1)
          throw new BackendError(400, 'audience is required: this role has no default_api, and not just one API');
        if (request.audience !== undefined && (await this.#options.apis.byAudience(request.audience)) === undefined)
          throw new BackendError(400, error.message);
      }
      throw error;
    }
  }

  /** Auth0 may take long to answer, and operators don't wait for it: whether it is still granted is asked again before it is stored. */
  async #issue(grant: AuthorizedGrant): Promise<Token> {
    const token = await this.#options.counts.asked(() => this.#source.issue(grant));
    if (!(await this.#isStillGranted(grant))) throw new Superseded();
    return token;
  }

  async #isStillGranted(grant: AuthorizedGrant): Promise<boolean> {
    const tenant = await this.#options.roles.find(grant.tenant);
    if (tenant === undefined) return false;
    const { audience, scope } = grant;
    const again = await this.authorize(tenant, { audience, scope, organization: undefined }).catch((error: unknown) => {
      if (error instanceof PosternError && error.status >= 500) throw error;
      return undefined;
    });
    return again?.key === grant.key && !this.#superseded && this.#options.roles.isCurrent(tenant);
  }
}
