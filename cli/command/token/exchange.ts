import { MAX_DOCUMENT, MAX_TOKEN_ANSWER, boundedFetch } from '#broker/bounded-fetch.ts';
import { PosternError } from '#broker/error.ts';
import type { ErrorCode } from '#broker/error.ts';
import { silenceOf } from '#broker/silence.ts';
import { ASSERTION_TYPE } from '#broker/credential/assertion.ts';
import { VAULT_TOKEN_TYPE } from '#broker/credential/subject-token.ts';
import { signAssertion } from './assertion.ts';

/** By what the customer is known: its secret, its own key (RFC 7523), or a Vault token (RFC 8693). */
export type CustomerCredential =
  | { clientId: string; clientSecret: string }
  | { clientId: string; privateKey: string; kid: string | undefined }
  | { vaultToken: string };

export interface ExchangeOptions {
  /** Of the broker, with its slash. */
  url: string;
  credential: CustomerCredential;
  audience?: string | undefined;
  scope?: string | undefined;
  signal: AbortSignal;
}

export interface Exchanged {
  accessToken: string;
  tokenType: string;
  /** Seconds. */
  expiresIn: number;
  scope: string | undefined;
  milliseconds: number;
}

const TIMEOUT_MS = 15_000;
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** What a customer's process does: OAuth client_credentials (RFC 6749 §4.4) or token exchange (RFC 8693), plain. @throws {PosternError} */
export async function exchange(options: ExchangeOptions): Promise<Exchanged> {
  const form = new URLSearchParams(await parametersOf(options));
  if (options.audience !== undefined) form.set('audience', options.audience);
  if (options.scope !== undefined) form.set('scope', options.scope);
  const start = performance.now();
  let response: Response;
  let body: Record<string, unknown>;
  try {
    response = await boundedFetch(MAX_TOKEN_ANSWER)(new URL('oauth/token', options.url), {
      method: 'POST',
      body: form,
      headers: { accept: 'application/json' },
      // The secret would go along.
      redirect: 'error',
      signal: AbortSignal.any([options.signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    body = ((await response.json().catch(() => undefined)) ?? {}) as Record<string, unknown>;
  } catch (error) {
    options.signal.throwIfAborted();
    throw unreachable(error, options.url);
  }
  const milliseconds = performance.now() - start;
  if (!response.ok) throw refused(response, body, options.credential);
  const { access_token: accessToken, token_type: tokenType, expires_in: expiresIn, scope } = body;
  if (typeof accessToken !== 'string' || typeof expiresIn !== 'number')
    throw new PosternError('misconfigured', `What answers at ${options.url} is not a token endpoint`, {
      detail: 'Set --url or POSTERN_URL to the broker.',
    });
  return { accessToken, tokenType: String(tokenType), expiresIn, scope: typeof scope === 'string' ? scope : undefined, milliseconds };
}

async function parametersOf({ credential, url, signal }: ExchangeOptions): Promise<Record<string, string>> {
  if ('vaultToken' in credential)
    return { grant_type: TOKEN_EXCHANGE, subject_token: credential.vaultToken, subject_token_type: VAULT_TOKEN_TYPE };
  if ('clientSecret' in credential)
    return { grant_type: 'client_credentials', client_id: credential.clientId, client_secret: credential.clientSecret };
  return {
    grant_type: 'client_credentials',
    client_assertion_type: ASSERTION_TYPE,
    client_assertion: await signAssertion(credential, await issuerAt(url, signal)),
  };
}

/** A load balancer's or a container's address is not what the broker calls itself. @throws {PosternError} temporarily_unavailable */
async function issuerAt(url: string, signal: AbortSignal): Promise<string> {
  try {
    const response = await boundedFetch(MAX_DOCUMENT)(new URL('.well-known/oauth-authorization-server', url), {
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    const { issuer } = (await response.json()) as { issuer?: unknown };
    if (typeof issuer === 'string') return issuer;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof SyntaxError)) throw unreachable(error, url);
  }
  throw new PosternError('temporarily_unavailable', `The broker's metadata cannot be read at ${url}`, {
    detail: 'An assertion names the issuer, which stands there. Set --url or POSTERN_URL.',
  });
}

function unreachable(error: unknown, url: string): PosternError {
  const { why, remedy } = silenceOf(error);
  return new PosternError('temporarily_unavailable', `The broker cannot be reached at ${url}: ${why}`, {
    detail: remedy ?? 'Is it started? Else set --url or POSTERN_URL.',
  });
}

const REMEDIES: Readonly<Record<number, string>> = {
  401: 'The client_id or the secret is wrong, ended or revoked: postern secret list <tenant>.',
  403: 'It has no grant for this: postern tenant show <tenant>.',
  404: 'Is --url the broker?',
  503: 'See postern doctor, and the log of the broker, which says why.',
};

/** By the words of our own brokers, where the status alone says too little. */
const WORDS: readonly (readonly [words: RegExp, remedy: string])[] = [
  [/^Client is disabled/, 'The tenant is disabled: postern tenant enable <tenant> lets it in again.'],
  [/^Client has no grants/, 'The tenant has no document, so it was deleted or only half made: postern tenant show <tenant>.'],
  [
    /^Client is not set up/,
    'Its role, its document or its key do not fit each other: postern tenant show <tenant>, postern key list <tenant>.',
  ],
  [/^Service not enabled within domain/, 'There is no API with this audience, letter by letter: postern doctor lists those there are.'],
  [
    /^No audience parameter/,
    'Name the API by --audience, or give the tenant a default: postern tenant create <tenant> --update --default-api.',
  ],
  [
    /^Client is not allowed from this address/,
    'It is used from outside its cidrs: postern tenant show <tenant>, postern key list <tenant>.',
  ],
  [/organization/, 'Its organization is another one, or it has none: postern tenant show <tenant>.'],
];

function remedyOf(status: number, credential: CustomerCredential, description: unknown): string {
  const known = typeof description === 'string' ? WORDS.find(([words]) => words.test(description)) : undefined;
  if (known !== undefined) return known[1];
  if (status === 401 && 'privateKey' in credential)
    return (
      'The client_id is wrong, or this key (with this --kid) is not among the assertion_keys of the tenant: ' + 'docs/workload-identity.md.'
    );
  return (
    REMEDIES[status] ?? (status === 400 ? 'See postern tenant show <tenant> for what it may ask for.' : 'Look at the log of the broker.')
  );
}

/** The broker's OAuth error, as an exit code and a remedy. */
function refused(response: Response, body: Record<string, unknown>, credential: CustomerCredential): PosternError {
  const { error, error_description: description } = body;
  const said =
    typeof error === 'string' ? `${error}${typeof description === 'string' ? `: ${description}` : ''}` : `HTTP ${response.status}`;
  const retryAfter = Number(response.headers.get('retry-after'));
  return new PosternError(codeOf(response.status, error), `The broker refuses (${response.status} ${said.slice(0, 500)})`, {
    detail: remedyOf(response.status, credential, description),
    ...(Number.isFinite(retryAfter) && retryAfter > 0 ? { retryAfter } : {}),
  });
}

function codeOf(status: number, error: unknown): ErrorCode {
  if (error === 'invalid_scope') return 'invalid_scope';
  if (status === 401) return 'invalid_client';
  if (status === 403) return 'access_denied';
  if (status === 404) return 'not_found';
  if (status === 429) return 'too_many_requests';
  return status >= 500 ? 'temporarily_unavailable' : 'invalid_request';
}
