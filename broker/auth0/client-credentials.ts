import * as oauth from 'openid-client';
import type { ClockDifference } from '#broker/clock-difference.ts';

export interface ClientCredentialsRequest {
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
}: ClientCredentialsRequest): Promise<string> {
  const configuration = new oauth.Configuration(
    { issuer, token_endpoint: new URL('oauth/token', issuer).href },
    clientId,
    undefined,
    oauth.ClientSecretPost(clientSecret),
  );
  configuration.timeout = timeoutMs / 1000;
  configuration[oauth.customFetch] = async (url, init) => {
    const begun = performance.now();
    const response = await fetch(url, init as RequestInit);
    clock?.observe(response.headers.get('date'), performance.now() - begun);
    return response;
  };
  if (new URL(issuer).protocol === 'http:') oauth.allowInsecureRequests(configuration);
  return (await oauth.clientCredentialsGrant(configuration, parameters)).access_token;
}

export interface Answer {
  /** undefined: there was no answer. */
  readonly status: number | undefined;
  /** OAuth's `error`, as Auth0 said it. */
  readonly code: string | undefined;
  readonly response: Response | undefined;
}

/** What Auth0 answered, from an error of {@link requestToken}. */
export function answerOf(error: unknown): Answer {
  const { response, cause } = error as { response?: unknown; cause?: unknown };
  const found = [response, cause].find((one): one is Response => one instanceof Response);
  return error instanceof oauth.ResponseBodyError
    ? { status: error.status, code: error.error, response: found }
    : { status: found?.status, code: undefined, response: found };
}
