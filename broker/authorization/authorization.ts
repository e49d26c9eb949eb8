import { createHash } from 'node:crypto';
import type { Identity } from '#broker/credential/identity.ts';
import { allowanceOf } from '#broker/rate-limit/allowance.ts';
import type { Allowance } from '#broker/rate-limit/allowance.ts';
import { PosternError } from '#broker/error.ts';
import { sharedText, sharedValue } from '#broker/shared.ts';
import { unaskedOf } from '#broker/vault-fault.ts';
import { SCOPE_TOKEN } from './documents.ts';
import type { Api, ApiCatalog, Dialect, GrantRequest, TenantGrants } from './documents.ts';
import { Memo } from './memo.ts';

/**
 * Leave to issue one token: the only thing a token can be made, stored or looked up by. Made by
 * {@link Authorization} and nowhere else.
 */
export type AuthorizedGrant = InstanceType<typeof Authorized>;

/** What a grant says, apart from whose it is: one for all tenants that are granted the same. */
interface Terms {
  readonly api: string;
  readonly audience: string;
  readonly source: Api['source'];
  readonly issuer: string;
  readonly dialect: Dialect;
  readonly lifetime: number;
  readonly scopes: readonly string[];
  readonly scope: string;
  readonly whole: boolean;
  readonly organization: string | undefined;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly quota: TenantGrants['quota'] | undefined;
}

class Authorized {
  readonly tenant: string;
  readonly clientId: string;
  /** The person for whom it acts, and by which key; undefined: the tenant itself. */
  readonly owner: { readonly id: string; readonly keyId: string } | undefined;
  readonly #terms: Terms;
  /**
   * All that the token depends on: SHA-256, base64url, of an unambiguous tuple of issuer, tenant, client, audience, scope set,
   * organization, version of claims and layout, and of a person's key the person and the key. Its name where it is stored.
   */
  readonly digest: string;

  constructor(
    identity: Identity,
    tenant: TenantGrants,
    api: Api,
    { issuer, layout }: { issuer: string; layout: string },
    scopes: readonly string[],
    whole: boolean,
  ) {
    this.tenant = identity.tenant;
    this.clientId = identity.clientId;
    this.owner = identity.owner === undefined ? undefined : { id: identity.owner.id, keyId: identity.keyId ?? '' };
    this.#terms = sharedValue({
      api: api.name,
      audience: api.audience,
      source: api.source,
      issuer,
      dialect: api.dialect,
      lifetime: api.lifetime,
      scopes: sharedValue(scopes),
      scope: sharedText(scopes.join(' ')),
      // A person's token never lies where the tenant's own lies.
      whole: whole && this.owner === undefined,
      organization: tenant.organization ?? undefined,
      claims: tenant.claims,
      quota: tenant.quota ?? undefined,
    });
    const claims = Object.entries(tenant.claims).sort(([a], [b]) => (a < b ? -1 : 1));
    const version = sha256(JSON.stringify([api.source, api.dialect, api.lifetime, claims, layout]));
    const of = [issuer, this.tenant, this.clientId, this.audience, scopes, this.organization ?? null, version];
    this.digest = sha256(JSON.stringify(this.owner === undefined ? of : [...of, this.owner.id, this.owner.keyId]));
  }

  /** By which it is kept in memory. */
  get key(): string {
    return this.digest;
  }

  get api(): string {
    return this.#terms.api;
  }

  get audience(): string {
    return this.#terms.audience;
  }

  get source(): Api['source'] {
    return this.#terms.source;
  }

  get issuer(): string {
    return this.#terms.issuer;
  }

  get dialect(): Dialect {
    return this.#terms.dialect;
  }

  /** Seconds. */
  get lifetime(): number {
    return this.#terms.lifetime;
  }

  /** Sorted, without repetition. */
  get scopes(): readonly string[] {
    return this.#terms.scopes;
  }

  get scope(): string {
    return this.#terms.scope;
  }

  /** Whether these are all the scopes that the tenant has at this API. */
  get whole(): boolean {
    return this.#terms.whole;
  }

  get organization(): string | undefined {
    return this.#terms.organization;
  }

  get claims(): Readonly<Record<string, unknown>> {
    return this.#terms.claims;
  }

  /** How many new tokens a month its tenant may have; the token doesn't depend on it. */
  get quota(): TenantGrants['quota'] | undefined {
    return this.#terms.quota;
  }

  /** Whether the other is this very grant, decided once more. */
  equals(other: AuthorizedGrant): boolean {
    return this.digest === other.digest && this.#terms === other.#terms;
  }
}

/** Reads `tenants/<tenant>` with the tenant's own Vault token. */
export interface GrantReader {
  readGrants(identity: Identity): Promise<TenantGrants | undefined>;
}

