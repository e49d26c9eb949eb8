import { readFile } from 'node:fs/promises';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startAuth0 } from '#dev/auth0.ts';
import { startControl } from '#dev/auth0/control.ts';
import type { Auth0StandIn } from '#dev/auth0.ts';
import { registerSecret } from '#test/fixture/ledger.ts';

const CLIENT = 'shared-m2m-application';
const SECRET = 'stand-in-test-secret-5c1b7f0d9a';
const ORDERS = 'https://orders.example.com';
registerSecret('auth0-client-secret', SECRET);

let auth0: Auth0StandIn;

beforeEach(async () => {
  auth0 = await startAuth0({
    account: {
      clients: [
        { id: CLIENT, secrets: [SECRET], grantTypes: ['client_credentials'] },
        { id: 'people-only', secrets: [SECRET], grantTypes: ['authorization_code'], callbacks: ['http://127.0.0.1:1/callback'] },
        {
          id: 'page',
          secrets: [],
          grantTypes: ['authorization_code'],
          callbacks: ['http://127.0.0.1:1/page'],
          webOrigins: ['http://127.0.0.1:1'],
          logoutUrls: ['http://127.0.0.1:1/bye'],
          people: ['auth0|2'],
        },
      ],
      apis: [
        { audience: ORDERS, scopes: ['read:orders', 'write:orders', 'delete:orders'] },
        { audience: 'https://rich.example.com', scopes: ['read:rich'], lifetime: 600, dialect: 'access_token_authz' },
        { audience: 'https://rfc.example.com', scopes: ['read:rfc'], dialect: 'rfc9068_profile_authz' },
        { audience: 'https://ungranted.example.com', scopes: ['read:x'] },
      ],
      grants: [
        { clientId: CLIENT, audience: ORDERS, scopes: ['read:orders', 'write:orders'], organizationUsage: 'allow' },
        { clientId: CLIENT, audience: 'https://rich.example.com', scopes: ['read:rich'] },
        { clientId: CLIENT, audience: 'https://rfc.example.com', scopes: ['read:rfc'] },
      ],
      organizations: [
        { id: 'org_acme', name: 'acme', clients: [CLIENT] },
        { id: 'org_other', name: 'other' },
      ],
      people: [
        { id: 'auth0|1', email: 'op@example.com', name: 'Op', claims: { 'https://postern.dev/roles': ['operator'] } },
        {
          id: 'auth0|2',
          email: 'uma@example.com',
          name: 'Uma',
          permissions: { 'https://rich.example.com': ['read:rich'] },
          organizations: ['org_acme'],
        },
      ],
    },
  });
});
afterEach(() => auth0.stop());

type Body = Record<string, unknown> & { access_token?: string };

