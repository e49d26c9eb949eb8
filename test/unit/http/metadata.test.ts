import { afterEach, describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { healthRoutes } from '#broker/http/health.ts';
import { metadataRoutes } from '#broker/http/metadata.ts';
import { HttpServer } from '#broker/http/http-server.ts';
import type { KeySet } from '#broker/token/keyset.ts';

const open: HttpServer[] = [];
afterEach(() => Promise.all(open.splice(0).map((server) => server.close(0))));

const KEY = { kty: 'RSA', alg: 'RS256', use: 'sig', kid: 'k1', n: 'n', e: 'AQAB' };

async function stage(jwks: KeySet['jwks'] = () => ({ keys: [KEY] }), missing: string[] = []) {
  const server = new HttpServer({
    errors: 'auth0',
    routes: [
      ...metadataRoutes({ issuer: 'https://tokens.example.com/', keys: { published: jwks }, jwksMaxAge: 300 }),
      ...healthRoutes({ missing: () => missing }),
    ],
  });
  open.push(server);
  const port = await server.listen('127.0.0.1', 0);
  return async (path: string, method = 'GET', headers: Record<string, string> = {}) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers });
    const text = await response.text();
    return {
      status: response.status,
      caching: response.headers.get('cache-control'),
      type: response.headers.get('content-type'),
      body: text === '' ? undefined : (JSON.parse(text) as Record<string, unknown>),
    };
  };
}

describe('discovery', () => {
  test('is one document at both addresses, and its issuer keeps the trailing slash', async () => {
    const get = await stage();
    const openid = await get('/.well-known/openid-configuration');
    expect(openid).toMatchObject({ status: 200, caching: 'public, max-age=300', type: 'application/json' });
    expect(openid.body).toMatchObject({
      issuer: 'https://tokens.example.com/',
      token_endpoint: 'https://tokens.example.com/oauth/token',
      jwks_uri: 'https://tokens.example.com/.well-known/jwks.json',
      grant_types_supported: [
        'client_credentials',
        'urn:ietf:params:oauth:grant-type:token-exchange',
        'urn:ietf:params:oauth:grant-type:jwt-bearer',
      ],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
      token_endpoint_auth_signing_alg_values_supported: ['RS256', 'RS384', 'PS256', 'ES256'],
      introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
      revocation_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
    });
    expect((await get('/.well-known/oauth-authorization-server')).body).toEqual(openid.body);
    expect(await get('/.well-known/openid-configuration', 'HEAD')).toMatchObject({ status: 200, body: undefined });
  });

  test('says only what holds: every address in it is served', async () => {
    const get = await stage();
    const { body } = await get('/.well-known/openid-configuration');
    const addresses = Object.values(body ?? {}).filter((v): v is string => typeof v === 'string' && v.startsWith('https://'));
    for (const address of addresses)
      expect(['/', '/oauth/token', '/oauth/introspect', '/oauth/revoke', '/.well-known/jwks.json']).toContain(new URL(address).pathname);
  });
});

describe('the key set', () => {
  test('may be kept by verifiers for its age', async () => {
    expect(await (await stage())('/.well-known/jwks.json')).toEqual({
      status: 200,
      caching: 'public, max-age=300',
      type: 'application/json',
      body: { keys: [KEY] },
    });
  });

  test('that cannot be read is an error that nobody keeps, and says nothing of why', async () => {
    const get = await stage(() =>
      Promise.reject(new PosternError('temporarily_unavailable', 'Service temporarily unavailable', { detail: 'canary' })),
    );
    const reply = await get('/.well-known/jwks.json');
    expect(reply).toMatchObject({ status: 503, caching: 'no-store' });
    expect(JSON.stringify(reply)).not.toContain('canary');
  });
});

describe('health', () => {
  test('alive and ready', async () => {
    const get = await stage();
    expect(await get('/livez')).toMatchObject({ status: 200, caching: 'no-store', body: { status: 'alive' } });
    expect(await get('/readyz')).toMatchObject({ status: 200, caching: 'no-store', body: { status: 'ready' } });
  });

  test('ready, and what it makes of the address of whoever asks', async () => {
    const get = await stage();
    expect(await get('/readyz')).toMatchObject({ body: { client_address: { forwarded_to_vault: false } } });
    expect((await get('/readyz', 'GET', { 'X-Forwarded-For': '203.0.113.7' })).body?.['client_address']).toEqual({
      forwarded_to_vault: false,
      x_forwarded_for: 'ignored',
    });
  });

  test('alive and not ready, with what is missing', async () => {
    const get = await stage(undefined, ['login to Vault']);
    expect((await get('/livez')).status).toBe(200);
    expect(await get('/readyz')).toMatchObject({
      status: 503,
      caching: 'no-store',
      body: { status: 'not ready', missing: ['login to Vault'] },
    });
  });
});
