import { randomUUID } from 'node:crypto';
import type { Auth0Api, TokenDialect } from './account.ts';
import type { Exchange } from './grant.ts';

/** Auth0's default for an API that sets none, in seconds. */
const DEFAULT_LIFETIME = 86_400;

export const lifetimeOf = (api: Auth0Api): number => api.lifetime ?? DEFAULT_LIFETIME;

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
