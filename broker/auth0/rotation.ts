import { ManagementError } from 'auth0';
import { PosternError } from '#broker/error.ts';
import { answerOf, requestToken } from './client-credentials.ts';
import type { Answer } from './client-credentials.ts';
import { createManagement } from './management.ts';

export interface RotationOptions {
  /** With its trailing slash. */
  issuer: string;
  /** The application whose secret is rotated. */
  clientId: string;
  /** Another application, which may rotate secrets: the shared one can then do nothing but issue tokens. */
  management: { readonly clientId: string; readonly clientSecret: string };
  /** Bare domain of the Management API; a custom domain has none. Default: the issuer's host. */
  domain: string | undefined;
  /** Deadline of one call, ms. */
  timeoutMs: number;
}

/** Auth0's scope for `POST /api/v2/clients/{id}/rotate-secret`. */
const SCOPE = 'update:client_keys';

/**
 * Has Auth0 make a new secret for one application, by a Management token of another.
 * https://auth0.com/docs/api/management/v2/clients/post-rotate-secret
 * @returns the new secret, which from now on only the caller knows
 * @throws {PosternError} access_denied, misconfigured, too_many_requests: nothing has changed; temporarily_unavailable: its
 *   message says whether something may have changed
 */
export async function rotateClientSecret(options: RotationOptions): Promise<string> {
  const { origin, protocol, host } = new URL(options.domain === undefined ? options.issuer : `https://${options.domain}/`);
  const audience = `${origin}/api/v2/`;
  const token = await managementToken(options, audience);
  const loopback = protocol === 'http:';
  const management = createManagement({ domain: host, token, timeout: Math.ceil(options.timeoutMs / 1000), loopback });
  try {
    // Never twice: the answer to the first would be lost, and the secret in it with it.
    const { client_secret: secret } = await management.clients.rotateSecret(options.clientId, { maxRetries: 0 });
    if (typeof secret === 'string' && secret !== '') return secret;
  } catch (error) {
    throw refusalOf(error, audience);
  }
  throw unknownOutcome('Auth0 answered without a secret');
}

async function managementToken({ issuer, management, timeoutMs }: RotationOptions, audience: string): Promise<string> {
  try {
    return await requestToken({ issuer, ...management, timeoutMs, parameters: { audience, scope: SCOPE } });
  } catch (error) {
    // The library's error isn't carried along: it holds the whole answer.
    throw withoutToken(answerOf(error), audience);
  }
}

function withoutToken({ status }: Answer, audience: string): PosternError {
  if (status === 401)
    return new PosternError('access_denied', "Auth0 refuses the management application's credential", {
      detail: 'Write the current management_client_secret to config',
    });
  if (status === 429)
    return new PosternError('too_many_requests', 'Auth0 allows no more requests for now', { detail: 'Try again in a minute' });
  if (status !== undefined && status < 500) {
    return new PosternError('access_denied', 'Auth0 gives the management application no token for its Management API', {
      detail: `It needs a client grant for the audience ${audience} with the scope ${SCOPE}`,
    });
  }
  return new PosternError(
    'temporarily_unavailable',
    status === undefined ? 'Auth0 cannot be reached or did not answer in time' : `Auth0 answered ${status}`,
    { detail: 'Nothing has changed. Try again' },
  );
}

function refusalOf(error: unknown, audience: string): PosternError {
  const status = error instanceof ManagementError ? error.statusCode : undefined;
  switch (status) {
    case 401:
    case 403:
      return new PosternError('access_denied', `Auth0 refuses to rotate the secret`, {
        detail: `The management application's client grant for ${audience} needs the scope ${SCOPE}`,
      });
    case 404:
      return new PosternError('access_denied', 'Auth0 does not know this application', {
        detail: 'client_id in config must be that of an application of this Auth0 tenant',
      });
    case 429:
      return new PosternError('too_many_requests', 'Auth0 allows no more requests for now', { detail: 'Try again in a minute' });
    case undefined:
      return unknownOutcome('Auth0 did not answer');
    default:
      return status >= 500
        ? unknownOutcome(`Auth0 answered ${status}`)
        : new PosternError('access_denied', `Auth0 answered ${status} when asked to rotate the secret`, {
            detail: 'The application must authenticate by a client secret',
          });
  }
}

function unknownOutcome(why: string): PosternError {
  return new PosternError('temporarily_unavailable', `${why}: the secret may or may not have been rotated`, {
    detail: 'If tokens are refused from now on, read the secret in the Auth0 dashboard and write it to config; else rotate again',
  });
}