export interface AuthorizationOptions {
  grants: GrantReader;
  apis: ApiCatalog;
  /** Issuer of the tokens of each source, with its trailing slash. */
  issuers: Readonly<Record<string, string | undefined>>;
  /** What else the tokens depend on: see `claimsLayout`. */
  layout?: string;
  isDisabled: (tenant: string) => boolean;
  /** The same grant, where one is kept with a token in memory: there is one of it then. */
  kept?: (grant: AuthorizedGrant) => AuthorizedGrant | undefined;
}

/** MAY THEY: (Identity, request) -> AuthorizedGrant. */
export class Authorization {
  readonly #options: AuthorizationOptions;
  /** Lives as long as the identity is remembered, so grants are as fresh as the verification. */
  readonly #memos = new WeakMap<Identity, Memo<AuthorizedGrant>>();

  constructor(options: AuthorizationOptions) {
    this.#options = options;
  }

  /**
   * @returns at once where this identity asked the same before.
   * @throws {PosternError} access_denied, invalid_scope, unauthorized_client, invalid_request; temporarily_unavailable
   */
  authorize(identity: Identity, request: GrantRequest): AuthorizedGrant | Promise<AuthorizedGrant> {
    if (this.#options.isDisabled(identity.tenant)) throw disabled();
    const asked = askedFor(request);
    return this.#memos.get(identity)?.granted(asked) ?? this.#authorizeAnew(identity, request, asked);
  }

  /**
   * All that this identity's tenant may do, as fresh as its verification.
   * @throws {PosternError} unauthorized_client where it is disabled or has no document; temporarily_unavailable
   */
  async tenantOf(identity: Identity): Promise<TenantGrants> {
    if (this.#options.isDisabled(identity.tenant)) throw disabled();
    const tenant = await this.#grantsOf(identity);
    if (tenant === undefined)
      throw new PosternError('unauthorized_client', 'Client has no grants', {
        detail: `tenants/${identity.tenant} does not exist in Vault`,
      });
    // Asked again: it may have been announced while the grants were read.
    if (tenant.disabled || this.#options.isDisabled(identity.tenant)) throw disabled();
    return tenant;
  }

  /**
   * How often this identity may ask: its tenant, and its API key, where they are limited.
   * @returns at once where its grants were read before
   * @throws {PosternError} as {@link tenantOf}
   */
  allowancesOf(identity: Identity): readonly Allowance[] | Promise<readonly Allowance[]> {
    const memo = this.#memoOf(identity);
    if (memo.allowances !== undefined) return memo.allowances;
    return this.#grantsOf(identity).then((tenant) => (memo.allowances ??= allowancesOf(identity, tenant)));
  }

  async #authorizeAnew(identity: Identity, request: GrantRequest, asked: string): Promise<AuthorizedGrant> {
    const memo = this.#memoOf(identity);
    const tenant = await this.tenantOf(identity);
    if (identity.owner !== undefined && identity.owner.organization !== tenant.organization) throw formerOrganization(identity);
    const api = await this.#apiOf(tenant, request.audience);
    const grant = tenant.grants.find((g) => g.api === api.name);
    if (grant === undefined) {
      throw new PosternError(
        'access_denied',
        `Client "${identity.clientId}" is not authorized to access resource server ` +
          `"${printable(api.audience)}". It needs a grant for this API.`,
      );
    }
    if (request.organization !== undefined && request.organization !== tenant.organization) {
      throw new PosternError('access_denied', 'Client is not authorized to access this organization');
    }
    const issuer = Object.hasOwn(this.#options.issuers, api.source) ? this.#options.issuers[api.source] : undefined;
    if (issuer === undefined) {
      throw new PosternError('misconfigured', 'This API is not available', {
        detail:
          `API ${api.name} has the source ${api.source}, which this broker's settings do not configure: see ` +
          '"Settings" in the documentation',
      });
    }
    const whole = sortedSet(grant.scopes.filter((s) => api.scopes.includes(s)));
    const granted = withinLimit(whole, identity, api);
    const scopes = request.scope === undefined ? granted : requestedScopes(request.scope, granted);
    const made = new Authorized(
      identity,
      tenant,
      api,
      { issuer, layout: this.#options.layout ?? '' },
      scopes,
      scopes.length === whole.length,
    );
    return memo.keep(asked, this.#options.kept?.(made) ?? made);
  }

  #memoOf(identity: Identity): Memo<AuthorizedGrant> {
    let memo = this.#memos.get(identity);
    if (memo === undefined) {
      const reading = this.#options.grants.readGrants(identity);
      memo = new Memo<AuthorizedGrant>(reading);
      this.#memos.set(identity, memo);
      reading.then(
        () => {
          if (identity.before !== undefined) identity.unasked = false;
          identity.before = undefined;
        },
        // A failed reading is not remembered. Where Vault has judged, what it said before is over too.
        (error: unknown) => {
          if (unaskedOf(error) === undefined) identity.before = undefined;
          this.#memos.delete(identity);
        },
      );
    }
    return memo;
  }

  /** While Vault can't be asked, what it said when this credential was verified before: a login may be the last that it answers. */
  async #grantsOf(identity: Identity): Promise<TenantGrants | undefined> {
    try {
      return await this.#memoOf(identity).grants;
    } catch (error) {
      const { before } = identity;
      const grants = before === undefined ? undefined : this.#memos.get(before.identity)?.grants;
      if (grants === undefined || grants instanceof Promise || before?.bridges(error) !== true) throw error;
      identity.unasked = true;
      return grants;
    }
  }

  async #apiOf(tenant: TenantGrants, audience: string | undefined): Promise<Api> {
    if (audience === undefined) {
      const api = tenant.default_api ? await this.#options.apis.byName(tenant.default_api) : undefined;
      if (api === undefined && tenant.default_api) refuseInvalid(this.#options.apis.faultOf?.({ name: tenant.default_api }));
      if (api === undefined)
        throw new PosternError('access_denied', 'No audience parameter was provided, and no default audience has been configured');
      return api;
    }
    const api = await this.#options.apis.byAudience(audience);
    if (api === undefined) refuseInvalid(this.#options.apis.faultOf?.({ audience }));
    if (api === undefined) throw new PosternError('access_denied', `Service not enabled within domain: ${printable(audience)}`);
    return api;
  }
}

/** A former tenant of this name had another client_id, and what it used is not this one's. */
function allowancesOf({ tenant, clientId, keyId, limits }: Identity, grants: TenantGrants | undefined): readonly Allowance[] {
  const of = JSON.stringify([tenant, clientId]);
  const ofKey = keyId === undefined ? undefined : allowanceOf('key', keyId, limits);
  const all = [allowanceOf('tenant', of, grants?.limits), ofKey].filter((one) => one !== undefined);
  return all.length === 0 ? UNLIMITED : all;
}

const UNLIMITED: readonly Allowance[] = [];

/** A document that an operator wrote wrongly doesn't count as a refusal of the client. @throws {PosternError} misconfigured */
function refuseInvalid(fault: string | undefined): void {
  if (fault !== undefined)
    throw new PosternError('misconfigured', 'This API is not available', { detail: `its document in Vault is not valid: ${fault}` });
}

/** A person belongs to an organization: when the tenant's is another now, nobody knows whether they belong to that one. */
function formerOrganization({ tenant, keyId }: Identity): PosternError {
  return new PosternError('unauthorized_client', 'Client is not set up', {
    detail: `${keyId} of ${tenant} was made by a person of another organization than the tenant has now`,
  });
}

function disabled(): PosternError {
  return new PosternError('unauthorized_client', 'Client is disabled');
}

/**
 * No parameter can hold a NUL (they are refused when parsed), so the parts cannot run into each other; the audience alone, as most ask, is
 * itself.
 */
function askedFor({ audience, scope, organization }: GrantRequest): string {
  if (audience !== undefined && scope === undefined && organization === undefined) return audience;
  return `${audience ?? '\0'}\0${scope ?? '\0'}\0${organization ?? '\0'}`;
}

/**
 * A key that is narrowed to scopes of other APIs gets nothing here, not even a token without scopes. @throws {PosternError} access_denied
 */
function withinLimit(granted: readonly string[], { limit, clientId }: Identity, api: Api): readonly string[] {
  if (limit === undefined) return granted;
  const left = granted.filter((s) => limit.scopes.includes(s));
  if (left.length > 0) return left;
  throw new PosternError(
    'access_denied',
    `Client "${clientId}" is not authorized to access resource server "${printable(api.audience)}". Its ` +
      'key is limited to scopes of other APIs.',
  );
}

/** RFC 6749 §3.3: space-delimited, the order does not matter. */
function requestedScopes(scope: string, granted: readonly string[]): readonly string[] {
  const requested = sortedSet(scope.split(' ').filter((s) => s !== ''));
  if (requested.length === 0) return granted;
  if (requested.some((s) => !SCOPE_TOKEN.test(s))) throw new PosternError('invalid_scope', 'The scope parameter is malformed');
  const refused = requested.filter((s) => !granted.includes(s));
  if (refused.length > 0)
    throw new PosternError('invalid_scope', `Client has not been granted scopes: ${refused.slice(0, 20).map(printable).join(', ')}`);
  // As the catalogue has them: the request's own texts may be views of its body, which would stay in memory with the secret in it.
  const all = new Set(requested);
  return granted.filter((s) => all.has(s));
}

function sortedSet(values: readonly string[]): string[] {
  return [...new Set(values)].sort();
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

/** RFC 6749 §5.2 allows printable ASCII in error_description, without `"` and `\`. */
function printable(text: string): string {
  return text.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, '?').slice(0, 200);
}
