import { documentOperation, healthOperations, presentedOperation, tokenOperation, verifyOperations } from './openapi-operation.ts';
import { SERVICE_AWAY } from './openapi-response.ts';
import type { DocumentedCode } from './openapi-response.ts';
import { SCHEMAS, ref } from './openapi-schema.ts';
import type { Json } from './openapi-schema.ts';
import { replyJson } from './reply.ts';
import type { Route } from './route.ts';

export interface OpenApiOptions {
  /** Of the product. */
  version: string;
  /** Seconds that the documents of `/.well-known/` may be kept. */
  maxAge: number;
}

/**
 * `GET /openapi.json`: OpenAPI 3.1 of all that this listener answers, made of the definitions by which it is served.
 * `test/conformance/schemathesis.test.ts` holds it against the running server.
 */
export function openApiRoute(options: OpenApiOptions): Route {
  // As bytes, which all connections share that don't read it: text would be copied for each.
  const document = Buffer.from(JSON.stringify(openApiDocument(options)));
  const headers = ['Cache-Control', `public, max-age=${options.maxAge}`, 'Content-Type', 'application/json'];
  return { path: '/openapi.json', method: 'GET', handle: (call) => replyJson(call, 200, document, headers) };
}

export function openApiDocument({ version, maxAge }: OpenApiOptions): Json {
  const document = (id: string, summary: string, schema: Json, more: readonly DocumentedCode[] = []): Json => ({
    get: documentOperation(id, summary, maxAge, schema, more),
  });
  return {
    openapi: '3.1.0',
    info: {
      title: 'Postern',
      version,
      description:
        'OAuth endpoints of the Postern broker: a Vault AppRole credential, or an API key, for an Auth0-compatible access token.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [{ name: 'OAuth' }, { name: 'Gateways' }, { name: 'Metadata' }, { name: 'Health' }],
    paths: {
      '/oauth/token': { post: tokenOperation() },
      '/oauth/introspect': {
        post: presentedOperation(
          'introspect',
          'Whether a token is active (RFC 7662)',
          '`{"active":false}` for every token but the caller\'s own and those for APIs that it introspects.',
          { description: 'What may be known of it.', schema: ref('Introspection') },
        ),
      },
      '/oauth/revoke': {
        post: presentedOperation(
          'revoke',
          'Takes back a token of your own (RFC 7009)',
          "The same answer for a token that was revoked, is somebody else's, or never existed.",
          { description: 'Done, or nothing to do.' },
        ),
      },
      '/verify': verifyOperations(),
      '/.well-known/openid-configuration': document('openidConfiguration', 'OpenID Connect Discovery 1.0', ref('Metadata')),
      '/.well-known/oauth-authorization-server': document('authorizationServerMetadata', 'RFC 8414', ref('Metadata')),
      '/.well-known/jwks.json': document('keySet', 'The keys of `transit` tokens (RFC 7517)', ref('KeySet'), SERVICE_AWAY),
      '/openapi.json': document('openApi', 'This document', { type: 'object', required: ['openapi'] }),
      ...healthOperations(),
    },
    components: {
      schemas: SCHEMAS,
      securitySchemes: {
        clientSecretBasic: { type: 'http', scheme: 'basic', description: '`role_id` and `secret_id` (RFC 6749 §2.3.1).' },
        apiKeyBearer: { type: 'http', scheme: 'bearer', description: 'An API key.' },
        apiKeyHeader: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'An API key.' },
        clientCredentials: {
          type: 'oauth2',
          description: 'What this server issues, for other APIs.',
          flows: { clientCredentials: { tokenUrl: '/oauth/token', scopes: {} } },
        },
      },
    },
  };
}
