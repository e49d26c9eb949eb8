import { PosternError } from '#broker/error.ts';
import type { ErrorCode } from '#broker/error.ts';

/** Where a problem's type points; stable, for programs compare it. */
export const TYPE_BASE = 'https://postern.dev/problems/';

/** Slug -> [status, title]. RFC 9457 §3.1: the title is the same each time, `detail` tells of this one. */
export const PROBLEMS = {
  'malformed-request': [400, 'The request is malformed'],
  'invalid-token': [401, 'The credential is missing, wrong or has ended'],
  'insufficient-scope': [403, 'The token lacks the permission for this operation'],
  'access-denied': [403, 'Vault refuses this operation to the caller'],
  'not-found': [404, 'There is no such thing'],
  'method-not-allowed': [405, 'The method is not one of this resource'],
  'request-timeout': [408, 'The request took too long'],
  conflict: [409, 'The state of the resource does not allow this'],
  'idempotency-in-progress': [409, 'A request with this Idempotency-Key is under way'],
  'payload-too-large': [413, 'The request body is too large'],
  'uri-too-long': [414, 'The request target is too long'],
  'unsupported-media-type': [415, 'The request body is of another media type'],
  unprocessable: [422, 'The request cannot be carried out as it is'],
  'idempotency-key-reused': [422, 'This Idempotency-Key belongs to another request'],
  'too-many-requests': [429, 'Too many requests'],
  'header-fields-too-large': [431, 'The request headers are too large'],
  'temporarily-unavailable': [503, 'The service cannot answer now'],
} as const satisfies Record<string, readonly [number, string]>;

export type Slug = keyof typeof PROBLEMS;

/** One fault of the input, so that a form can show it at its field. */
export interface InputFault {
  /** JSON Pointer (RFC 6901) into the body, or the parameter's name. */
  readonly at: string;
  readonly in: 'body' | 'path' | 'query' | 'header';
  readonly detail: string;
}

export interface ProblemOptions {
  errors?: readonly InputFault[];
  /** Seconds. */
  retryAfter?: number | undefined;
  /** RFC 6750 §3: the permission that is missing. */
  permission?: string;
  /** Methods that a 405 names. */
  allow?: readonly string[];
  /** Content codings that a 415 names (RFC 9110 §12.5.3). */
  accept?: string;
  /** What protects the resource, for the challenge. Default `postern-admin`. */
  realm?: string;
  /** For the log. */
  cause?: unknown;
}

/** A refusal of the admin API. `detail` goes to the caller: never a secret, never another package's message. */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly slug: Slug;
  readonly options: ProblemOptions;

  constructor(slug: Slug, detail: string, options: ProblemOptions = {}) {
    super(detail);
    this.slug = slug;
    this.options = options;
  }

  get status(): number {
    return PROBLEMS[this.slug][0];
  }

  /** RFC 9457 §3. @param instance of this occurrence, which the log names too */
  body(instance: string): Record<string, unknown> {
    const [status, title] = PROBLEMS[this.slug];
    const { errors } = this.options;
    return { type: TYPE_BASE + this.slug, title, status, detail: this.message, instance, ...(errors === undefined ? {} : { errors }) };
  }

  headers(): Record<string, string> {
    const { accept, retryAfter, allow } = this.options;
    return {
      ...(this.status === 401 || this.slug === 'insufficient-scope' ? { 'WWW-Authenticate': this.#challenge() } : {}),
      ...(retryAfter === undefined ? {} : { 'Retry-After': String(Math.max(1, Math.ceil(retryAfter))) }),
      ...(accept === undefined ? {} : { 'Accept-Encoding': accept }),
      ...(allow === undefined ? {} : { Allow: allow.join(', ') }),
    };
  }

  /** RFC 6750 §3: without a credential the challenge names no error. */
  #challenge(): string {
    const { permission, realm: name = 'postern-admin' } = this.options;
    const realm = `Bearer realm="${name}"`;
    if (this.status === 401 && [NO_CREDENTIAL, NO_ACCESS_TOKEN].includes(this.message)) return realm;
    const error = this.status === 401 ? 'invalid_token' : 'insufficient_scope';
    return (
      `${realm}, error="${error}", ` +
      `error_description="${this.message.replaceAll(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, ' ')}"${permission === undefined ? '' : `, scope="${permission}"`}`
    );
  }
}

