/**
 * The closed set of things that can go wrong, each with its OAuth error code, HTTP status and
 * process exit code. `error.ts` imports nothing, so every room can throw these.
 *
 * `description` is public: it goes to the client. `detail` is for the operator's log only.
 * Neither may ever hold a secret; raw errors of HTTP clients are never carried along, since
 * theirs contain request headers and bodies.
 */

/** Code -> [OAuth `error` value, HTTP status, CLI exit code]. RFC 6749 §5.2; Auth0's `/oauth/token`. */
const CODES = {
  invalid_request: ['invalid_request', 400, 2],
  unsupported_grant_type: ['unsupported_grant_type', 400, 2],
  invalid_client: ['invalid_client', 401, 3],
  /** No client authentication at all (RFC 6749 §5.2). */
  no_client: ['invalid_client', 401, 3],
  unauthorized_client: ['unauthorized_client', 403, 3],
  access_denied: ['access_denied', 403, 3],
  invalid_scope: ['invalid_scope', 400, 3],
  /** RFC 6749 §5.2: an assertion or a subject that is invalid, expired or another's. */
  invalid_grant: ['invalid_grant', 400, 3],
  /** RFC 8693 §2.2.2. */
  invalid_target: ['invalid_target', 400, 3],
  /** RFC 7009 §2.2.1. */
  unsupported_token_type: ['unsupported_token_type', 400, 2],
  /** RFC 6750 §3.1. */
  invalid_token: ['invalid_token', 401, 3],
  insufficient_scope: ['insufficient_scope', 403, 3],
  not_found: ['not_found', 404, 4],
  method_not_allowed: ['method_not_allowed', 405, 2],
  request_timeout: ['request_timeout', 408, 2],
  conflict: ['conflict', 409, 4],
  payload_too_large: ['payload_too_large', 413, 2],
  unsupported_media_type: ['unsupported_media_type', 415, 2],
  header_fields_too_large: ['header_fields_too_large', 431, 2],
  too_many_requests: ['too_many_requests', 429, 5],
  /** The limit of a verified tenant, or of its API key, is used up. */
  limit_exceeded: ['too_many_requests', 429, 5],
  /** Vault or Auth0 can't answer now; trying again later is right. */
  temporarily_unavailable: ['temporarily_unavailable', 503, 5],
  /** Set up wrongly: only an operator can mend it, and `detail` says how. Clients see a 503. */
  misconfigured: ['temporarily_unavailable', 503, 6],
} as const satisfies Record<string, readonly [string, number, number]>;

export type ErrorCode = keyof typeof CODES;
export const ERROR_CODES = Object.keys(CODES) as readonly ErrorCode[];

/**
 * How it is told that the client isn't known: `auth0` as Auth0 does (401 `access_denied`; without any credential 400
 * `invalid_request`), `rfc6749` by the book (401 `invalid_client`).
 */
export const ERROR_DIALECTS = ['auth0', 'rfc6749'] as const;
export type ErrorDialect = (typeof ERROR_DIALECTS)[number];

/** Where a dialect differs from the table: [`error` value, HTTP status]. */
const DIALECTS: Record<ErrorDialect, Partial<Record<ErrorCode, readonly [string, number]>>> = {
  auth0: { invalid_client: ['access_denied', 401], no_client: ['invalid_request', 400] },
  rfc6749: {},
};

/** An error of our own making. Only of these is a log told what they say: errors of other packages carry requests. */
export abstract class OwnError extends Error {
  /** What of it may stand in a log; never a secret. */
  abstract describe(): Record<string, unknown>;
}

/**
 * Why somebody who decides could not be asked: there was no answer (none in time, sealed, a 5xx), or one that asks for patience (429).
 * Nothing was judged by it.
 */
export type Unasked = 'unanswered' | 'throttled';

export class PosternError extends OwnError {
  override readonly name = 'PosternError';
  readonly code: ErrorCode;
  /** What an operator needs to know and a client must not. Never a secret. */
  readonly detail: string | undefined;
  /** Seconds after which trying again makes sense: a whole number, a month's at most, whatever it was computed from. */
  readonly retryAfter: number | undefined;

  /** Of a `temporarily_unavailable`: whether whoever decides was not asked. */
  readonly unasked: Unasked | undefined;
  /** The fault lies in this machine, in its clock say: another replica may well succeed now. */
  readonly here: boolean;

  constructor(
    code: ErrorCode,
    description: string,
    more: { detail?: string; retryAfter?: number; unasked?: Unasked | undefined; here?: boolean } = {},
  ) {
    super(description);
    this.code = code;
    this.detail = more.detail;
    this.retryAfter = wholeSeconds(more.retryAfter);
    this.unasked = more.unasked;
    this.here = more.here === true;
  }

  override describe(): Record<string, unknown> {
    return { code: this.code, message: this.message, detail: this.detail };
  }

  /** As an OAuth endpoint answers: RFC 6749 §5.2. */
  inDialect(dialect: ErrorDialect): { error: string; status: number } {
    const [error, status] = DIALECTS[dialect][this.code] ?? CODES[this.code];
    return { error, status };
  }

  get oauthError(): string {
    return CODES[this.code][0];
  }

  get status(): number {
    return CODES[this.code][1];
  }

  get exitCode(): number {
    return CODES[this.code][2];
  }
}

/** Quotas of a month last longest, s. */
const LONGEST_RETRY = 31 * 86_400;

/** As Retry-After has it (RFC 9110 §10.2.3). */
function wholeSeconds(seconds: number | undefined): number | undefined {
  if (seconds === undefined || Number.isNaN(seconds)) return undefined;
  return Math.min(Math.max(Math.ceil(seconds), 0), LONGEST_RETRY);
}

/** How a code is answered, in the one dialect and in the other. */
export function answersOf(code: ErrorCode): readonly (readonly [error: string, status: number])[] {
  const [error, status] = CODES[code];
  return [[error, status], ...Object.values(DIALECTS).flatMap((dialect) => (dialect[code] === undefined ? [] : [dialect[code]]))];
}
