import type { KeySet } from '#broker/token/keyset.ts';
import { replyJson } from './reply.ts';
import type { Route } from './route.ts';

export interface MetadataOptions {
  /** With its trailing slash. */
  issuer: string;
  keys: KeySet;
  /** Seconds that verifiers may keep the key set. */
  jwksMaxAge: number;
}

/**
 * OpenID Connect Discovery 1.0, RFC 8414 metadata (an alias of it, as at Auth0) and the key set
 * (RFC 7517), so that verifiers need nothing but the issuer.
 */
export function metadataRoutes({ issuer, keys, jwksMaxAge }: MetadataOptions): Route[] {
  const document = JSON.stringify({
    issuer,
    token_endpoint: new URL('oauth/token', issuer).href,
    jwks_uri: new URL('.well-known/jwks.json', issuer).href,
    grant_types_supported: ['client_credentials'],
    response_types_supported: [],
    subject_types_supported: ['public'],
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    introspection_endpoint: new URL('oauth/introspect', issuer).href,
    introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    revocation_endpoint: new URL('oauth/revoke', issuer).href,
    revocation_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    id_token_signing_alg_values_supported: ['RS256'],
  });
  const cached = ['Cache-Control', `public, max-age=${jwksMaxAge}`, 'Content-Type', 'application/json'];
  const metadata = (path: string): Route => ({ path, method: 'GET', handle: ({ response }) => replyJson(response, 200, document, cached) });
  return [
    metadata('/.well-known/openid-configuration'),
    metadata('/.well-known/oauth-authorization-server'),
    {
      path: '/.well-known/jwks.json',
      method: 'GET',
      handle: async ({ response }) => replyJson(response, 200, JSON.stringify(await keys.jwks()), cached),
    },
  ];
}
