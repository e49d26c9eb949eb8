import { ASSERTION_ALGORITHMS } from '#broker/credential/assertion-check.ts';
import type { KeySet } from '#broker/token/keyset.ts';
import { CLIENT_AUTHENTICATION_METHODS } from './client-authentication.ts';
import { replyJson } from './reply.ts';
import type { Route } from './route.ts';
import { GRANT_TYPES } from './token-endpoint.ts';

export interface MetadataOptions {
  /** With its trailing slash. */
  issuer: string;
  keys: Pick<KeySet, 'published'>;
  /** Seconds that verifiers may keep the key set. */
  jwksMaxAge: number;
}

/** The path of an issuer without its last slash; '' of one without a path. */
export function basePathOf(issuer: string): string {
  return new URL(issuer).pathname.replace(/\/+$/, '');
}

/** Where tokens are asked for; an assertion may name it as its audience. */
export function tokenEndpointOf(issuer: string): string {
  return new URL('oauth/token', issuer).href;
}

/** @param issuer with its trailing slash. @returns RFC 8414 §2 and OpenID Connect Discovery 1.0 §3 */
export function metadataOf(issuer: string): Readonly<Record<string, string | readonly string[]>> {
  const methods = CLIENT_AUTHENTICATION_METHODS;
  const algorithms = ASSERTION_ALGORITHMS;
  return {
    issuer,
    token_endpoint: tokenEndpointOf(issuer),
    jwks_uri: new URL('.well-known/jwks.json', issuer).href,
    grant_types_supported: GRANT_TYPES,
    response_types_supported: [],
    subject_types_supported: ['public'],
    // `none`: a token exchange has its credential in its subject_token.
    token_endpoint_auth_methods_supported: [...methods, 'none'],
    token_endpoint_auth_signing_alg_values_supported: algorithms,
    introspection_endpoint: new URL('oauth/introspect', issuer).href,
    introspection_endpoint_auth_methods_supported: methods,
    introspection_endpoint_auth_signing_alg_values_supported: algorithms,
    revocation_endpoint: new URL('oauth/revoke', issuer).href,
    revocation_endpoint_auth_methods_supported: methods,
    revocation_endpoint_auth_signing_alg_values_supported: algorithms,
    id_token_signing_alg_values_supported: ['RS256'],
  };
}

/**
 * OpenID Connect Discovery 1.0, RFC 8414 metadata (an alias of it, as at Auth0) and the key set
 * (RFC 7517), so that verifiers need nothing but the issuer.
 */
export function metadataRoutes({ issuer, keys, jwksMaxAge }: MetadataOptions): Route[] {
  const basePath = basePathOf(issuer);
  const document = JSON.stringify(metadataOf(issuer));
  const cached = ['Cache-Control', `public, max-age=${jwksMaxAge}`, 'Content-Type', 'application/json'];
  const metadata = (path: string): Route => ({ path, method: 'GET', handle: (call) => replyJson(call, 200, document, cached) });
  return [
    metadata('/.well-known/openid-configuration'),
    metadata('/.well-known/oauth-authorization-server'),
    // RFC 8414 §3.1 puts the well-known part before the issuer's path, OpenID Connect Discovery behind it.
    ...(basePath === ''
      ? []
      : [metadata(`/.well-known/openid-configuration${basePath}`), metadata(`/.well-known/oauth-authorization-server${basePath}`)]),
    {
      path: '/.well-known/jwks.json',
      method: 'GET',
      handle: async (call) => replyJson(call, 200, JSON.stringify(await keys.published()), cached),
    },
  ];
}