export const NO_ACCESS_TOKEN = 'Send an Auth0 access token (Authorization: Bearer)';
export const NO_CREDENTIAL = 'Send an Auth0 access token (Authorization: Bearer) or a Vault token (X-Vault-Token)';

const SLUGS: Record<ErrorCode, Slug> = {
  // What is not well formed was refused by the schema: the domain refuses what it says.
  invalid_request: 'unprocessable',
  invalid_scope: 'unprocessable',
  invalid_target: 'unprocessable',
  invalid_grant: 'unprocessable',
  unsupported_grant_type: 'unprocessable',
  unsupported_token_type: 'unprocessable',
  invalid_client: 'invalid-token',
  no_client: 'invalid-token',
  invalid_token: 'invalid-token',
  unauthorized_client: 'access-denied',
  access_denied: 'access-denied',
  insufficient_scope: 'insufficient-scope',
  not_found: 'not-found',
  method_not_allowed: 'method-not-allowed',
  request_timeout: 'request-timeout',
  conflict: 'conflict',
  payload_too_large: 'payload-too-large',
  unsupported_media_type: 'unsupported-media-type',
  header_fields_too_large: 'header-fields-too-large',
  too_many_requests: 'too-many-requests',
  limit_exceeded: 'too-many-requests',
  temporarily_unavailable: 'temporarily-unavailable',
  misconfigured: 'temporarily-unavailable',
};

/** What the framework refuses by itself, before any of our code. */
const FRAMEWORK: Record<string, readonly [Slug, string]> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['unsupported-media-type', 'Content-Type must be application/json'],
  FST_ERR_CTP_EMPTY_TYPE: ['unsupported-media-type', 'Content-Type must be application/json'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['malformed-request', 'The body is empty'],
  FST_ERR_CTP_INVALID_JSON_BODY: ['malformed-request', 'The body is not valid JSON'],
  FST_ERR_CTP_BODY_TOO_LARGE: ['payload-too-large', 'The body is larger than 262144 bytes'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['malformed-request', 'The body has another length than its Content-Length tells'],
  FST_ERR_BAD_URL: ['malformed-request', 'The request target holds a malformed escape'],
  FST_ERR_MAX_PARAM_LENGTH: ['uri-too-long', 'A part of the path is too long'],
  FST_ERR_ROUTE_MISSING: ['not-found', 'There is nothing at this address'],
};

/** Any error as the problem that the caller sees. What says too much, or is another package's, becomes a plain 503. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof PosternError) {
    const slug = SLUGS[error.code];
    // Vault's address and state are the operator's to read, in the log.
    const detail =
      slug === 'temporarily-unavailable' ? 'Vault cannot answer now; try again later' : error.message.replaceAll(/\s*\n\s*/g, ' ');
    return new Problem(slug, detail, {
      retryAfter: error.retryAfter ?? (slug === 'temporarily-unavailable' || slug === 'too-many-requests' ? 1 : undefined),
      cause: error,
    });
  }
  const { code, statusCode } = (error ?? {}) as { code?: unknown; statusCode?: unknown };
  const known = typeof code === 'string' ? FRAMEWORK[code] : undefined;
  if (known !== undefined) return new Problem(known[0], known[1], { cause: error });
  // The JSON parser's own refusals, of __proto__ among them, come with a status and no code of the framework's.
  if (statusCode === 400) return new Problem('malformed-request', 'The body is not valid JSON', { cause: error });
  return new Problem('temporarily-unavailable', 'The service cannot answer now; try again later', { retryAfter: 1, cause: error });
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** RFC 9457 §3.1.5: a URI that names this occurrence by its request. */
export function instanceOf(requestId: string): string {
  return UUID.test(requestId) ? `urn:uuid:${requestId}` : `urn:request:${encodeURIComponent(requestId)}`;
}