async function post(parameters: Record<string, string>, init: { headers?: Record<string, string>; json?: boolean } = {}) {
  const response = await fetch(`${auth0.issuer}oauth/token`, {
    method: 'POST',
    headers: { 'Content-Type': init.json ? 'application/json' : 'application/x-www-form-urlencoded', ...init.headers },
    body: init.json ? JSON.stringify(parameters) : new URLSearchParams(parameters).toString(),
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Body };
}

const good = { grant_type: 'client_credentials', client_id: CLIENT, client_secret: SECRET, audience: ORDERS };

async function verified(token: string, audience: string) {
  const jwks = createRemoteJWKSet(new URL(`${auth0.issuer}.well-known/jwks.json`));
  return jwtVerify(token, jwks, { issuer: auth0.issuer, audience, algorithms: ['RS256'] });
}

describe('a token', () => {
  test.each([
    ['form, post', good, {}],
    ['JSON, post', good, { json: true }],
    [
      'form, Basic',
      { grant_type: 'client_credentials', audience: ORDERS },
      { headers: { Authorization: `Basic ${Buffer.from(`${CLIENT}:${SECRET}`).toString('base64')}` } },
    ],
  ])('has Auth0 claims: %s', async (_name, parameters, init) => {
    const { status, body, headers } = await post(parameters, init);
    expect(status).toBe(200);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(Object.keys(body).sort()).toEqual(['access_token', 'expires_in', 'scope', 'token_type']);
    expect(body).toMatchObject({ token_type: 'Bearer', expires_in: 86_400, scope: 'read:orders write:orders' });
    const { payload, protectedHeader } = await verified(body.access_token as string, ORDERS);
    expect(protectedHeader).toEqual({ alg: 'RS256', typ: 'JWT', kid: expect.any(String) });
    expect(payload).toEqual({
      iss: auth0.issuer,
      sub: `${CLIENT}@clients`,
      aud: ORDERS,
      iat: expect.any(Number),
      exp: (payload.iat as number) + 86_400,
      azp: CLIENT,
      gty: 'client-credentials',
      scope: 'read:orders write:orders',
    });
  });

  test('holds a subset of scopes when asked', async () => {
    const { body } = await post({ ...good, scope: 'write:orders' });
    expect(body['scope']).toBe('write:orders');
    expect(decodeJwt(body.access_token as string)['scope']).toBe('write:orders');
  });

  test('lists permissions in the _authz dialect and lives as long as its API says', async () => {
    const { body } = await post({ ...good, audience: 'https://rich.example.com' });
    expect(body['expires_in']).toBe(600);
    expect(decodeJwt(body.access_token as string)).toMatchObject({ permissions: ['read:rich'], azp: CLIENT });
  });

  test('follows RFC 9068 in that dialect', async () => {
    const { body } = await post({ ...good, audience: 'https://rfc.example.com' });
    const token = body.access_token as string;
    expect(decodeProtectedHeader(token).typ).toBe('at+jwt');
    const claims = decodeJwt(token);
    expect(claims).toMatchObject({ client_id: CLIENT, jti: expect.any(String), permissions: ['read:rfc'] });
    expect(claims).not.toHaveProperty('azp');
    expect(claims).not.toHaveProperty('gty');
  });

  test.each(['org_acme', 'acme'])('carries the organization named as %s', async (organization) => {
    const { body } = await post({ ...good, organization });
    expect(decodeJwt(body.access_token as string)['org_id']).toBe('org_acme');
  });
});

describe('the Action', () => {
  test('sets its claim from the body, never sees the secret, and cannot touch a reserved claim', async () => {
    auth0.account.action = `exports.onExecuteCredentialsExchange = async (event, api) => {
      api.accessToken.setCustomClaim('https://postern.dev/tenant', event.request.body.postern_tenant);
      api.accessToken.setCustomClaim('https://postern.dev/saw', Object.keys(event.request.body).join(' '));
      api.accessToken.setCustomClaim('sub', 'somebody else');
    };`;
    const { body } = await post({ ...good, postern_tenant: 'acme' });
    const claims = decodeJwt(body.access_token as string);
    expect(claims['https://postern.dev/tenant']).toBe('acme');
    expect(claims['https://postern.dev/saw']).not.toContain('secret');
    expect(claims.sub).toBe(`${CLIENT}@clients`);
  });

  test('can refuse', async () => {
    auth0.account.action =
      `exports.onExecuteCredentialsExchange = async (event, api) => { api.access.deny('invalid_request', ` + `'no tenant'); };`;
    expect(await post(good)).toMatchObject({ status: 400, body: { error: 'invalid_request', error_description: 'no tenant' } });
  });

  describe('that Terraform installs', () => {
    beforeEach(async () => {
      auth0.account.action = await readFile('terraform/modules/auth0/action.js', 'utf8');
      auth0.account.clients[0]!.metadata = { postern: 'broker' };
    });

    test('binds the token to the tenant that the broker names', async () => {
      const { body } = await post({ ...good, postern_tenant: 'acme' }, { json: true });
      expect(decodeJwt(body.access_token as string)['https://postern.dev/tenant']).toBe('acme');
    });

    test.each([
      ['without a tenant', {}],
      ['with an empty one', { postern_tenant: '' }],
      ['with a malformed one', { postern_tenant: 'acme/../globex' }],
    ])('refuses a token %s', async (_name, more: Record<string, string>) => {
      const { status, body } = await post({ ...good, ...more });
      expect(status).toBe(400);
      expect(body['error']).toBe('invalid_request');
      expect(body).not.toHaveProperty('access_token');
    });

    test('leaves other applications alone', async () => {
      auth0.account.clients[0]!.metadata = {};
      const { status, body } = await post({ ...good, postern_tenant: 'acme' });
      expect(status).toBe(200);
      expect(decodeJwt(body.access_token as string)).not.toHaveProperty('https://postern.dev/tenant');
    });
  });

  test('that throws is a 500, and no token', async () => {
    auth0.account.action = `exports.onExecuteCredentialsExchange = async () => { throw new Error('boom'); };`;
    const { status, body } = await post(good);
    expect(status).toBe(500);
    expect(body).not.toHaveProperty('access_token');
  });
});

describe('refused as Auth0 refuses', () => {
  test.each([
    ['wrong secret', { ...good, client_secret: 'no' }, 401, 'access_denied', 'Unauthorized'],
    ['unknown client', { ...good, client_id: 'no' }, 401, 'access_denied', 'Unauthorized'],
    ['no grant type', { client_id: CLIENT, client_secret: SECRET }, 400, 'invalid_request', 'Missing required parameter: grant_type'],
    ['grant type unknown', { ...good, grant_type: 'magic' }, 403, 'unsupported_grant_type', 'Unsupported grant type: magic'],
    [
      'grant type not enabled',
      { ...good, client_id: 'people-only' },
      403,
      'unauthorized_client',
      "Grant type 'client_credentials' not allowed for the client.",
    ],
    [
      'no audience',
      { ...good, audience: '' },
      403,
      'access_denied',
      'No audience parameter was provided, and no default audience has been configured',
    ],
    [
      'unknown API',
      { ...good, audience: 'https://no.example.com' },
      403,
      'access_denied',
      'Service not enabled within domain: https://no.example.com',
    ],
    [
      'no client grant',
      { ...good, audience: 'https://ungranted.example.com' },
      403,
      'access_denied',
      `Client "${CLIENT}" is not authorized to access resource server "https://ungranted.example.com". You ` +
        'need to create a "client-grant" associated to this API.',
    ],
    [
      'scope not granted',
      { ...good, scope: 'read:orders delete:orders' },
      403,
      'access_denied',
      'Client has not been granted scopes: delete:orders',
    ],
    [
      'organization not allowed',
      { ...good, audience: 'https://rich.example.com', organization: 'org_acme' },
      400,
      'invalid_request',
      'parameter organization is not allowed for this client',
    ],
    ['organization unknown', { ...good, organization: 'org_no' }, 400, 'invalid_request', 'parameter organization is invalid'],
    [
      'organization not associated',
      { ...good, organization: 'org_other' },
      403,
      'access_denied',
      `Client "${CLIENT}" is not authorized to access organization "org_other"`,
    ],
  ])('%s', async (_name, parameters: Record<string, string>, status, error, description) => {
    const answer = await post(parameters);
    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject({ error, error_description: description });
    expect(answer.body).not.toHaveProperty('access_token');
  });

  test.each([
    ['malformed JSON', 'application/json', '{'],
    ['a JSON array', 'application/json', '[]'],
    ['an object as a parameter', 'application/json', '{"grant_type":{"$ne":1}}'],
    ['a parameter twice', 'application/x-www-form-urlencoded', 'grant_type=a&grant_type=b'],
    ['another content type', 'text/plain', 'grant_type=client_credentials'],
    ['an empty body', 'application/json', ''],
  ])('%s', async (_name, type, body) => {
    const response = await fetch(`${auth0.issuer}oauth/token`, { method: 'POST', headers: { 'Content-Type': type }, body });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: 'invalid_request' });
  });
});

