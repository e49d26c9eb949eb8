import { afterEach, expect, test } from 'vitest';
import { HttpServer } from '#broker/http/http-server.ts';
import { basePathOf, metadataRoutes } from '#broker/http/metadata.ts';

const open: HttpServer[] = [];
afterEach(() => Promise.all(open.splice(0).map((server) => server.close(0))));

async function start(issuer: string): Promise<string> {
  const server = new HttpServer({
    routes: metadataRoutes({ issuer, keys: { published: () => ({ keys: [] }) }, jwksMaxAge: 300 }),
    errors: 'auth0',
    basePath: basePathOf(issuer),
  });
  open.push(server);
  return `http://127.0.0.1:${await server.listen('127.0.0.1', 0)}`;
}

test.each([
  '/.well-known/oauth-authorization-server/auth/eu',
  '/.well-known/openid-configuration/auth/eu',
  '/auth/eu/.well-known/openid-configuration',
  '/auth/eu/.well-known/oauth-authorization-server',
  '/.well-known/openid-configuration',
])('an issuer with a path is served at %s (RFC 8414 §3.1)', async (path) => {
  const reply = await fetch(`${await start('https://tokens.example.com/auth/eu/')}${path}`);
  expect(await reply.json()).toMatchObject({
    issuer: 'https://tokens.example.com/auth/eu/',
    token_endpoint: 'https://tokens.example.com/auth/eu/oauth/token',
  });
});

test('what it advertises answers', async () => {
  const base = await start('https://tokens.example.com/auth/eu/');
  const { jwks_uri: keys } = (await (await fetch(`${base}/auth/eu/.well-known/openid-configuration`)).json()) as { jwks_uri: string };
  expect((await fetch(base + new URL(keys).pathname)).status).toBe(200);
  expect((await fetch(`${base}/auth/europe/.well-known/jwks.json`)).status).toBe(404);
});

test('an issuer without one has no further addresses', async () => {
  expect((await fetch(`${await start('https://tokens.example.com/')}/auth/eu/.well-known/jwks.json`)).status).toBe(404);
});
