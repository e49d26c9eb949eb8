import { EVERYWHERE, IDEMPOTENCY_PARAMETER, NO_STORE, WITH_BODY, parametersOf, responsesOf, schemasOf } from '#broker/admin/openapi.ts';
import type { SelfOperation } from './operation.ts';

type Json = Record<string, unknown>;

/** The OpenAPI 3.1 document of the self-service API, made of the very definitions by which it is served. */
export function selfDocument(operations: readonly SelfOperation[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const one of operations) (paths[one.path] ??= {})[one.method.toLowerCase()] = operationOf(one);
  return {
    openapi: '3.1.0',
    info: {
      title: 'Postern self-service API',
      version,
      description:
        "For people who make API keys of their own, with their own Auth0 access token. Vault decides which tenant's keys that reaches; " +
        'see docs/user-keys.md.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...new Set(operations.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: schemasOf(operations),
      securitySchemes: {
        jwt: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: "A person's Auth0 access token, of one organization." },
      },
    },
  };
}

function operationOf({ id, tag, summary, description, params, query, body, repeatable, success, refusals }: SelfOperation): Json {
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    security: [{ jwt: [] }],
    parameters: [...parametersOf('path', params), ...parametersOf('query', query), ...(repeatable ? [IDEMPOTENCY_PARAMETER] : [])],
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: { $ref: `#/components/schemas/${body.name}` } } } } }),
    responses: {
      [success.status]: {
        description: success.description,
        headers: { ...NO_STORE, ...success.headers },
        ...(success.body === undefined
          ? {}
          : { content: { 'application/json': { schema: { $ref: `#/components/schemas/${success.body.name}` } } } }),
      },
      ...responsesOf([
        ...EVERYWHERE,
        ...refusals,
        ...(body === undefined ? [] : WITH_BODY),
        ...(repeatable ? (['idempotency-in-progress', 'idempotency-key-reused'] as const) : []),
      ]),
    },
  };
}
