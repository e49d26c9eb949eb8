import { ManagementClient, ManagementError, ManagementTimeoutError } from 'auth0';
import { boundedFetch } from '#broker/bounded-fetch.ts';
import { PosternError } from '#broker/error.ts';
import { isLoopback } from '#broker/loopback.ts';

export interface ManagementOptions {
  /** Bare, e.g. `tenant.eu.auth0.com`: the client speaks https only. */
  domain: string;
  /** A Management API token. */
  token: string;
  /** Deadline of one attempt, s. Default 10. */
  timeout?: number;
  /** For a stand-in on this machine, reached by http. */
  loopback?: boolean;
  /** How often a request is sent again after 408, 429 or 5xx, as `Retry-After` says. Default 1. */
  retries?: number;
}

/** Of an answer, bytes: a page has a hundred things at most. */
const MAX_PAGE = 16 * 1024 * 1024;

/**
 * Auth0's own Management client, with defaults for a person who waits: 10 s instead of 60, one retry, no telemetry.
 * @throws {PosternError} invalid_request
 */
export function createManagement(options: ManagementOptions): ManagementClient {
  const ask = boundedFetch(MAX_PAGE);
  return new ManagementClient({
    domain: hostOf(options.domain),
    token: options.token,
    timeoutInSeconds: options.timeout ?? 10,
    maxRetries: options.retries ?? 1,
    telemetry: false,
    // A redirect would carry the token along.
    fetch: (input, init) =>
      ask(options.loopback === true && typeof input === 'string' ? input.replace(/^https:/, 'http:') : input, {
        ...init,
        redirect: 'error',
      }),
  });
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @returns undefined where the environment doesn't name an Auth0 tenant. @throws {PosternError} invalid_request */
export function managementIfSet(env: Environment, options: Pick<ManagementOptions, 'retries'> = {}): ManagementClient | undefined {
  const domain = env['AUTH0_DOMAIN'];
  // The second name is the one that Auth0's Terraform provider reads.
  const token = env['AUTH0_MGMT_TOKEN'] || env['AUTH0_API_TOKEN'];
  if (!domain || !token) return undefined;
  // Only what `make dev` prints for its stand-in has a scheme.
  const url = domain.startsWith('http:') ? URL.parse(domain) : null;
  const loopback = url !== null && isLoopback(url);
  return createManagement({ domain: loopback ? domain.replace(/^http:/, 'https:') : domain, token, loopback, ...options });
}

/** @throws {PosternError} invalid_request */
export function managementOf(env: Environment, options: Pick<ManagementOptions, 'retries'> = {}): ManagementClient {
  const client = managementIfSet(env, options);
  if (client !== undefined) return client;
  throw new PosternError('invalid_request', 'AUTH0_DOMAIN and AUTH0_MGMT_TOKEN must be set in the environment', {
    detail: 'The token is one for the Management API: Auth0 dashboard > APIs > Auth0 Management API, or `auth0 api`.',
  });
}

/** People paste the issuer, too. */
function hostOf(domain: string): string {
  const url = URL.parse(domain.includes('://') ? domain : `https://${domain}`);
  if (url === null || url.protocol !== 'https:' || url.pathname !== '/' || url.search !== '' || url.hash !== '' || url.username !== '') {
    throw new PosternError('invalid_request', 'AUTH0_DOMAIN is not an Auth0 domain', {
      detail: 'It looks like your-tenant.eu.auth0.com, without a path.',
    });
  }
  return url.host;
}

/**
 * A failed Management call in an operator's words; the client's own error holds the whole answer and is left behind.
 * @param scope that the call needs, e.g. `read:clients`
 */
export function explainManagement(error: unknown, doing: string, scope: string): unknown {
  if (error instanceof ManagementTimeoutError)
    return new PosternError('temporarily_unavailable', `Auth0's Management API did not answer in time to ${doing}`, {
      detail: 'Is AUTH0_DOMAIN right?',
    });
  if (!(error instanceof ManagementError)) return error;
  switch (error.statusCode) {
    case 401:
      return new PosternError('access_denied', `Auth0 refuses the Management token`, {
        detail: 'It has ended, or is for another tenant: AUTH0_MGMT_TOKEN needs the audience https://<AUTH0_DOMAIN>/api/v2/.',
      });
    case 403:
      return new PosternError('access_denied', `Auth0 refuses to ${doing}`, { detail: `The Management token needs the scope ${scope}.` });
    case 404:
      return new PosternError('not_found', `Auth0 has nothing there to ${doing}`);
    case 429:
      return new PosternError('too_many_requests', `Auth0 allows no more requests for now`, { detail: 'Try again in a minute.' });
    case undefined:
      return new PosternError('temporarily_unavailable', `Auth0's Management API cannot be reached`, {
        detail: 'Is AUTH0_DOMAIN right, and can this machine reach it?',
      });
    default:
      return new PosternError('temporarily_unavailable', `Auth0 answered ${error.statusCode} when asked to ${doing}`);
  }
}
