import { VAULT_TOKEN_TYPE } from '#broker/credential/subject-token.ts';
import { CLIENT_AUTHENTICATION_METHODS } from './client-authentication.ts';
import { replyJson } from './reply.ts';
import type { Route } from './route.ts';

type Json = Record<string, unknown>;

export interface OpenApiOptions {
  /** Of the product. */
  version: string;
  /** Seconds that the documents of `/.well-known/` may be kept. */
  maxAge: number;
}

/**
 * `GET /openapi.json`: OpenAPI 3.1 of all that this listener answers. `test/conformance/schemathesis.test.ts` holds it against the running
 * server.
 */
export function openApiRoute(options: OpenApiOptions): Route {
  // As bytes, which all connections share that don't read it: text would be copied for each.
  const document = Buffer.from(JSON.stringify(openApiDocument(options)));
  const headers = ['Cache-Control', `public, max-age=${options.maxAge}`, 'Content-Type', 'application/json'];
  return { path: '/openapi.json', method: 'GET', handle: ({ response }) => replyJson(response, 200, document, headers) };
}

/** The API of the examples. */
const AUDIENCE = 'https://orders.example.com';
const SCOPE = '[\\x21\\x23-\\x5b\\x5d-\\x7e]{1,256}';
/** RFC 6749 §3.1: a parameter without a value, in JSON null too, counts as left out. */
const text = (description: string, more: Json = {}): Json => ({ type: ['string', 'null'], description, ...more });
const required = (description: string, more: Json = {}): Json => ({ type: 'string', minLength: 1, description, ...more });
const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
const json = (schema: Json): Json => ({ 'application/json': { schema } });
/** Every endpoint that reads parameters takes both; JSON as Auth0's does. */
const parameters = (schema: Json): Json => ({
  required: true,
  content: { 'application/x-www-form-urlencoded': { schema }, 'application/json': { schema } },
});

const NO_STORE: Json = {
  'Cache-Control': { required: true, description: 'Never kept by a cache.', schema: { type: 'string', const: 'no-store' } },
};
const RETRY_AFTER: Json = { 'Retry-After': { description: 'Seconds.', schema: { type: 'string', pattern: '^[0-9]+$' } } };
const CHALLENGE = (mustBe: boolean, description: string): Json => ({
  'WWW-Authenticate': { required: mustBe, description, schema: { type: 'string' } },
});

const error = (description: string, headers: Json = {}): Json => ({
  description,
  headers: { ...NO_STORE, ...headers },
  content: json(ref('Error')),
});

/** What can happen to any request, whatever it asks for. */
const ANYWHERE: Json = {
  400: error('Malformed.'),
  408: error('The request took too long.'),
  431: error('The headers are larger than 8 kB.'),
};
const AWAY: Json = { 503: error('Vault or Auth0 cannot answer now.', RETRY_AFTER) };

/** Of an endpoint at which a client authenticates. */
const OF_CLIENTS: Json = {
  ...ANYWHERE,
  401: error('Unknown client or wrong secret: which of them is not told.', CHALLENGE(true, 'RFC 9110 §15.5.2, RFC 6749 §5.2.')),
  403: error('The client may not have this.'),
  413: error('The body is larger than 16 kB.'),
  415: error('Neither a form nor JSON, or compressed.', {
    'Accept-Encoding': { description: 'What is taken, where the body was compressed.', schema: { const: 'identity' } },
  }),
  429: error('Too many wrong credentials came from this address.', RETRY_AFTER),
  ...AWAY,
};

const CLIENT: Json = {
  client_id: text('`role_id` of the tenant; with client_secret_post and private_key_jwt.'),
  client_secret: text('`secret_id`; with client_secret_post.'),
  client_assertion: text('A JWT signed by the client; with private_key_jwt (RFC 7523 §2.2).'),
  client_assertion_type: text('`urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, with client_assertion.'),
};
/** RFC 6749 §2.3: by one way each time. The last one stands for the two that use the body. */
const BY_CLIENT: readonly Json[] = [{ clientSecretBasic: [] }, {}];

