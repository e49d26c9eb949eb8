import { z } from 'zod';
import { PERMISSIONS } from './caller.ts';
import { IDEMPOTENCY_KEY } from './idempotency.ts';
import type { Operation } from './operation.ts';
import { PROBLEMS } from './problem.ts';
import type { Slug } from './problem.ts';
import { problem } from './schema.ts';

type Json = Record<string, unknown>;

/** What can happen to any request, whatever it asks for. */
const EVERYWHERE: readonly Slug[] = [
  'malformed-request',
  'invalid-token',
  'insufficient-scope',
  'access-denied',
  'request-timeout',
  'uri-too-long',
  'header-fields-too-large',
  'too-many-requests',
  'temporarily-unavailable',
];
const WITH_BODY: readonly Slug[] = ['payload-too-large', 'unsupported-media-type'];

const text = { type: 'string' };
const HEADERS: Record<number, Json> = {
  401: { 'WWW-Authenticate': { description: 'RFC 6750 §3.', required: true, schema: text } },
  403: { 'WWW-Authenticate': { description: 'RFC 6750 §3, where the token lacks a permission.', schema: text } },
  409: { 'Retry-After': { description: 'Seconds, where repeating it helps.', schema: text } },
  429: { 'Retry-After': { description: 'Seconds.', required: true, schema: text } },
  503: { 'Retry-After': { description: 'Seconds.', required: true, schema: text } },
};
const NO_STORE = {
  'Cache-Control': { description: 'Never kept by a cache.', required: true, schema: { type: 'string', const: 'no-store' } },
};

/** The OpenAPI 3.1 document of the admin API, made of the very definitions by which it is served. */
export function openApiDocument(operations: readonly Operation[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {
    '/openapi.json': {
      get: {
        operationId: 'openApi',
        tags: ['This document'],
        summary: 'This document',
        security: [],
        responses: {
          200: {
            description: 'OpenAPI 3.1.',
            headers: NO_STORE,
            content: { 'application/json': { schema: { type: 'object', required: ['openapi'] } } },
          },
          ...responsesOf(['malformed-request', 'request-timeout', 'header-fields-too-large']),
        },
      },
    },
  };
  for (const one of operations) (paths[one.path] ??= {})[one.method.toLowerCase()] = operationOf(one);
  const description =
    'For the back end of a SaaS company: its customers (tenants), what they may have (grants), and their ' +
    'API keys. Vault decides, with the token of the caller; the broker itself may do none of this. See docs/admin-api.md.';
  return documentOf({ title: 'Postern admin API', version, description }, operations, paths, {
    jwt: {
      type: 'http',
      scheme: 'bearer',
      bearerFormat: 'JWT',
      description: `An Auth0 access token whose \`permissions\` hold what the operation needs. ${Object.entries(PERMISSIONS)
        .map(([name, what]) => `\`${name}\`: ${what}.`)
        .join(' ')}`,
    },
    vault: {
      type: 'apiKey',
      in: 'header',
      name: 'X-Vault-Token',
      description: 'A Vault token with the policy postern-operator, or postern-auditor for what only reads.',
    },
  });
}

/** The document of one of the JSON APIs, this one or people's. */
export function documentOf(
  info: { readonly title: string; readonly version: string; readonly description: string },
  operations: readonly Pick<Operation, 'tag' | 'body' | 'success'>[],
  paths: Json,
  securitySchemes: Json,
): Json {
  return {
    openapi: '3.1.0',
    info: { ...info, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    servers: [{ url: '/' }],
    tags: [...new Set(operations.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: { schemas: schemasOf(operations), securitySchemes },
  };
}

function operationOf(operation: Operation): Json {
  const { description, need } = operation;
  const said = `Needs \`${need.permission}\`, or a Vault token that may.`;
  return describedAs(operation, description === undefined ? said : `${description}\n\n${said}`, [
    { jwt: [need.permission] },
    { vault: [] },
  ]);
}

/** What is described of an operation, whichever API has it. */
type Described = Pick<Operation, 'id' | 'tag' | 'summary' | 'params' | 'query' | 'body' | 'repeatable' | 'success' | 'refusals'>;

/** An operation of one of the JSON APIs, this one or people's. */
export function describedAs(
  { id, tag, summary, params, query, body, repeatable, success, refusals }: Described,
  description: string | undefined,
  security: readonly Json[],
): Json {
  const schema = (name: string): Json => ({ 'application/json': { schema: { $ref: `#/components/schemas/${name}` } } });
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    security,
    parameters: [...parametersOf('path', params), ...parametersOf('query', query), ...(repeatable ? [IDEMPOTENCY_PARAMETER] : [])],
    ...(body === undefined ? {} : { requestBody: { required: true, content: schema(body.name) } }),
    responses: {
      [success.status]: {
        description: success.description,
        headers: { ...NO_STORE, ...success.headers, ...(repeatable ? IDEMPOTENCY_REPLAYED : {}) },
        ...(success.body === undefined ? {} : { content: schema(success.body.name) }),
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

const IDEMPOTENCY_REPLAYED = {
  'Idempotency-Replayed': { description: 'Present where an earlier answer is repeated.', schema: { type: 'string', const: 'true' } },
};

const IDEMPOTENCY_PARAMETER = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description:
    'Names this request for 24 hours: the same key and the same request get the same answer. Random, such ' +
    'as a UUID; secrets in the kept answer are encrypted under it.',
  schema: { type: 'string', pattern: IDEMPOTENCY_KEY.source },
};

/** A parameter comes as text; `wire` in its metadata is what that text stands for. */
function parametersOf(where: 'path' | 'query', schema: z.ZodType): Json[] {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input', target: 'draft-2020-12' }) as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, wire, ...rest }]) => ({
    name,
    in: where,
    required: required.includes(name),
    ...(description === undefined ? {} : { description }),
    schema: wire ?? rest,
  }));
}

/** One response a status: several problems may share it. */
function responsesOf(slugs: readonly Slug[]): Json {
  const statuses = [...new Set(slugs.map((slug) => PROBLEMS[slug][0]))].sort((a, b) => a - b);
  return Object.fromEntries(
    statuses.map((status) => {
      const titles = [...new Set(slugs.filter((slug) => PROBLEMS[slug][0] === status).map((slug) => PROBLEMS[slug][1]))];
      // What the parser of HTTP refuses is answered before there is a request: see unparsable() in server.ts.
      return [
        status,
        {
          description: `${titles.join('; or: ')}.`,
          headers: { ...NO_STORE, ...HEADERS[status] },
          content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
        },
      ];
    }),
  );
}

function schemasOf(operations: readonly Pick<Operation, 'body' | 'success'>[]): Json {
  const input = z.registry<{ id: string }>();
  const output = z.registry<{ id: string }>();
  output.add(problem, { id: 'Problem' });
  for (const { body, success } of operations) {
    if (body !== undefined && !input.has(body.schema)) input.add(body.schema, { id: body.name });
    if (success.body !== undefined && !output.has(success.body.schema)) output.add(success.body.schema, { id: success.body.name });
  }
  const uri = (id: string): string => `#/components/schemas/${id}`;
  const all = { ...z.toJSONSchema(input, { io: 'input', uri }).schemas, ...z.toJSONSchema(output, { io: 'output', uri }).schemas };
  // In the document each stands at its own address: it needs no name and no dialect of its own.
  return Object.fromEntries(
    Object.entries(all).map(([name, schema]) => [
      name,
      Object.fromEntries(Object.entries(schema).filter(([keyword]) => keyword !== '$schema' && keyword !== '$id')),
    ]),
  );
}