describe('trouble on demand', () => {
  test('429 with Retry-After and the limit, as often as asked', async () => {
    auth0.faults.set({ kind: 'rate_limit', retryAfter: 7 }, { times: 1 });
    const { status, headers, body } = await post(good);
    expect(status).toBe(429);
    expect(body['error']).toBe('too_many_requests');
    expect(headers.get('retry-after')).toBe('7');
    expect(headers.get('x-ratelimit-remaining')).toBe('0');
    expect(Number(headers.get('x-ratelimit-reset')) - Date.now() / 1_000).toBeGreaterThan(5);
    expect((await post(good)).status).toBe(200);
  });

  test('a real limit, when one is set', async () => {
    await using limited = await startAuth0({ account: auth0.account, rate: { requests: 2, seconds: 60 } });
    const statuses: number[] = [];
    for (let i = 0; i < 3; i += 1) {
      const response = await fetch(`${limited.issuer}oauth/token`, { method: 'POST', body: new URLSearchParams(good) });
      statuses.push(response.status);
      expect(response.headers.get('x-ratelimit-limit')).toBe('2');
    }
    expect(statuses).toEqual([200, 200, 429]);
  });

  test('a proxy error, a hang, a cut connection, a delay', async () => {
    auth0.faults.set({ kind: 'status', status: 502 }, { times: 1 });
    const response = await fetch(`${auth0.issuer}oauth/token`, { method: 'POST', body: new URLSearchParams(good) });
    expect(response.status).toBe(502);
    expect(response.headers.get('content-type')).toBe('text/html');

    auth0.faults.set({ kind: 'hang' }, { times: 1 });
    const hanging = fetch(`${auth0.issuer}oauth/token`, {
      method: 'POST',
      body: new URLSearchParams(good),
      signal: AbortSignal.timeout(100),
    });
    await expect(hanging).rejects.toMatchObject({ name: 'TimeoutError' });

    auth0.faults.set({ kind: 'reset' }, { times: 1 });
    await expect(post(good)).rejects.toThrow('fetch failed');

    auth0.faults.set({ kind: 'delay', milliseconds: 120 }, { times: 1 });
    const before = performance.now();
    expect((await post(good)).status).toBe(200);
    expect(performance.now() - before).toBeGreaterThan(110);
  });

  test('a token bound to the wrong tenant', async () => {
    auth0.faults.set({ kind: 'claims', claims: { 'https://postern.dev/tenant': 'globex', azp: undefined } }, { times: 1 });
    const claims = decodeJwt((await post(good)).body.access_token as string);
    expect(claims['https://postern.dev/tenant']).toBe('globex');
    expect(claims).not.toHaveProperty('azp');
  });

  test('faults of one endpoint leave the others alone, and every call is counted', async () => {
    auth0.faults.set({ kind: 'status', status: 503 }, { endpoint: 'jwks' });
    expect((await fetch(`${auth0.issuer}.well-known/jwks.json`)).status).toBe(503);
    expect((await post(good)).status).toBe(200);
    auth0.faults.clear();
    expect((await fetch(`${auth0.issuer}.well-known/jwks.json`)).status).toBe(200);
    expect(auth0.calls).toMatchObject({ jwks: 2, token: 1 });
  });
});