function openApiDocument({ version, maxAge }: OpenApiOptions): Json {
  const cached: Json = {
    'Cache-Control': {
      required: true,
      description: 'How long it may be kept.',
      schema: { type: 'string', const: `public, max-age=${maxAge}` },
    },
  };
  const document = (operationId: string, summary: string, schema: Json, more: Json = {}): Json => ({
    get: {
      operationId,
      tags: ['Metadata'],
      summary,
      security: [],
      responses: { 200: { description: 'The document.', headers: cached, content: json(schema) }, ...ANYWHERE, ...more },
    },
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
      '/oauth/introspect': { post: introspectionOperation() },
      '/oauth/revoke': { post: revocationOperation() },
      '/verify': Object.fromEntries(
        ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'].map((method) => [method, verifyOperation(method)]),
      ),
      '/.well-known/openid-configuration': document('openidConfiguration', 'OpenID Connect Discovery 1.0', ref('Metadata')),
      '/.well-known/oauth-authorization-server': document('authorizationServerMetadata', 'RFC 8414', ref('Metadata')),
      '/.well-known/jwks.json': document('keySet', 'The keys of `transit` tokens (RFC 7517)', ref('KeySet'), AWAY),
      '/openapi.json': document('openApi', 'This document', { type: 'object', required: ['openapi'] }),
      '/livez': {
        get: {
          operationId: 'livez',
          tags: ['Health'],
          summary: 'The process answers',
          security: [],
          responses: { 200: { description: 'It does.', headers: NO_STORE, content: json(health('alive')) }, ...ANYWHERE },
        },
      },
      '/readyz': {
        get: {
          operationId: 'readyz',
          tags: ['Health'],
          summary: 'This replica can serve',
          security: [],
          responses: {
            200: { description: 'It can.', headers: NO_STORE, content: json(health('ready')) },
            ...ANYWHERE,
            503: {
              description: 'Not yet, or not any more.',
              headers: NO_STORE,
              content: json({
                type: 'object',
                required: ['status', 'missing'],
                properties: { status: { const: 'not ready' }, missing: { type: 'array', items: { type: 'string' } } },
              }),
            },
          },
        },
      },
    },
    components: { schemas: schemas(), securitySchemes: securitySchemes() },
  };
}

function tokenOperation(): Json {
  return {
    operationId: 'token',
    tags: ['OAuth'],
    summary: 'An access token (RFC 6749 §3.2)',
    description:
      'Grant types `client_credentials` (RFC 6749 §4.4) and token exchange (RFC 8693). Parameters that are not known are ignored.',
    security: BY_CLIENT,
    requestBody: parameters({
      oneOf: [
        {
          title: 'client_credentials',
          type: 'object',
          required: ['grant_type'],
          properties: {
            grant_type: { const: 'client_credentials' },
            audience: text('Identifier of the API; left out, the default one of the tenant.', { examples: [AUDIENCE] }),
            resource: text('The same, as RFC 8707 names it: an absolute URI without a fragment.'),
            scope: text('Scopes with spaces between; left out, all that are granted.', { examples: ['read:orders'] }),
            organization: text('Auth0 organization.'),
            ...CLIENT,
          },
        },
        {
          title: 'Token exchange',
          type: 'object',
          required: ['grant_type', 'subject_token', 'subject_token_type'],
          properties: {
            grant_type: { const: 'urn:ietf:params:oauth:grant-type:token-exchange' },
            subject_token: required('A Vault token of the tenant.'),
            subject_token_type: { const: VAULT_TOKEN_TYPE },
            requested_token_type: text('`urn:ietf:params:oauth:token-type:access_token` or `…:jwt`.'),
            audience: text('Identifier of the API.'),
            resource: text('The same, as RFC 8693 names it.'),
            scope: text('Scopes with spaces between; left out, all that are granted.'),
            organization: text('Auth0 organization.'),
            client_id: text('Decides nothing; refused where it is not that of the tenant.'),
          },
        },
      ],
    }),
    responses: { 200: { description: 'The token.', headers: NO_STORE, content: json(ref('Token')) }, ...OF_CLIENTS },
  };
}

const PRESENTED: Json = {
  type: 'object',
  required: ['token'],
  properties: { token: required('An access token.'), token_type_hint: text('Not needed: there are access tokens only.'), ...CLIENT },
};

function introspectionOperation(): Json {
  return {
    operationId: 'introspect',
    tags: ['OAuth'],
    summary: 'Whether a token is active (RFC 7662)',
    description: 'Of any token but the own ones, and those for APIs that the tenant introspects, the answer is `{"active":false}`.',
    security: BY_CLIENT,
    requestBody: parameters(PRESENTED),
    responses: { 200: { description: 'What may be known of it.', headers: NO_STORE, content: json(ref('Introspection')) }, ...OF_CLIENTS },
  };
}

function revocationOperation(): Json {
  return {
    operationId: 'revoke',
    tags: ['OAuth'],
    summary: 'Takes back a token of ones own (RFC 7009)',
    description: "The same answer for a token that was revoked, is somebody else's, or never existed.",
    security: BY_CLIENT,
    requestBody: parameters(PRESENTED),
    responses: { 200: { description: 'Done, or nothing to do.', headers: NO_STORE }, ...OF_CLIENTS },
  };
}

