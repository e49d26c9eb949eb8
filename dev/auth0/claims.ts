import { randomUUID } from 'node:crypto';
import type { Auth0Api, TokenDialect } from './account.ts';
import type { Exchange } from './grant.ts';
import type { Login } from './login.ts';

/** Auth0's default for an API that sets none, in seconds. */
const DEFAULT_LIFETIME = 86_400;

export const lifetimeOf = (api: Pick<Auth0Api, 'lifetime'>): number => api.lifetime ?? DEFAULT_LIFETIME;

/** An Action can't set these; Auth0 drops the attempt without a word. Selection of Auth0's restricted claims. */
const RESERVED = new Set(
  'acr act active amr at_hash ath attest aud auth_time authorization_details azp c_hash client_id cnf ' +
    'cty dest entitlements events exp gty htm htu iat iss jku jti may_act nbf nonce org_id org_name ' +
    'permissions roles s_hash scope sid sip_from_tag sub sub_jwk typ'.split(' '),
);

/**
 * The access token of a client_credentials exchange, as Auth0 writes it in the API's dialect.
 * @param now Unix seconds
 */
export function accessTokenClaims(
  issuer: string,
  exchange: Exchange,
  custom: Record<string, unknown>,
  now: number,
): { type: 'JWT' | 'at+jwt'; claims: Record<string, unknown> } {
  const { client, api, scopes, organization } = exchange;
  const dialect: TokenDialect = api.dialect ?? 'access_token';
  const rfc9068 = dialect.startsWith('rfc9068');
  const claims: Record<string, unknown> = {
    ...Object.fromEntries(Object.entries(custom).filter(([name]) => !RESERVED.has(name))),
    iss: issuer,
    sub: `${client.id}@clients`,
    aud: api.audience,
    iat: now,
    exp: now + lifetimeOf(api),
    ...(scopes.length > 0 ? { scope: scopes.join(' ') } : {}),
    ...(organization ? { org_id: organization.id } : {}),
    ...(rfc9068 ? { jti: randomUUID(), client_id: client.id } : { gty: 'client-credentials', azp: client.id }),
    ...(dialect.endsWith('_authz') ? { permissions: scopes } : {}),
  };
  return { type: rfc9068 ? 'at+jwt' : 'JWT', claims };
}

/** What a person's login may do: OIDC's own scopes, and of the API's those for which the person has the permission (RBAC). */
export function scopesOf({ scope, permissions }: Login): string[] {
  const allowed = new Set(['openid', 'profile', 'email', ...permissions]);
  return scope.split(' ').filter((one) => allowed.has(one));
}

/**
 * A person's ID or access token, as Auth0 writes them: beside its API, an access token with the scope openid opens the userinfo endpoint.
 * @param now Unix seconds
 */
export function personClaims(issuer: string, login: Login, kind: 'id' | 'access', now: number): Record<string, unknown> {
  const { client, person, api, organization } = login;
  const scopes = scopesOf(login);
  const userinfo = `${issuer}userinfo`;
  const both = api !== undefined && scopes.includes('openid') ? [api.audience, userinfo] : (api?.audience ?? userinfo);
  const dialect: TokenDialect = api?.dialect ?? 'access_token';
  const rfc9068 = dialect.startsWith('rfc9068');
  return {
    ...person.claims,
    ...(kind === 'id'
      ? { name: person.name, email: person.email, email_verified: true }
      : {
          ...(rfc9068 ? { jti: randomUUID(), client_id: client.id } : { azp: client.id }),
          ...(scopes.length > 0 ? { scope: scopes.join(' ') } : {}),
          ...(api !== undefined && dialect.endsWith('_authz') ? { permissions: login.permissions } : {}),
        }),
    ...(organization ? { org_id: organization.id, org_name: organization.name } : {}),
    iss: issuer,
    sub: person.id,
    aud: kind === 'id' ? client.id : both,
    iat: now,
    exp: now + lifetimeOf(api ?? {}), // Auth0 writes no nbf
  };
}
