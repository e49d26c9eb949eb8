import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BearerVerifier } from '#broker/admin/bearer.ts';
import { Callers } from '#broker/admin/caller.ts';
import type { CallersOptions } from '#broker/admin/caller.ts';
import { Problem } from '#broker/admin/problem.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';

const write = { permission: 'manage:keys', changes: true } as const;
const read = { permission: 'read:keys', changes: false } as const;
const JWT = 'aaaa.bbbb.cccc';

/** Vault and the verifier, answering at once; what they were asked is noted. */
function made(more: Partial<CallersOptions> = {}): { callers: Callers; asked: string[]; clock: { now: number } } {
  const asked: string[] = [];
  const clock = { now: 1_800_000_000_000 };
  const callers = new Callers({
    bearer: {
      verify: async (jwt) => ({
        jwt,
        subject: 'backend@clients',
        permissions: ['manage:keys', 'read:keys'],
        issuedAt: clock.now / 1000,
        expiresAt: clock.now + 3_600_000,
      }),
    },
    login: {
      async login(jwt, role) {
        asked.push(`${role} ${jwt}`);
        return { token: new VaultToken(`token-${asked.length}`), expiresAt: clock.now + 60_000 };
      },
    },
    accessOf: (token) => ({ token }) as unknown as VaultAccess,
    now: () => clock.now,
    ...more,
  });
  return { callers, asked, clock };
}
const tokenOf = (access: VaultAccess): string => (access as unknown as { token: VaultToken }).token.reveal();
const slugOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof Problem ? error.slug : error instanceof PosternError ? error.code : String(error)),
  );

describe('a JWT', () => {
  test('is exchanged once for each role, and remembered less than a minute', async () => {
    const { callers, asked, clock } = made();
    const headers = { authorization: `Bearer ${JWT}` };
    const first = await callers.identify(headers, write);
    expect(first).toMatchObject({ id: 'jwt backend@clients', name: 'backend@clients', by: 'jwt' });
    expect(tokenOf((await callers.identify(headers, write)).access)).toBe(tokenOf(first.access));
    expect(tokenOf((await callers.identify(headers, read)).access)).toBe('token-2');
    expect(asked).toEqual([`write ${JWT}`, `read ${JWT}`]);
    // 10 s before Vault's token ends, so that no request ends with a dead one.
    clock.now += 50_001;
    await callers.identify(headers, write);
    expect(asked).toHaveLength(3);
    await callers.identify({ authorization: `Bearer ${JWT}x` }, write);
    expect(asked).toHaveLength(4);
  });

  test('is not remembered beyond its own end', async () => {
    const { callers, asked, clock } = made();
    const short = made({
      bearer: { verify: async (jwt) => ({ jwt, subject: 's', permissions: ['manage:keys'], issuedAt: 0, expiresAt: clock.now + 5000 }) },
      now: () => clock.now,
    });
    const headers = { authorization: `Bearer ${JWT}` };
    await short.callers.identify(headers, write);
    clock.now += 5001;
    await short.callers.identify(headers, write);
    expect(short.asked).toHaveLength(2);
    expect(asked).toHaveLength(0);
    expect(callers).toBeDefined();
  });

  test('without the permission does not reach Vault', async () => {
    const { callers, asked } = made({
      bearer: {
        verify: async (jwt) => ({
          jwt,
          subject: 's',
          permissions: ['read:keys', 'manage:keys2', 'manage'],
          issuedAt: 0,
          expiresAt: Infinity,
        }),
      },
    });
    expect(await slugOf(callers.identify({ authorization: `Bearer ${JWT}` }, write))).toBe('insufficient-scope');
    expect(asked).toEqual([]);
  });

  test('is refused where none is taken', async () => {
    expect(await slugOf(made({ bearer: undefined }).callers.identify({ authorization: `Bearer ${JWT}` }, read))).toBe('invalid-token');
  });
});

test.each([
  [{}, 'invalid-token'],
  [{ authorization: '' }, 'invalid-token'],
  [{ authorization: `Bearer ${JWT}, Bearer ${JWT}` }, 'invalid-token'],
  [{ authorization: `Bearer ${JWT}`, 'x-vault-token': 'hvs.x' }, 'invalid-token'],
  [{ 'x-vault-token': '' }, 'invalid-token'],
  [{ 'x-vault-token': 'hvs.a, hvs.b' }, 'invalid-token'],
  [{ 'x-vault-token': 'hvs.a\nX' }, 'invalid-token'],
  [{ 'x-vault-token': 'x'.repeat(5000) }, 'invalid-token'],
])('refused before anybody is asked: %j', async (headers, slug) => {
  const { callers, asked } = made({
    accessOf: () => {
      throw new Error('asked');
    },
  });
  expect(await slugOf(callers.identify(headers, write))).toBe(slug);
  expect(asked).toEqual([]);
});

