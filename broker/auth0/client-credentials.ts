import * as oauth from 'openid-client';
import { MAX_TOKEN_ANSWER, TooLong, boundedFetch } from '#broker/bounded-fetch.ts';
import { clockOf } from '#broker/clock.ts';
import type { Clocks } from '#broker/clock.ts';
import { currentSpan, headersOf, traced } from '#broker/span.ts';
import type { ClockDifference } from '#broker/clock-difference.ts';

export interface ClientCredentialsRequest {
  /** Default: the real ones. */
  clocks?: Clocks;
  /** Default: the global one. */
  fetch?: typeof fetch | undefined;
  /** Of Auth0, with its trailing slash. http only for a stand-in on loopback. */
  issuer: string;
  clientId: string;
  clientSecret: string;
  /** Deadline, ms. */
  timeoutMs: number;
  /** Of the body beside the credential: audience, scope, and what binds the token to a tenant. */
  parameters: Record<string, string>;
  /** Learns from the Date of the answer. */
  clock?: ClockDifference;
  /** Told of the headers of the answer, whatever it is. */
  onHeaders?: ((headers: Headers) => void) | undefined;
}

/**
 * One request to `POST /oauth/token` (RFC 6749 §4.4). By openid-client, since `@auth0/auth0-auth-js` carries neither `scope`
 * nor further parameters.
 * @returns the access token
 * @throws the library's errors: they hold the whole answer, so only {@link answerOf} may look at them
 */
export async function requestToken({
  issuer,
  clientId,
  clientSecret,
  timeoutMs,
  parameters,
  clock,
  onHeaders,
  clocks = {},
  fetch: by,
}: ClientCredentialsRequest): Promise<string> {
  const configuration = new oauth.Configuration(
    { issuer, token_endpoint: new URL('oauth/token', issuer).href },
    clientId,
    undefined,
    oauth.ClientSecretPost(clientSecret),
  );
  // The library's own deadline keeps its timer and signal after the answer came.
  Object.assign(configuration, { timeout: undefined });
  const ask = boundedFetch(MAX_TOKEN_ANSWER, by);
  const time = clockOf(clocks);
  const deadline = new AbortController();
  const cancel = time.after(timeoutMs, () => deadline.abort(new DOMException('late', 'TimeoutError')));
  let answered: Response | undefined;
  configuration[oauth.customFetch] = async (url, init) => {
    const begun = time.monotonic();
    const response = await traced(
      'auth0',
      () => ask(url, withTrace({ ...(init as RequestInit), signal: deadline.signal })),
      { 'postern.auth0.operation': 'oauth/token' },
      'client',
    );
    clock?.observe(response.headers.get('date'), time.monotonic() - begun);
    onHeaders?.(response.headers);
    // Read to its end here: what the library can't take is an answer then, and no failure on the way.
    const body = response.body === null ? null : await response.arrayBuffer();
    return (answered = new Response(body, response));
  };
  if (new URL(issuer).protocol === 'http:') oauth.allowInsecureRequests(configuration);
  try {
    return (await oauth.clientCredentialsGrant(configuration, parameters)).access_token;
  } catch (error) {
    // The library doesn't tell of every answer that it can't take whose it was.
    if (answered === undefined || answerOf(error).response !== undefined) throw error;
    throw Object.assign(new Error('an answer without a token', { cause: error }), { response: answered });
  } finally {
    cancel();
  }
}

/** Auth0 and what stands before it learn whose request this is. */
function withTrace(init: RequestInit): RequestInit {
  const span = currentSpan();
  return span === undefined ? init : { ...init, headers: { ...Object.fromEntries(new Headers(init.headers)), ...headersOf(span) } };
}

export interface Answer {
  /** undefined: there was no answer. */
  readonly status: number | undefined;
  /** OAuth's `error`, as Auth0 said it. */
  readonly code: string | undefined;
  readonly response: Response | undefined;
  /** The request surely didn't arrive: there was no connection. */
  readonly unsent: boolean;
  /** It was longer than any answer with a token, and not read to its end. */
  readonly tooLong: boolean;
}

/** Of errors before a connection was there. */
const UNSENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);

/** What Auth0 answered, from an error of {@link requestToken}. */
export function answerOf(error: unknown): Answer {
  const { response, cause } = error as { response?: unknown; cause?: unknown };
  const found = [response, cause].find((one): one is Response => one instanceof Response);
  if (error instanceof oauth.ResponseBodyError)
    return { status: error.status, code: error.error, response: found, unsent: false, tooLong: false };
  const why = causes(error);
  return {
    status: found?.status,
    code: undefined,
    response: found,
    unsent: found === undefined && why.some(isUnsent),
    tooLong: why.some((one) => one instanceof TooLong),
  };
}

/** An error and what it was made from, not deeper than libraries go. */
function causes(error: unknown): unknown[] {
  const found: unknown[] = [];
  for (let one = error; one !== undefined && found.length < 6; one = (one as { cause?: unknown } | null)?.cause) found.push(one);
  return found;
}

function isUnsent(error: unknown): boolean {
  const { code, errors } = (error ?? {}) as { code?: unknown; errors?: unknown };
  // Of several addresses none could be reached.
  if (Array.isArray(errors) && errors.length > 0) return errors.every(isUnsent);
  return typeof code === 'string' && UNSENT.has(code);
}
