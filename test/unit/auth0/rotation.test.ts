import { describe, expect, test } from 'vitest';
import { rotateClientSecret } from '#broker/auth0/rotation.ts';
import type { RotationOptions } from '#broker/auth0/rotation.ts';
import { PosternError } from '#broker/error.ts';
import { closedPort, Loopback } from '#test/unit/vault/loopback.ts';
import type { Answer } from '#test/unit/vault/loopback.ts';

const OLD = 'canary-upstream-secret-old';
const NEW = 'canary-upstream-secret-new';
const MANAGEMENT = 'canary-management-token';

interface Auth0 extends AsyncDisposable {
  server: Loopback;
  token: Answer;
  rotate: Answer;
  run(options?: Partial<RotationOptions>): Promise<string>;
}

async function auth0(): Promise<Auth0> {
  const server = await Loopback.start();
  const made: Auth0 = {
    server,
    token: (request) =>
      new URLSearchParams(request.body).get('client_secret') === OLD
        ? [200, { access_token: MANAGEMENT, token_type: 'Bearer', expires_in: 86_400 }]
        : [401, { error: 'access_denied', error_description: 'Unauthorized' }],
    rotate: () => [200, { client_id: 'shared', client_secret: NEW, name: 'shared' }],
    run: (options = {}) =>
      rotateClientSecret({
        issuer: `${server.origin}/`,
        clientId: 'shared',
        management: { clientId: 'rotator', clientSecret: OLD },
        domain: undefined,
        timeoutMs: 1_000,
        ...options,
      }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
  server.answer = (request, response, raw) => (request.url === '/oauth/token' ? made.token : made.rotate)(request, response, raw);
  return made;
}

async function errorOf(run: () => Promise<unknown>): Promise<PosternError> {
  const error: unknown = await run().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof PosternError)) throw new Error('no PosternError');
  expect(`${error.message} ${error.detail} ${error.stack}`).not.toContain('canary');
  expect(error.cause).toBeUndefined();
  return error;
}

describe("an application of its own rotates the shared one's secret", () => {
  test('with a Management token for that scope alone, and once', async () => {
    await using a = await auth0();
    expect(await a.run()).toBe(NEW);
    expect(a.server.received.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'POST /oauth/token',
      'POST /api/v2/clients/shared/rotate-secret',
    ]);
    expect(Object.fromEntries(new URLSearchParams(a.server.received[0]?.body))).toEqual({
      grant_type: 'client_credentials',
      client_id: 'rotator',
      client_secret: OLD,
      audience: `${a.server.origin}/api/v2/`,
      scope: 'update:client_keys',
    });
    expect(a.server.received[1]?.headers.authorization).toBe(`Bearer ${MANAGEMENT}`);
  });

  test.each([
    ['its secret is wrong', { token: [401, { error: 'access_denied' }] }, 'access_denied', /management_client_secret/],
    [
      'it has no client grant for the Management API',
      { token: [403, { error: 'access_denied' }] },
      'access_denied',
      /client grant for the audience http.*\/api\/v2\/ with the scope update:client_keys/,
    ],
    ['Auth0 is busy', { token: [429, {}] }, 'too_many_requests', /minute/],
    ['Auth0 is broken', { token: [503, {}] }, 'temporarily_unavailable', /Nothing has changed/],
    [
      'the scope is missing',
      { rotate: [403, { statusCode: 403, error: 'Forbidden', message: `Insufficient scope ${MANAGEMENT}` }] },
      'access_denied',
      /needs the scope update:client_keys/,
    ],
    ['the application is unknown', { rotate: [404, { statusCode: 404 }] }, 'access_denied', /client_id in config/],
    ['it authenticates otherwise', { rotate: [400, { statusCode: 400 }] }, 'access_denied', /client secret/],
    ['Auth0 is busy at last', { rotate: [429, { statusCode: 429 }] }, 'too_many_requests', /minute/],
    ['Auth0 breaks while it rotates', { rotate: [500, { statusCode: 500 }] }, 'temporarily_unavailable', /dashboard/],
    ['the answer has no secret', { rotate: [200, { client_id: 'shared' }] }, 'temporarily_unavailable', /dashboard/],
  ] as const)(
    '%s: told, and asked once only',
    async (_, { token, rotate }: { token?: readonly [number, unknown]; rotate?: readonly [number, unknown] }, code, detail) => {
      await using a = await auth0();
      if (token) a.token = () => [...token];
      if (rotate) a.rotate = () => [...rotate];
      const error = await errorOf(() => a.run());
      expect({ code: error.code, detail: error.detail }).toEqual({ code, detail: expect.stringMatching(detail) });
      expect(a.server.received.filter(({ url }) => url.includes('rotate-secret')).length).toBeLessThanOrEqual(1);
    },
  );

  test('no answer to the rotation: it may have happened, and that is said', async () => {
    await using a = await auth0();
    a.rotate = () => undefined;
    const error = await errorOf(() => a.run());
    expect(error).toMatchObject({ code: 'temporarily_unavailable', message: expect.stringContaining('may or may not have been rotated') });
  });

  test('nobody there: nothing has changed', async () => {
    const port = await closedPort();
    await using a = await auth0();
    expect(await errorOf(() => a.run({ issuer: `http://127.0.0.1:${port}/` }))).toMatchObject({
      code: 'temporarily_unavailable',
      detail: expect.stringContaining('Nothing has changed'),
    });
  });

  test('the Management token is not carried to where a redirect points', async () => {
    await using a = await auth0();
    await using elsewhere = await Loopback.start();
    a.rotate = () => [307, {}, { Location: `${elsewhere.origin}/` }];
    await errorOf(() => a.run());
    expect(elsewhere.received).toEqual([]);
  });
});
