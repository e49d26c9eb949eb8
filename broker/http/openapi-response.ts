import { answersOf } from '#broker/error.ts';
import type { ErrorCode } from '#broker/error.ts';
import { MAX_BODY } from './body.ts';
import { json, ref } from './openapi-schema.ts';
import type { Json } from './openapi-schema.ts';

const KIB = 1024;

/** Code -> what it stands for in an answer. */
const SAID = {
  invalid_request: 'Malformed',
  unsupported_grant_type: 'Another grant type',
  invalid_client: 'Unknown client or wrong secret: which of them is not told',
  no_client: 'No client authentication',
  access_denied: 'The client may not have this',
  unauthorized_client: 'The client may not have this',
  invalid_scope: 'A scope that the client may not have',
  invalid_grant: 'The subject_token or the assertion is not valid',
  invalid_target: 'The client gets no token for this resource',
  request_timeout: 'The request took too long',
  payload_too_large: `The body is larger than ${MAX_BODY / KIB} kB`,
  unsupported_media_type: 'Neither a form nor JSON, or compressed',
  too_many_requests: 'Too many wrong credentials came from this address',
  header_fields_too_large: 'The headers are larger than 8 kB',
  temporarily_unavailable: 'Vault or Auth0 cannot answer now',
} as const satisfies Partial<Record<ErrorCode, string>>;
export type DocumentedCode = keyof typeof SAID;

export const NO_STORE: Json = {
  'Cache-Control': { required: true, description: 'Never kept by a cache.', schema: { type: 'string', const: 'no-store' } },
};
const RETRY_AFTER: Json = { 'Retry-After': { description: 'Seconds.', schema: { type: 'string', pattern: '^[0-9]+$' } } };
/** Status -> the headers that an answer of that status has. */
const HEADERS: Readonly<Record<number, Json>> = {
  401: challenge(false, "RFC 9110 §15.5.2; in Auth0's dialect only where the client used the Authorization header (RFC 6749 §5.2)."),
  415: { 'Accept-Encoding': { description: 'What is taken, where the body was compressed.', schema: { const: 'identity' } } },
  429: RETRY_AFTER,
  503: RETRY_AFTER,
};

/** What can happen to any request, whatever it asks for. */
export const ANYWHERE: readonly DocumentedCode[] = ['invalid_request', 'request_timeout', 'header_fields_too_large'];
export const SERVICE_AWAY: readonly DocumentedCode[] = ['temporarily_unavailable'];
/** Of an endpoint at which a client authenticates in a body or a header. */
export const OF_CLIENTS: readonly DocumentedCode[] = [
  ...ANYWHERE,
  'invalid_client',
  'access_denied',
  'unauthorized_client',
  'payload_too_large',
  'unsupported_media_type',
  'too_many_requests',
  ...SERVICE_AWAY,
];

export function challenge(always: boolean, description: string): Json {
  return { 'WWW-Authenticate': { required: always, description, schema: { type: 'string' } } };
}

/** One response a status: several codes may share it, and a code may have one status in each dialect. */
export function responsesOf(codes: readonly DocumentedCode[], said: Partial<Record<DocumentedCode, string>> = {}): Json {
  const byStatus = new Map<number, Set<string>>();
  for (const code of codes)
    for (const [, status] of answersOf(code)) byStatus.set(status, (byStatus.get(status) ?? new Set()).add(said[code] ?? SAID[code]));
  return Object.fromEntries(
    [...byStatus].map(([status, descriptions]) => [status, refusal(`${[...descriptions].join('; or: ')}.`, HEADERS[status])]),
  );
}

export function refusal(description: string, headers: Json = {}): Json {
  return { description, headers: { ...NO_STORE, ...headers }, content: json(ref('Error')) };
}