describe('a Vault token', () => {
  const withAnswer = (answer: () => unknown): Callers =>
    made({ accessOf: () => ({ call: async () => answer() }) as unknown as VaultAccess }).callers;

  test('is named by its entity, else by its accessor', async () => {
    const headers = { 'x-vault-token': 'hvs.x' };
    expect(
      await withAnswer(() => ({ data: { display_name: 'oidc-olivia', entity_id: 'e1', accessor: 'a1' } })).identify(headers, write),
    ).toMatchObject({ id: 'vault e1', name: 'oidc-olivia', by: 'vault_token' });
    expect(
      await withAnswer(() => ({ data: { display_name: 'token', entity_id: '', accessor: 'a1' } })).identify(headers, write),
    ).toMatchObject({ id: 'vault a1', name: 'token' });
    expect(await withAnswer(() => ({ data: {} })).identify(headers, write)).toMatchObject({ id: 'vault unknown', name: 'unknown' });
  });

  test('that is dead is wrong; Vault that is away says nothing about it', async () => {
    const refused = (code: 'access_denied' | 'temporarily_unavailable') => () => {
      throw new PosternError(code, 'x');
    };
    expect(await slugOf(withAnswer(refused('access_denied')).identify({ 'x-vault-token': 'hvs.x' }, write))).toBe('invalid-token');
    expect(await slugOf(withAnswer(refused('temporarily_unavailable')).identify({ 'x-vault-token': 'hvs.x' }, write))).toBe(
      'temporarily_unavailable',
    );
  });
});

describe('verification', () => {
  let issuer = '';
  let mode: 'keys' | 'broken' = 'keys';
  let key: Awaited<ReturnType<typeof generateKeyPair>>;
  let fetches = 0;
  const server = createServer((_request, response) => {
    fetches += 1;
    if (mode === 'broken') return void response.writeHead(502).end('<html>');
    void exportJWK(key.publicKey).then((jwk) =>
      response
        .setHeader('Content-Type', 'application/json')
        .end(JSON.stringify({ keys: [{ ...jwk, kid: 'k', alg: 'RS256', use: 'sig' }] })),
    );
  });
  beforeAll(async () => {
    key = await generateKeyPair('RS256');
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  afterAll(() => void server.close());

  const sign = (claims: Record<string, unknown>, header: Record<string, unknown> = {}): Promise<string> => {
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({ iss: issuer, aud: 'admin', sub: 'b@clients', iat: now, exp: now + 60, permissions: ['read:keys'], ...claims })
      .setProtectedHeader({ alg: 'RS256', kid: 'k', ...header })
      .sign(key.privateKey);
  };
  const verifier = (): BearerVerifier => new BearerVerifier({ issuer, audience: 'admin' });

  test('a good one', async () => {
    expect(await verifier().verify(await sign({}))).toMatchObject({ subject: 'b@clients', permissions: ['read:keys'] });
    expect(await verifier().verify(await sign({ permissions: undefined }, { typ: 'at+jwt' }))).toMatchObject({ permissions: [] });
  });

  test('a person has asked for `openid` too, so that Auth0 names its userinfo endpoint beside the API', async () => {
    expect(await verifier().verify(await sign({ aud: ['admin', `${issuer}userinfo`] }))).toMatchObject({ subject: 'b@clients' });
    expect(await slugOf(verifier().verify(await sign({ aud: [`${issuer}userinfo`] })))).toBe('invalid-token');
    expect(await slugOf(verifier().verify(await sign({ aud: ['admin', 'https://elsewhere.example.com/userinfo'] })))).toBe('invalid-token');
  });

  test.each<[string, Record<string, unknown>, Record<string, unknown>?]>([
    ['is of another issuer', { iss: 'https://x/' }],
    ['is of another issuer', { iss: undefined }],
    ['is for another audience', { aud: 'other' }],
    ['is for further audiences too', { aud: ['admin', 'other'] }],
    ['has ended', { exp: 1 }],
    ['has no end', { exp: undefined }],
    ['has no time of issue', { iat: undefined }],
    ['has no subject', { sub: undefined }],
    ['has permissions of another form', { permissions: 'read:keys' }],
    ['has permissions of another form', { permissions: [1] }],
    ["has a typ other than an access token's", {}, { typ: 'logout+jwt' }],
    ["is not signed by this issuer's key", {}, { kid: 'other' }],
  ])('%s', async (why, claims, header) => {
    const jwt = await sign(claims, header);
    const error = await verifier()
      .verify(jwt)
      .catch((error: unknown) => error);
    expect(error).toBeInstanceOf(Problem);
    expect((error as Problem).slug).toBe('invalid-token');
    expect((error as Problem).message).toContain(why);
    expect((error as Problem).message).not.toContain(jwt);
  });

  test("keys that cannot be fetched are nobody's fault", async () => {
    mode = 'broken';
    expect(await slugOf(verifier().verify(await sign({})))).toBe('temporarily_unavailable');
    mode = 'keys';
  });

  test('and are not fetched once for each token that somebody made up, for Auth0 counts that', async () => {
    let now = Date.now();
    const patient = new BearerVerifier({ issuer, audience: 'admin', now: () => now });
    mode = 'broken';
    fetches = 0;
    for (let i = 0; i < 20; i++)
      expect(await slugOf(patient.verify(await sign({}, { kid: `made-up-${i}` })))).toBe('temporarily_unavailable');
    expect(fetches).toBe(1);
    mode = 'keys';
    now += 5_000;
    expect(await patient.verify(await sign({}))).toMatchObject({ subject: 'b@clients' });
    expect(fetches).toBe(2);
  });
});
