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
  /** ms: none, for it lies in memory, and a configuration that changes has another. */
  readonly upstreamAgeMs: 0;
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

/** How often a new token is judged anew because something changed while it was. */
const JUDGEMENTS = 5;

/** While the token was being issued, it became one that isn't granted any more: whoever waits has to be judged again. */
export class Superseded extends Error {
  override readonly name = 'Superseded';
}

/**
 * How tokens are granted, issued and cached for one application at Auth0 and one binding; another application has another Issuance, and so
 * nothing of what is under way for this one.
 */
export class Issuance {
  readonly cache: TokenCache;
  readonly store: StorageTokens;
  readonly #options: IssuanceOptions;
  #config: Config;
  /** Whoever waits for a token of the one before goes on waiting. */
  #source: CountedSource;
  #authorization: Authorization;
  #ended = false;

  constructor(config: Config, source: CountedSource, options: IssuanceOptions) {
    const { records, log, now, monotonic } = options;
    this.#config = config;
    this.#source = source;
    this.#options = options;
    this.#authorization = this.#authorizationNow();
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

  /** What grants are decided by: another after each change of an API or the configuration. What was decided before is to be again. */
  get basis(): object {
    return this.#authorization;
  }

  /** An API or the configuration has changed. What is under way is judged by what it was granted. */
  judgeAnew(): void {
    this.#authorization = this.#authorizationNow();
  }

  /** Another takes its place, or none: what is under way is not stored any more. */
  end(): void {
    this.#ended = true;
  }

  /** Whether it is for this configuration, too. */
  isFor(config: Config): boolean {
    const { issuer, client_id: clientId, binding, tenant_claim: claim } = this.#config;
    return issuer === config.issuer && clientId === config.client_id && binding === config.binding && claim === config.tenant_claim;
  }

  /** @param config that it {@link isFor} */
  configure(config: Config, source: CountedSource): void {
    this.#config = config;
    this.#source = source;
  }

  /** Seconds of life that a token must have left to be handed to this tenant; half its life where that is less. */
  minRemaining(tenant: string): number {
    return Math.max(this.#config.min_remaining, this.#options.roles.known(tenant)?.role.min_remaining ?? 0);
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

  async #isStillGranted({ tenant: name, audience, scope, key }: AuthorizedGrant): Promise<boolean> {
    const { configuration, roles } = this.#options;
    for (let judgement = 0; judgement < JUDGEMENTS; judgement++) {
      const { basis } = this;
      const config = await configuration.read();
      const tenant = await roles.find(name);
      if (this.#ended || config === undefined || !this.isFor(config) || tenant === undefined) return false;
      const again = await this.authorize(tenant, { audience, scope, organization: undefined }).catch((error: unknown) => {
        if (error instanceof PosternError && error.status >= 500) throw error;
        return undefined;
      });
      if (again?.key !== key) return false;
      // Any of these may have waited.
      if (basis === this.basis && roles.isCurrent(tenant)) return true;
    }
    return false;
  }

  #authorizationNow(): Authorization {
    const { roles, apis, sourceName } = this.#options;
    const { issuer, binding, tenant_claim: tenantClaim } = this.#config;
    return new Authorization({
      grants: roles,
      apis,
      issuers: { [sourceName]: issuer },
      layout: claimsLayout({ binding, tenantClaim }),
      isDisabled: () => false,
    });
  }
}
