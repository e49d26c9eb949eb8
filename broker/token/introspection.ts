import type { JWTPayload } from 'jose';
import type { ApiCatalog, TenantGrants } from '#broker/authorization/documents.ts';
import type { Authorization } from '#broker/authorization/authorization.ts';
import type { Endings } from '#broker/credential/endings.ts';
import type { Identity } from '#broker/credential/identity.ts';
import type { IssuedToken, IssuedTokens } from './issued-tokens.ts';
import type { Revocations } from './revocations.ts';

export interface IntrospectionOptions {
  authorization: Pick<Authorization, 'tenantOf'>;
  apis: Pick<ApiCatalog, 'byAudience'>;
  issued: Pick<IssuedTokens, 'read'>;
  revocations: Pick<Revocations, 'has'>;
  endings: Pick<Endings, 'tokensEndedAt' | 'includesClient'>;
  /** What brokers announced: people who left, and keys that their owners revoked. */
  departures?: Pick<Endings, 'hasLeft' | 'includesClient'>;
  /** @throws {PosternError} temporarily_unavailable while that is not known */
  isDisabled: (tenant: string) => boolean;
}

/** Why a token is not active: for the audit, never for the caller. */
export type Inactive = 'unknown' | 'foreign' | 'revoked' | 'disabled';

/** What is learnt on the way, for the audit. */
export interface TokenTrace {
  identity?: Identity;
  token?: IssuedToken;
  api?: string | undefined;
}

/**
 * Whether a token is this tenant's own. One without the tenant's claim is bound by its organization (POSTERN_AUTH0_BINDING=organization).
 */
export function isOwn(
  { tenant, organization, clientId, sharedClient, owner }: IssuedToken,
  caller: Pick<Identity, 'tenant' | 'clientId' | 'owner'>,
  grants: TenantGrants,
): boolean {
  // A person's key speaks for that person; the tenant's own credentials for all of it.
  if (caller.owner !== undefined && caller.owner.id !== owner?.id) return false;
  // A former tenant of the same name had another client_id.
  if (!sharedClient && clientId !== caller.clientId) return false;
  return tenant === undefined ? organization !== undefined && organization === grants.organization : tenant === caller.tenant;
}

/**
 * RFC 7662: what a tenant may know of a token. Of its own, and of those for the APIs that it `introspects`; of any other
 * it learns no more than of one that was made up.
 */
export class Introspection {
  readonly #options: IntrospectionOptions;

  constructor(options: IntrospectionOptions) {
    this.#options = options;
  }

  /** @throws {PosternError} unauthorized_client where the caller is disabled; temporarily_unavailable */
  async run(identity: Identity, accessToken: string, trace: TokenTrace): Promise<IssuedToken | Inactive> {
    const { apis, authorization, issued, revocations, endings, departures, isDisabled } = this.#options;
    const grants = await authorization.tenantOf(identity);
    const token = await issued.read(accessToken);
    if (token === undefined) return 'unknown';
    trace.token = token;
    if (!isOwn(token, identity, grants) && !(await this.#serves(identity, grants, token, trace))) return 'foreign';
    // An API that was removed: nothing is issued for it, and nothing of it is good any more.
    if ((await apis.byAudience(token.audience)) === undefined) return 'unknown';
    // Asked last, with nothing to wait for after it: what is announced meanwhile counts.
    if (revocations.has(token.sha256)) return 'revoked';
    const tenant = token.tenant ?? identity.tenant;
    if (token.iat <= endings.tokensEndedAt(tenant) || endings.includesClient(token.clientId)) return 'revoked';
    const { owner } = token;
    if (owner !== undefined) {
      if (endings.includesClient(owner.keyId) || departures?.includesClient(owner.keyId)) return 'revoked';
      if (departures?.hasLeft({ id: owner.id, organization: token.organization ?? '', since: token.iat })) return 'revoked';
    }
    if (isDisabled(tenant)) return 'disabled';
    return token;
  }

  /** A key that is narrowed to some scopes speaks for its tenant's calls, not for the API that the tenant may serve. */
  async #serves(identity: Identity, { introspects }: TenantGrants, token: IssuedToken, trace: TokenTrace): Promise<boolean> {
    if (introspects.length === 0 || identity.limit !== undefined) return false;
    const api = await this.#options.apis.byAudience(token.audience);
    trace.api = api?.name;
    return api !== undefined && introspects.includes(api.name);
  }
}

/** RFC 7662 §2.2: the members of an active answer. What else the token holds stays in the token. */
export function activeAnswer(token: IssuedToken, tenantClaim: string): Record<string, unknown> {
  const { claims, scope, clientId, iat, exp, audience, tenant, organization } = token;
  const { sub, iss, jti, act }: JWTPayload = claims;
  return {
    active: true,
    ...(scope === '' ? {} : { scope }),
    client_id: clientId,
    token_type: 'Bearer',
    exp,
    iat,
    ...(sub === undefined ? {} : { sub }),
    aud: audience,
    iss,
    ...(act === undefined ? {} : { act }),
    ...(jti === undefined ? {} : { jti }),
    ...(tenant === undefined ? {} : { [tenantClaim]: tenant }),
    ...(organization === undefined ? {} : { org_id: organization }),
  };
}
