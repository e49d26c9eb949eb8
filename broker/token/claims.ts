import { randomUUID } from 'node:crypto';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';

export interface AccessTokenClaims {
  readonly header: Readonly<Record<string, unknown>>;
  readonly payload: Readonly<Record<string, unknown>> & { readonly iat: number; readonly exp: number };
}

/**
 * The claims that Auth0 would set for a client_credentials grant ("Access token profiles"); of a person's key those of that person.
 * Own claims come last, so that a tenant's extra claims can't take the place of one.
 * @param tenantClaim the namespaced claim that names the tenant
 * @param nowMs ms since 1970
 */
export function accessTokenClaims(grant: AuthorizedGrant, kid: string, tenantClaim: string, nowMs: number): AccessTokenClaims {
  const iat = Math.floor(nowMs / 1000);
  const rfc9068 = grant.dialect.startsWith('rfc9068_profile');
  const authz = grant.dialect.endsWith('_authz');
  const payload = {
    ...grant.claims,
    [tenantClaim]: grant.tenant,
    iss: grant.issuer,
    sub: grant.owner?.id ?? `${grant.clientId}@clients`,
    aud: grant.audience,
    iat,
    exp: iat + grant.lifetime,
    ...(grant.scope === '' ? {} : { scope: grant.scope }),
    ...(grant.organization === undefined ? {} : { org_id: grant.organization }),
    ...(rfc9068 ? { client_id: grant.clientId, jti: randomUUID() } : { azp: grant.clientId }),
    // RFC 8693 §4.1: the key acts for its owner. Such a token isn't one of a client's own, so it has no gty.
    ...(grant.owner === undefined ? (rfc9068 ? {} : { gty: 'client-credentials' }) : { act: { sub: grant.owner.keyId } }),
    ...(authz ? { permissions: grant.scopes } : {}),
  };
  return { header: { alg: 'RS256', typ: rfc9068 ? 'at+jwt' : 'JWT', kid }, payload };
}

/** RFC 7515 §5.1: what is signed. */
export function signingInput({ header, payload }: AccessTokenClaims): string {
  return `${segment(header)}.${segment(payload)}`;
}

function segment(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