test('another program sets faults and reads the counts by HTTP, on a port of its own', async () => {
  const control = await startControl(auth0);
  const put = (body: unknown) => fetch(`${control.address}/faults`, { method: 'PUT', body: JSON.stringify(body) });
  expect((await put({ fault: { kind: 'status', status: 503 }, times: 1 })).status).toBe(204);
  const exchange = () => fetch(`${auth0.issuer}oauth/token`, { method: 'POST', body: new URLSearchParams(good) });
  expect((await exchange()).status).toBe(503);
  await put({ fault: { kind: 'rate_limit' } });
  expect((await fetch(`${control.address}/faults`, { method: 'DELETE' })).status).toBe(204);
  expect((await exchange()).status).toBe(200);
  expect(await (await fetch(`${control.address}/calls`)).json()).toMatchObject({ token: 2 });
  expect((await fetch(`${control.address}/keys/rotate`, { method: 'POST' })).status).toBe(204);
  expect((await fetch(`${control.address}/no`)).status).toBe(404);
  expect((await fetch(`${auth0.issuer}calls`)).status).toBe(404);
  await control.stop();
});

describe('keys and metadata', () => {
  test('a rotation keeps the previous key; the one before it goes', async () => {
    const first = (await post(good)).body.access_token as string;
    await auth0.rotateKeys();
    const second = (await post(good)).body.access_token as string;
    expect(decodeProtectedHeader(second).kid).not.toBe(decodeProtectedHeader(first).kid);
    await verified(first, ORDERS);
    await verified(second, ORDERS);
    await auth0.rotateKeys();
    await expect(verified(first, ORDERS)).rejects.toMatchObject({ code: 'ERR_JWKS_NO_MATCHING_KEY' });
    const jwks = (await (await fetch(`${auth0.issuer}.well-known/jwks.json`)).json()) as { keys: Record<string, string>[] };
    expect(jwks.keys).toHaveLength(3);
    for (const key of jwks.keys) expect(Object.keys(key).sort()).toEqual(['alg', 'e', 'kid', 'kty', 'n', 'use']);
  });

  test.each(['openid-configuration', 'oauth-authorization-server'])('%s', async (name) => {
    const metadata = await (await fetch(`${auth0.issuer}.well-known/${name}`)).json();
    expect(metadata).toMatchObject({
      issuer: auth0.issuer,
      token_endpoint: `${auth0.issuer}oauth/token`,
      jwks_uri: `${auth0.issuer}.well-known/jwks.json`,
      authorization_endpoint: `${auth0.issuer}authorize`,
    });
  });
});

