import { AuthClient, TokenByClientCredentialsError } from '@auth0/auth0-auth-js';
import { AuthApiError, AuthenticationClient } from 'auth0/legacy';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registerSecret } from '#test/fixture/ledger.ts';
import { APIS, UNKNOWN_AUDIENCE, startStage } from './stage.ts';
import type { Stage } from './stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await startStage();
});
afterAll(() => stage?.[Symbol.asyncDispose]());

const sources = ['orders', 'reports'] as const;

/** What every client must end with: the token of that API, for acme. */
function expectToken(api: (typeof sources)[number], token: string): void {
  registerSecret('access token', token);
  expect(decodeJwt(token)).toMatchObject({ iss: stage.issuerOf(api), aud: APIS[api].audience, 'https://postern.dev/tenant': 'acme' });
}

describe('@auth0/auth0-auth-js, with nothing but its domain changed', () => {
  const client = (clientSecret = stage.acme.client_secret) =>
    new AuthClient({ domain: stage.domain, clientId: stage.acme.client_id, clientSecret });

  it.each(sources)('gets a token for %s', async (api) => {
    const answer = await client().getTokenByClientCredentials({ audience: APIS[api].audience });
    expectToken(api, answer.accessToken);
    expect(answer.scope).toBe(APIS[api].scopes.join(' '));
    // It counts expires_in, which the broker rounds down, from its own now.
    const late = (decodeJwt(answer.accessToken).exp ?? 0) - answer.expiresAt;
    expect(late).toBeGreaterThanOrEqual(0);
    expect(late).toBeLessThan(5);
    // OAuth 2.0 clients compare it without regard to case, and this one lowers it.
    expect(answer.tokenType).toBe('bearer');
  });

  it('tells a wrong secret as its own error', async () => {
    const refused = await client('wrong-secret')
      .getTokenByClientCredentials({ audience: APIS.orders.audience })
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(TokenByClientCredentialsError);
    expect(refused).toMatchObject({
      code: 'token_by_client_credentials_error',
      statusCode: 401,
      cause: { error: 'access_denied', error_description: 'Unauthorized' },
    });
  });

  it('tells an unknown audience as its own error', async () => {
    const refused = await client()
      .getTokenByClientCredentials({ audience: UNKNOWN_AUDIENCE })
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(TokenByClientCredentialsError);
    expect(refused).toMatchObject({
      statusCode: 403,
      cause: { error: 'access_denied', error_description: `Service not enabled within domain: ${UNKNOWN_AUDIENCE}` },
    });
  });
});

describe('AuthenticationClient of auth0/legacy, with nothing but its domain changed', () => {
  const client = (clientSecret = stage.acme.client_secret) =>
    new AuthenticationClient({ domain: stage.domain, clientId: stage.acme.client_id, clientSecret }).oauth;

  it.each(sources)('gets a token for %s', async (api) => {
    const { data, status } = await client().clientCredentialsGrant({ audience: APIS[api].audience });
    expect(status).toBe(200);
    expectToken(api, data.access_token);
    expect(data.token_type).toBe('Bearer');
    expect(Number.isInteger(data.expires_in)).toBe(true);
  });

  it('gets fewer scopes where it asks for fewer', async () => {
    const { data } = await client().clientCredentialsGrant({ audience: APIS.reports.audience, scope: 'read:reports' } as {
      audience: string;
    });
    expectToken('reports', data.access_token);
    expect(decodeJwt(data.access_token)['scope']).toBe('read:reports');
  });

  it.each([
    {
      fault: 'a wrong secret',
      secret: 'wrong-secret',
      audience: APIS.orders.audience,
      expected: { statusCode: 401, error: 'access_denied', error_description: 'Unauthorized' },
    },
    { fault: 'an unknown audience', audience: UNKNOWN_AUDIENCE, expected: { statusCode: 403, error: 'access_denied' } },
    { fault: 'an API without a grant', audience: APIS.payroll.audience, expected: { statusCode: 403, error: 'access_denied' } },
    {
      fault: 'an unknown scope',
      audience: APIS.orders.audience,
      scope: 'drop:orders',
      expected: { statusCode: 400, error: 'invalid_scope', error_description: 'Client has not been granted scopes: drop:orders' },
    },
  ])('tells $fault as its own error', async ({ secret, audience, scope, expected }) => {
    const refused = await client(secret)
      .clientCredentialsGrant({ audience, ...(scope ? { scope } : {}) } as { audience: string })
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(AuthApiError);
    expect(refused).toMatchObject(expected);
  });
});

describe("plain HTTP as in Auth0's documentation", () => {
  const parameters = (audience: string) => ({
    client_id: stage.acme.client_id,
    client_secret: stage.acme.client_secret,
    audience,
    grant_type: 'client_credentials',
  });
  const bodies = {
    JSON: (audience: string) => ({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(parameters(audience)) }),
    form: (audience: string) => ({
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(parameters(audience)).toString(),
    }),
  };
  const ways = (['JSON', 'form'] as const).flatMap((body) => sources.map((api) => ({ body, api })));

  it.each(ways)('gets a token for $api by $body', async ({ body, api }) => {
    const response = await fetch(stage.tokenEndpoint, { method: 'POST', ...bodies[body](APIS[api].audience) });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);
    expect(response.headers.get('cache-control')).toBe('no-store');
    const answer = (await response.json()) as { access_token: string; token_type: string; expires_in: number; scope: string };
    expectToken(api, answer.access_token);
    expect(Object.keys(answer).sort()).toEqual(['access_token', 'expires_in', 'scope', 'token_type']);
    expect(answer.token_type).toBe('Bearer');
    expect(answer.scope).toBe(APIS[api].scopes.join(' '));
    const remaining = (decodeJwt(answer.access_token).exp ?? 0) - Date.now() / 1000;
    expect(Math.abs(answer.expires_in - remaining)).toBeLessThan(2);
  });
});
