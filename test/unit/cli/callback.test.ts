import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { listenForCallback } from '#cli/command/login/callback.ts';
import type { CallbackListener } from '#cli/command/login/callback.ts';

let port: number;
let listener: CallbackListener;
const controller = new AbortController();

beforeEach(async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  ({ port } = server.address() as AddressInfo);
  await new Promise((resolve) => server.close(resolve));
  listener = await listenForCallback(port);
});
afterEach(() => listener.close());

function get(path: string, options: { host?: string; method?: string } = {}): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, method: options.method ?? 'GET', headers: { host: options.host ?? `localhost:${port}` } })
      .on('error', reject)
      .on('response', (response) => {
        let body = '';
        response
          .setEncoding('utf8')
          .on('data', (text: string) => (body += text))
          .on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      })
      .end();
  });
}

test('only the call with the state that Vault gave counts; others end nothing', async () => {
  const next = listener.next('right', controller.signal);
  expect(await get('/oidc/callback?state=wrong&code=stolen')).toMatchObject({ status: 400 });
  expect(await get('/oidc/callback?code=stolen')).toMatchObject({ status: 400 });
  expect(await get('/oidc/callback?state=wrong&error=access_denied')).toMatchObject({ status: 400 });
  expect(await get('/oidc/callback?state=right&code=x', { host: 'evil.example.com' })).toMatchObject({ status: 404 });
  expect(await get('/oidc/callback?state=right&code=x', { method: 'POST' })).toMatchObject({ status: 404 });
  expect(await get('/?state=right&code=x')).toMatchObject({ status: 404 });
  const page = get('/oidc/callback?state=right&code=good');
  const { callback, answer } = await next;
  expect(callback).toEqual({ state: 'right', code: 'good' });
  await answer('done');
  expect(await page).toMatchObject({ status: 200, body: expect.stringContaining('You are logged in') });
  // Spent.
  expect(await get('/oidc/callback?state=right&code=again')).toMatchObject({ status: 400 });
});

test("the issuer's refusal is told, without what would move the cursor", async () => {
  const next = listener.next('right', controller.signal);
  const told = expect(next).rejects.toThrow('Auth0 does not let you in: user is ?[2Jblocked');
  expect(await get('/oidc/callback?state=right&error=unauthorized&error_description=user%20is%20%1b%5B2Jblocked')).toMatchObject({
    status: 403,
  });
  await told;
});

test('a taken port is said, with what to do', async () => {
  await expect(listenForCallback(port)).rejects.toMatchObject({
    code: 'temporarily_unavailable',
    message: expect.stringContaining(`port ${port}`),
  });
});

test('an interruption ends the wait', async () => {
  const stop = new AbortController();
  const next = listener.next('right', stop.signal);
  stop.abort(new Error('interrupted'));
  await expect(next).rejects.toThrow('interrupted');
});