describe('a person logs in', () => {
  const authorize = (parameters: Record<string, string>) =>
    fetch(
      `${auth0.issuer}authorize?${new URLSearchParams({ client_id: 'people-only', response_type: 'code', redirect_uri: 'http://127.0.0.1:1/callback', nonce: 'n-1', state: 's-1', ...parameters })}`,
      { redirect: 'manual' },
    );
  const redeem = (code: string, more: Record<string, string> = {}) =>
    post({
      grant_type: 'authorization_code',
      client_id: 'people-only',
      client_secret: SECRET,
      redirect_uri: 'http://127.0.0.1:1/callback',
      code,
      ...more,
    });

  test('and gets an ID token with the roles claim, and userinfo', async () => {
    const callback = new URL((await authorize({})).headers.get('location') as string);
    expect(callback.searchParams.get('state')).toBe('s-1');
    const code = callback.searchParams.get('code') as string;
    const { status, body } = await redeem(code);
    expect(status).toBe(200);
    const { payload } = await verified(body['id_token'] as string, 'people-only');
    expect(payload).toMatchObject({ sub: 'auth0|1', nonce: 'n-1', email: 'op@example.com', 'https://postern.dev/roles': ['operator'] });
    const userinfo = await fetch(`${auth0.issuer}userinfo`, { headers: { Authorization: `Bearer ${body.access_token}` } });
    expect(await userinfo.json()).toMatchObject({ sub: 'auth0|1' });
    // A code serves once.
    expect(await redeem(code)).toMatchObject({ status: 403, body: { error: 'invalid_grant' } });
  });

  test.each([
    ['an unknown client', { client_id: 'no' }, 400],
    ['a callback not on the list', { redirect_uri: 'http://evil.example/' }, 403],
    ['an unknown person', { login_hint: 'no@example.com' }, 403],
  ])('%s is refused', async (_name, parameters, status) => {
    const response = await authorize(parameters);
    expect(response.status).toBe(status);
    expect(response.headers.get('location')).toBeNull();
  });

  test('a code for another callback or secret is refused', async () => {
    const code = new URL((await authorize({})).headers.get('location') as string).searchParams.get('code') as string;
    expect((await redeem(code, { client_secret: 'no' })).status).toBe(401);
    expect((await redeem(code, { redirect_uri: 'http://127.0.0.1:1/other' })).status).toBe(403);
  });

  test('nobody is at userinfo without a good token', async () => {
    expect((await fetch(`${auth0.issuer}userinfo`)).status).toBe(401);
  });

  describe('in a page, without a secret', () => {
    const verifier = 'a-code-verifier-of-at-least-forty-three-characters';
    const page = async (parameters: Record<string, string> = {}) =>
      authorize({
        client_id: 'page',
        redirect_uri: 'http://127.0.0.1:1/page',
        code_challenge: Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(verifier))).toString('base64url'),
        code_challenge_method: 'S256',
        audience: 'https://rich.example.com',
        scope: 'openid read:rich write:rich',
        ...parameters,
      });
    const exchange = (code: string, more: Record<string, string> = {}) =>
      post(
        {
          grant_type: 'authorization_code',
          client_id: 'page',
          redirect_uri: 'http://127.0.0.1:1/page',
          code,
          code_verifier: verifier,
          ...more,
        },
        { headers: { Origin: 'http://127.0.0.1:1' } },
      );
    const codeOf = (response: Response) => new URL(response.headers.get('location') as string).searchParams.get('code') as string;

    test('the access token has the API and the userinfo endpoint as audiences, the permissions, the organization', async () => {
      const { status, body, headers } = await exchange(codeOf(await page({ organization: 'org_acme' })));
      expect([status, headers.get('access-control-allow-origin')]).toEqual([200, '*']);
      const { payload } = await verified(body.access_token as string, 'https://rich.example.com');
      expect(payload).toMatchObject({
        sub: 'auth0|2',
        aud: ['https://rich.example.com', `${auth0.issuer}userinfo`],
        azp: 'page',
        scope: 'openid read:rich',
        permissions: ['read:rich'],
        org_id: 'org_acme',
        exp: (payload.iat ?? 0) + 600,
      });
      expect((await verified(body['id_token'] as string, 'page')).payload).toMatchObject({ nonce: 'n-1', org_id: 'org_acme' });
    });

    test('PKCE counts', async () => {
      expect((await page({ code_challenge_method: 'plain' })).status).toBe(400);
      const code = codeOf(await page());
      expect((await exchange(code, { code_verifier: `${verifier}x` })).status).not.toBe(200);
    });

    test.each([
      ['an unknown API', { audience: 'https://no.example.com' }],
      ['an organization of others', { organization: 'org_other' }],
      ['a person of another application', { login_hint: 'op@example.com' }],
    ])('%s is refused', async (_name, parameters) => {
      expect((await page(parameters)).status).toBe(403);
    });

    test('only pages of the list may call, and logout goes nowhere else', async () => {
      const preflight = (origin: string) => fetch(`${auth0.issuer}oauth/token`, { method: 'OPTIONS', headers: { Origin: origin } });
      expect((await preflight('http://127.0.0.1:1')).headers.get('access-control-allow-origin')).toBe('http://127.0.0.1:1');
      expect((await preflight('http://127.0.0.1:2')).headers.get('access-control-allow-origin')).toBeNull();
      const logout = (returnTo: string) =>
        fetch(`${auth0.issuer}v2/logout?${new URLSearchParams({ client_id: 'page', returnTo })}`, { redirect: 'manual' });
      expect((await logout('http://127.0.0.1:1/bye')).headers.get('location')).toBe('http://127.0.0.1:1/bye');
      expect((await logout('http://evil.example/')).status).toBe(400);
    });
  });
});
