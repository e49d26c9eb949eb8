import { ANYWHERE, NO_STORE, OF_CLIENTS, SERVICE_AWAY, challenge, refusal, responsesOf } from './openapi-response.ts';
import type { DocumentedCode } from './openapi-response.ts';
import { bodyOf, json, objectOf, queryOf, ref } from './openapi-schema.ts';
import type { Json } from './openapi-schema.ts';
import { PRESENTED_PARAMETERS } from './presented-token.ts';
import { GRANTS } from './token-endpoint.ts';
import { DEMAND_PARAMETERS } from './verify-demand.ts';

/** RFC 6749 §2.3: by one way each time. The last one stands for the two that use the body. */
const BY_CLIENT: readonly Json[] = [{ clientSecretBasic: [] }, {}];
/** All that OpenAPI 3.1 can name. */
const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'] as const;

export function tokenOperation(): Json {
  return {
    operationId: 'token',
    tags: ['OAuth'],
    summary: 'An access token (RFC 6749 §3.2)',
    description: `Grant types: ${GRANTS.map(({ type }) => `\`${type}\``).join(', ')}. Unknown parameters are ignored.`,
    security: BY_CLIENT,
    requestBody: bodyOf({ oneOf: GRANTS.map(({ title, parameters }) => ({ title, ...objectOf(parameters) })) }),
    responses: {
      200: { description: 'The token.', headers: NO_STORE, content: json(ref('Token')) },
      ...responsesOf([...OF_CLIENTS, 'no_client', 'unsupported_grant_type', 'invalid_scope', 'invalid_grant', 'invalid_target']),
    },
  };
}

/** Of an endpoint to which a client presents a token. */
export function presentedOperation(
  operationId: string,
  summary: string,
  description: string,
  success: { readonly description: string; readonly schema?: Json },
): Json {
  return {
    operationId,
    tags: ['OAuth'],
    summary,
    description,
    security: BY_CLIENT,
    requestBody: bodyOf(objectOf(PRESENTED_PARAMETERS)),
    responses: {
      200: {
        description: success.description,
        headers: NO_STORE,
        ...(success.schema === undefined ? {} : { content: json(success.schema) }),
      },
      ...responsesOf(OF_CLIENTS),
    },
  };
}

export function verifyOperations(): Json {
  const granted = {
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
  };
  const challenged = (description: string, always = true): Json => refusal(description, challenge(always, 'RFC 6750 §3.'));
  return Object.fromEntries(
    METHODS.map((method) => [
      method,
      {
        operationId: `verify_${method}`,
        tags: ['Gateways'],
        summary: 'Whether a gateway may let a request through',
        description:
          'Takes every method, since gateways ask with that of their client. Audience and scope stand in the ' +
          "gateway's configuration. Envoy asks at `/verify/audience/<audience>/scope/<scopes>/-/…`.",
        security: [{ apiKeyBearer: [] }, { apiKeyHeader: [] }, { clientSecretBasic: [] }],
        parameters: queryOf(DEMAND_PARAMETERS),
        responses: {
          200: granted,
          ...responsesOf([...ANYWHERE, 'too_many_requests', ...SERVICE_AWAY], {
            too_many_requests: 'Too many wrong keys came from this address',
          }),
          // A refusal that isn't HTTP gets no challenge.
          400: challenged("The gateway's address or the Authorization header is malformed.", false),
          401: challenged('No key, or one that is not valid.'),
          403: challenged('The key lacks the API or a scope.'),
        },
      },
    ]),
  );
}

/** @param maxAge seconds that the document may be kept */
export function documentOperation(
  operationId: string,
  summary: string,
  maxAge: number,
  schema: Json,
  more: readonly DocumentedCode[],
): Json {
  const schemaOfAge = { type: 'string', const: `public, max-age=${maxAge}` };
  const headers = { 'Cache-Control': { required: true, description: 'How long it may be kept.', schema: schemaOfAge } };
  return {
    operationId,
    tags: ['Metadata'],
    summary,
    security: [],
    responses: { 200: { description: 'The document.', headers, content: json(schema) }, ...responsesOf([...ANYWHERE, ...more]) },
  };
}

export function healthOperations(): Json {
  const operation = (operationId: string, summary: string, responses: Json): Json => ({
    get: { operationId, tags: ['Health'], summary, security: [], responses: { ...responses, ...responsesOf(ANYWHERE) } },
  });
  const answer = (description: string, status: string, member: Json = {}, required: readonly string[] = []): Json => ({
    description,
    headers: NO_STORE,
    content: json({ type: 'object', required: ['status', ...required], properties: { status: { const: status }, ...member } }),
  });
  const texts = { type: 'array', items: { type: 'string' } };
  const warnings = { ...texts, description: 'What an operator must know though it serves.' };
  const clientAddress = {
    type: 'object',
    description: 'Where this replica takes clients to be, by its settings and by this very request.',
    required: ['forwarded_to_vault'],
    properties: { forwarded_to_vault: { type: 'boolean' }, x_forwarded_for: { enum: ['believed', 'ignored'] } },
  };
  return {
    '/livez': operation('livez', 'The process answers', { 200: answer('It does.', 'alive') }),
    '/readyz': operation('readyz', 'This replica can serve', {
      200: answer('It can.', 'ready', { status: { enum: ['ready', 'degraded'] }, why: texts, client_address: clientAddress, warnings }, [
        'client_address',
      ]),
      503: answer('Not yet, or not any more.', 'not ready', { missing: texts }, ['missing']),
    }),
  };
}
