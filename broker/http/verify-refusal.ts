import type { ErrorCode, PosternError } from '#broker/error.ts';
import { replyJson } from './reply.ts';
import type { Call } from './route.ts';
import { bodyIsLeft } from './unread.ts';
import { NoCredential } from './verify-credential.ts';
import type { Demand } from './verify-demand.ts';

interface Refusal {
  status: 400 | 401 | 403;
  /** RFC 6750 §3.1; these three are all there are. */
  error: 'invalid_request' | 'invalid_token' | 'insufficient_scope';
  description: string;
}

/** One wording for an unknown, a wrong, an expired and a mistyped key: whoever guesses learns nothing from it. */
const WRONG: Refusal = { status: 401, error: 'invalid_token', description: 'The API key is not valid' };
/** Whatever the tenant lacks: a grant for the API, a scope, or its whole account. */
const MAY_NOT: Refusal = {
  status: 403,
  error: 'insufficient_scope',
  description: 'The API key does not have the rights that this service requires',
};

const REFUSALS: Partial<Record<ErrorCode, Refusal>> = {
  invalid_client: WRONG,
  invalid_token: WRONG,
  invalid_grant: WRONG,
  access_denied: MAY_NOT,
  unauthorized_client: MAY_NOT,
  invalid_scope: MAY_NOT,
  insufficient_scope: MAY_NOT,
};

/** Seconds, where an error names none. */
const RETRY_AFTER = 5;

/**
 * The answer to a gateway whose client is refused, which it hands on: the challenge of RFC 6750 §3 with 400, 401 and 403;
 * `Retry-After` with 429, and with 503 where nobody can know now.
 */
export function refuseKey(call: Call, error: PosternError, demand: Demand | undefined): void {
  const refusal =
    REFUSALS[error.code] ??
    (error.status === 400 ? ({ status: 400, error: 'invalid_request', description: error.message } as const) : undefined);
  const headers = ['Cache-Control', 'no-store', 'Content-Type', 'application/json'];
  // What is left of the body is not read, so the connection can't be used again.
  if (bodyIsLeft(call.request)) headers.push('Connection', 'close');
  if (refusal === undefined) {
    headers.push('Retry-After', String(error.retryAfter ?? RETRY_AFTER));
    return replyJson(call, error.status, JSON.stringify({ error: error.oauthError, error_description: error.message }), headers);
  }
  const nothingSent = error instanceof NoCredential;
  headers.push('WWW-Authenticate', challenge(nothingSent ? undefined : refusal, demand));
  const body = nothingSent
    ? { error: 'unauthorized', error_description: error.message }
    : { error: refusal.error, error_description: refusal.description };
  replyJson(call, refusal.status, JSON.stringify(body), headers);
}

/** RFC 6750 §3. Descriptions are our own words, and scopes have neither `"` nor `\` (RFC 6749 §3.3): nothing needs escaping. */
function challenge(refusal: Refusal | undefined, demand: Demand | undefined): string {
  return [
    'Bearer realm="postern"',
    ...(demand?.scopes.length ? [`scope="${demand.scopes.join(' ')}"`] : []),
    ...(refusal === undefined ? [] : [`error="${refusal.error}"`, `error_description="${refusal.description}"`]),
  ].join(', ');
}
