import { SignJWT, calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import type { JWK, JWTHeaderParameters } from 'jose';

/** An RSA key as an issuer has one, and tokens by it. */
export interface Signer {
  readonly kid: string;
  readonly jwk: JWK;
  /** @param header what differs from RS256, `typ: JWT` and the kid */
  sign(claims: Record<string, unknown>, header?: Partial<JWTHeaderParameters>): Promise<string>;
}

export async function signer(): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  return {
    kid,
    jwk: { ...jwk, kid, alg: 'RS256', use: 'sig' },
    sign: (claims, header = {}) => new SignJWT(claims).setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid, ...header }).sign(privateKey),
  };
}

export const TENANT_CLAIM = 'https://postern.dev/tenant';

/** The claims of acme's token for orders, an hour long, from `iat` (seconds since 1970) on. */
export function claimsOf(issuer: string, iat: number, over: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    [TENANT_CLAIM]: 'acme',
    iss: issuer,
    sub: 'acme-role-id@clients',
    aud: 'https://orders.example.com',
    iat,
    exp: iat + 3600,
    scope: 'read:all',
    azp: 'acme-role-id',
    gty: 'client-credentials',
    ...over,
  };
}
