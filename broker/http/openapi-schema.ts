import { CLIENT_AUTHENTICATION_METHODS } from './client-authentication.ts';
import { metadataOf } from './metadata.ts';
import type { Parameter, Parameters } from './parameter.ts';

export type Json = Record<string, unknown>;

export const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });
export const json = (schema: Json): Json => ({ 'application/json': { schema } });

/** RFC 6749 §3.1: a parameter without a value, in JSON null too, counts as left out. */
function schemaOf({ description, examples, pattern, refused, required, value }: Parameter): Json {
  const more = { description, ...(examples === undefined ? {} : { examples }), ...(pattern === undefined ? {} : { pattern }) };
  if (value !== undefined) return { const: value, description };
  if (refused) return { type: ['string', 'null'], maxLength: 0, ...more };
  return required ? { type: 'string', minLength: 1, ...more } : { type: ['string', 'null'], ...more };
}

/** Parameters that come in a body. */
export function objectOf(parameters: Parameters): Json {
  const entries = Object.entries(parameters);
  return {
    type: 'object',
    required: entries.filter(([, { required }]) => required).map(([name]) => name),
    properties: Object.fromEntries(entries.map(([name, parameter]) => [name, schemaOf(parameter)])),
  };
}

/** Every endpoint that reads parameters takes both; JSON as Auth0's does. */
export function bodyOf(schema: Json): Json {
  return { required: true, content: { 'application/x-www-form-urlencoded': { schema }, 'application/json': { schema } } };
}

export function queryOf(parameters: Parameters): Json[] {
  return Object.entries(parameters).map(([name, { description, examples, pattern, required = false }]) => ({
    name,
    in: 'query',
    required,
    description,
    schema: { type: 'string', pattern, examples },
  }));
}

/** Of the metadata that is served: every member it has. */
function metadataSchema(): Json {
  const served = metadataOf('https://issuer.example/');
  const methods = { type: 'array', items: { enum: [...CLIENT_AUTHENTICATION_METHODS, 'none'] } };
  const member = (name: string, value: unknown): Json => {
    if (name.endsWith('_auth_methods_supported')) return methods;
    return Array.isArray(value) ? { type: 'array', items: { type: 'string' } } : { type: 'string', format: 'uri' };
  };
  return {
    type: 'object',
    required: Object.keys(served),
    properties: Object.fromEntries(Object.entries(served).map(([name, value]) => [name, member(name, value)])),
  };
}

export const SCHEMAS: Json = {
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
  Metadata: metadataSchema(),
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