function verifyOperation(method: string): Json {
  const refusal = (description: string, always = true): Json => error(description, CHALLENGE(always, 'RFC 6750 §3.'));
  return {
    operationId: `verify_${method}`,
    tags: ['Gateways'],
    summary: 'Whether a gateway may let a request through',
    description:
      'Takes every method, since gateways ask with that of their client. Audience and scope stand in the ' +
      "gateway's configuration. Envoy asks at `/verify/audience/<audience>/scope/<scopes>/-/…`.",
    security: [{ apiKeyBearer: [] }, { apiKeyHeader: [] }, { clientSecretBasic: [] }],
    parameters: [
      {
        name: 'audience',
        in: 'query',
        required: true,
        description: 'Identifier of the API behind the gateway.',
        schema: { type: 'string', pattern: '^[\\x21-\\x7e]{1,1024}$', examples: [AUDIENCE] },
      },
      {
        name: 'scope',
        in: 'query',
        required: false,
        description: 'Scopes that the key must have, with spaces between.',
        schema: { type: 'string', pattern: `^${SCOPE}( ${SCOPE}){0,99}$`, examples: ['read:orders'] },
      },
    ],
    responses: {
      200: {
        description: 'Let it through, with these headers.',
        headers: {
          ...NO_STORE,
          Authorization: {
            required: true,
            description: 'The access token for the service behind.',
            schema: { type: 'string', pattern: '^Bearer ' },
          },
          'X-Postern-Tenant': { required: true, description: 'Whose key it is.', schema: { type: 'string' } },
          'X-Postern-Scope': { required: true, description: 'What the token holds.', schema: { type: 'string' } },
        },
      },
      ...ANYWHERE,
      // A refusal that is not HTTP gets no challenge.
      400: refusal("The gateway's address or the Authorization header is malformed.", false),
      401: refusal('No key, or one that is not valid.'),
      403: refusal('The key lacks the API or a scope.'),
      429: error('Too many wrong keys came from this address.', RETRY_AFTER),
      ...AWAY,
    },
  };
}

function health(status: string): Json {
  return { type: 'object', required: ['status'], properties: { status: { const: status } } };
}

function schemas(): Json {
  const url = { type: 'string', format: 'uri' };
  const names = { type: 'array', items: { type: 'string' } };
  return {
    Error: {
      description: 'RFC 6749 §5.2.',
      type: 'object',
      required: ['error', 'error_description'],
      properties: { error: { type: 'string', pattern: '^[a-z_]+$' }, error_description: { type: 'string' } },
      additionalProperties: false,
    },
    Token: {
      description: 'RFC 6749 §5.1.',
      type: 'object',
      required: ['access_token', 'token_type', 'expires_in'],
      properties: {
        access_token: { type: 'string' },
        token_type: { const: 'Bearer' },
        expires_in: { type: 'integer', minimum: 0, description: 'Seconds.' },
        scope: { type: 'string' },
        issued_token_type: { type: 'string', description: 'Of a token exchange (RFC 8693 §2.2.1).' },
      },
      additionalProperties: false,
    },
    Introspection: {
      description: 'RFC 7662 §2.2.',
      oneOf: [
        { type: 'object', required: ['active'], properties: { active: { const: false } }, additionalProperties: false },
        {
          type: 'object',
          required: ['active', 'client_id', 'token_type', 'exp', 'iat', 'aud', 'iss'],
          properties: { active: { const: true }, token_type: { const: 'Bearer' }, exp: { type: 'integer' }, iat: { type: 'integer' } },
        },
      ],
    },
    Metadata: {
      type: 'object',
      required: [
        'issuer',
        'token_endpoint',
        'jwks_uri',
        'introspection_endpoint',
        'revocation_endpoint',
        'grant_types_supported',
        'token_endpoint_auth_methods_supported',
      ],
      properties: {
        issuer: url,
        token_endpoint: url,
        jwks_uri: url,
        introspection_endpoint: url,
        revocation_endpoint: url,
        grant_types_supported: names,
        token_endpoint_auth_methods_supported: { type: 'array', items: { enum: [...CLIENT_AUTHENTICATION_METHODS, 'none'] } },
      },
    },
    KeySet: {
      type: 'object',
      required: ['keys'],
      properties: {
        keys: {
          type: 'array',
          items: {
            type: 'object',
            required: ['kty', 'kid', 'alg', 'use', 'n', 'e'],
            properties: { kty: { const: 'RSA' }, alg: { const: 'RS256' }, use: { const: 'sig' } },
          },
        },
      },
    },
  };
}

function securitySchemes(): Json {
  return {
    clientSecretBasic: { type: 'http', scheme: 'basic', description: '`role_id` and `secret_id` (RFC 6749 §2.3.1).' },
    apiKeyBearer: { type: 'http', scheme: 'bearer', description: 'An API key.' },
    apiKeyHeader: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'An API key.' },
    clientCredentials: {
      type: 'oauth2',
      description: 'What this server issues, for other APIs.',
      flows: { clientCredentials: { tokenUrl: '/oauth/token', scopes: {} } },
    },
  };
}
