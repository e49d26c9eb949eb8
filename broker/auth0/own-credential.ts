import { setTimeout as sleep } from 'node:timers/promises';
import { PosternError } from '#broker/error.ts';
import { silenceOf } from '#broker/silence.ts';
import { answerOf, requestToken } from './client-credentials.ts';

export interface OwnExchange {
  /** Of the Auth0 tenant or its custom domain, with its trailing slash. */
  issuer: string;
  clientId: string;
  clientSecret: string;
  audience: string;
  organization?: string | undefined;
  signal: AbortSignal;
}

const TIMEOUT_MS = 15_000;
/** How often one that was turned away for its rate is sent again, and how long it waits at most, s. */
const RETRIES = 8;
const LONGEST_WAIT = 60;

/** The exchange that an M2M application makes itself: all scopes that it is granted. @throws {PosternError} saying what Auth0 answered */
export async function exchangeOwn({ issuer, clientId, clientSecret, audience, organization, signal }: OwnExchange): Promise<string> {
  const parameters = { audience, ...(organization === undefined ? {} : { organization }) };
  for (let attempt = 0; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      return await requestToken({ issuer, clientId, clientSecret, timeoutMs: TIMEOUT_MS, parameters });
    } catch (error) {
      const { status, code, response } = answerOf(error);
      if (status === 429 && attempt < RETRIES) {
        const after = Number(response?.headers.get('retry-after'));
        await sleep(1_000 * Math.min(LONGEST_WAIT, after > 0 ? after : 1), undefined, { signal });
        continue;
      }
      throw refusal(error, status, code, { issuer, audience });
    }
  }
}

function refusal(
  error: unknown,
  status: number | undefined,
  code: string | undefined,
  at: { issuer: string; audience: string },
): PosternError {
  if (status === undefined) {
    const { why, remedy } = silenceOf(error);
    const more = remedy === undefined ? {} : { detail: remedy };
    return new PosternError('temporarily_unavailable', `Auth0 cannot be reached at ${at.issuer}: ${why}`, more);
  }
  if (status === 401)
    return new PosternError('invalid_client', "Auth0 refuses the application's client_id or secret", {
      detail: 'Is it that of this application? A rotated one takes up to 30 s to be known.',
    });
  if (status === 403)
    return new PosternError('access_denied', `Auth0 gives the application no token for ${at.audience} (${code ?? 'refused'})`, {
      detail: 'It has no client grant for it, or is disabled already.',
    });
  if (status === 429)
    return new PosternError('too_many_requests', 'Auth0 allows no more exchanges for now', { detail: 'Try again in a minute.' });
  return new PosternError(status < 500 ? 'access_denied' : 'temporarily_unavailable', `Auth0 answered ${status} (${code ?? 'no reason'})`);
}
