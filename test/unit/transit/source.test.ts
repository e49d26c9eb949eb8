import { constants, generateKeyPairSync, sign } from 'node:crypto';
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { describe, expect, test } from 'vitest';
import { VaultClient } from '#broker/vault/client.ts';
import { OwnAppRole } from '#broker/vault/own/approle.ts';
import { VaultSession } from '#broker/vault/session.ts';
import { TransitKeys } from '#broker/transit/keys.ts';
import { TransitSource } from '#broker/transit/source.ts';
import { apiOf, grantOf, tenantOf } from '#test/unit/authorization/stage.ts';
import { Loopback } from '#test/unit/vault/loopback.ts';
import type { Received } from '#test/unit/vault/loopback.ts';

const pairs = Array.from({ length: 3 }, () => generateKeyPairSync('rsa', { modulusLength: 2048 }));
const pairOf = (i: number) => pairs[i] as (typeof pairs)[number];

/**
 * Transit as Vault has it: PSS unless PKCS #1 v1.5 is asked for, standard base64 unless JWS is, the newest version unless one is pinned.
 */
class FakeTransit {
  versions = 1;
  minEncryption = 0;
  /** min_decryption_version: older ones are neither listed nor signed with. */
  oldest = 1;
  created = new Date(Date.now() - 86_400_000).toISOString();
  /** Answers a signature in place of Vault's. */
  forge: ((body: Record<string, unknown>) => unknown) | undefined;
  status = 200;
  /** Signs with another pair than the one that is published. */
  shift = 0;
  /** Lists even versions that it won't sign with. */
  listsAll = false;

  readonly answer = ({ url, body }: Received): [number, unknown] => {
    if (url === '/v1/auth/approle-broker/login') return [200, { auth: { client_token: 'own', lease_duration: 3600, renewable: true } }];
    if (url === '/v1/transit/keys/postern') {
      const keys = Object.fromEntries(
        Array.from({ length: this.versions }, (_, i): [number, object] => [
          i + 1,
          {
            creation_time: i === 0 ? this.created : new Date().toISOString(),
            public_key: pairOf(i).publicKey.export({ type: 'spki', format: 'pem' }),
          },
        ]).filter(([version]) => this.listsAll || version >= this.oldest),
      );
      return [200, { data: { type: 'rsa-2048', min_decryption_version: this.oldest, min_encryption_version: this.minEncryption, keys } }];
    }
    if (url !== '/v1/transit/sign/postern/sha2-256') return [404, { errors: [] }];
    if (this.status !== 200) return [this.status, { errors: ['no'] }];
    const wanted = JSON.parse(body) as { input: string; key_version?: number; signature_algorithm?: string; marshaling_algorithm?: string };
    if (this.forge) return [200, { data: { signature: this.forge(wanted) } }];
    const version = wanted.key_version ?? this.versions;
    if (version < this.minEncryption)
      return [
        500,
        { errors: ['1 error occurred:\n\t* requested version for signing is less than the minimum encryption key version\n\n'] },
      ];
    if (version < this.oldest) return [500, { errors: ['1 error occurred:\n\t* no such key version\n\n'] }];
    const key = pairOf(version - 1 + this.shift).privateKey;
    const input = Buffer.from(wanted.input, 'base64');
    const signature =
      wanted.signature_algorithm === 'pkcs1v15'
        ? sign('sha256', input, key)
        : sign('sha256', input, { key, padding: constants.RSA_PKCS1_PSS_PADDING });
    return [
      200,
      { data: { signature: `vault:v${version}:${signature.toString(wanted.marshaling_algorithm === 'jws' ? 'base64url' : 'base64')}` } },
    ];
  };
}

async function stage() {
  const transit = new FakeTransit();
  const server = await Loopback.start(transit.answer);
  const client = new VaultClient({ address: server.origin, timeoutMs: 10_000 });
  const session = new VaultSession({
    client,
    login: new OwnAppRole(client, {
      method: 'approle',
      mount: 'approle-broker',
      roleId: 'r',
      secretId: { from: 's', variable: 'POSTERN_SECRET_ID', wrapped: false },
    }),
  });
  const keys = new TransitKeys({ client, session, mount: 'transit', key: 'postern', jwksMaxAgeMs: 300_000 });
  const source = new TransitSource({ client, session, keys, mount: 'transit', key: 'postern', tenantClaim: 'https://postern.dev/tenant' });
  return {
    transit,
    server,
    keys,
    source,
    verify: async (jwt: string) =>
      jwtVerify(jwt, createLocalJWKSet(await keys.jwks()), {
        issuer: 'https://tokens.example.com/',
        audience: 'https://orders.example.com',
        algorithms: ['RS256'],
      }),
    async [Symbol.asyncDispose]() {
      await client.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

describe('a token', () => {
  test('verifies by the key set, as RS256 with PKCS #1 v1.5', async () => {
    await using s = await stage();
    const token = await s.source.issue(await grantOf());
    const { payload, protectedHeader } = await s.verify(token.reveal());
    expect(protectedHeader).toEqual({ alg: 'RS256', typ: 'JWT', kid: (await s.keys.signing()).kid });
    expect(payload).toMatchObject({
      sub: 'acme-role-id@clients',
      azp: 'acme-role-id',
      gty: 'client-credentials',
      scope: 'read:all write:all',
      'https://postern.dev/tenant': 'acme',
    });
    expect([token.scope, token.issuedAt, token.expiresAt]).toEqual(['read:all write:all', payload.iat, payload.exp]);
  });

  test('pins the version that its kid names, though Vault would sign with a newer one', async () => {
    await using s = await stage();
    s.transit.versions = 2;
    const token = await s.source.issue(await grantOf());
    const { kid } = decodeProtectedHeader(token.reveal());
    expect(kid).toBe((await s.keys.jwks()).keys[0]?.kid);
    await s.verify(token.reveal());
    const asked = JSON.parse(s.server.received.find(({ url }) => url.includes('/sign/'))?.body ?? '{}') as Record<string, unknown>;
    expect(asked).toEqual({ input: expect.any(String), key_version: 1, signature_algorithm: 'pkcs1v15', marshaling_algorithm: 'jws' });
  });

  test('in every dialect, with odd claims', async () => {
    await using s = await stage();
    for (const dialect of ['access_token', 'access_token_authz', 'rfc9068_profile', 'rfc9068_profile_authz']) {
      const token = await s.source.issue(
        await grantOf({
          apis: [apiOf('orders', { dialect })],
          tenant: tenantOf({ claims: { 'https://e.com/n': 'Zoë 𝄞 "\\' }, organization: 'org_1' }),
        }),
      );
      const { payload } = await s.verify(token.reveal());
      expect(payload).toMatchObject({ 'https://e.com/n': 'Zoë 𝄞 "\\', org_id: 'org_1' });
    }
  });

  test("is never made by anybody's wish: the tenant's own data goes only into the signed text", async () => {
    await using s = await stage();
    await s.source.issue(await grantOf({ identity: { clientId: 'x"},"key_version":9' } }));
    expect(
      (JSON.parse(s.server.received.find(({ url }) => url.includes('/sign/'))?.body ?? '{}') as { key_version: number }).key_version,
    ).toBe(1);
  });
});

describe('a signature that does not verify is served to nobody', () => {
  test.each<[string, (s: Awaited<ReturnType<typeof stage>>) => void]>([
    [
      'PSS',
      (s) =>
        (s.transit.forge = (body) =>
          `vault:v1:${sign('sha256', Buffer.from(String(body['input']), 'base64'), { key: pairOf(0).privateKey, padding: constants.RSA_PKCS1_PSS_PADDING }).toString('base64url')}`),
    ],
    ['of another key', (s) => (s.transit.shift = 1)],
    ['empty', (s) => (s.transit.forge = () => 'vault:v1:')],
    ['garbage', (s) => (s.transit.forge = () => 'vault:v1:AAAA.BBBB')],
  ])('%s', async (_what, set) => {
    await using s = await stage();
    set(s);
    await expect(s.source.issue(await grantOf())).rejects.toMatchObject({
      code: 'misconfigured',
      status: 503,
      message: 'Service temporarily unavailable',
    });
  });

  test.each<[string, unknown]>([
    ['of another version', 'vault:v2:AAAA'],
    ['without its prefix', 'AAAA'],
    ['that is missing', undefined],
  ])('%s', async (_what, signature) => {
    await using s = await stage();
    s.transit.forge = () => signature;
    await expect(s.source.issue(await grantOf())).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  });

  test('a key made anew under the same name: refused once, then its own kid', async () => {
    await using s = await stage();
    await s.source.issue(await grantOf());
    pairs.reverse();
    await expect(s.source.issue(await grantOf())).rejects.toMatchObject({ status: 503 });
    const token = await s.source.issue(await grantOf());
    await s.verify(token.reveal());
  });
});

describe("Vault's refusals", () => {
  test.each<[string, (transit: FakeTransit) => void]>([
    ['may sign no longer', (transit) => (transit.minEncryption = 2)],
    ['is retired', (transit) => (transit.oldest = 2)],
  ])('the version %s: the keys are read again, and who asked is served', async (_what, change) => {
    await using s = await stage();
    await s.source.issue(await grantOf());
    s.transit.versions = 2;
    change(s.transit);
    await s.verify((await s.source.issue(await grantOf())).reveal());
    const signed = s.server.received.filter(({ url }) => url.includes('/sign/'));
    expect(signed.map(({ body }) => (JSON.parse(body) as { key_version: number }).key_version)).toEqual([1, 1, 2]);
  });

  test('no version may sign: each request asks for two at most, and none is an outage of Vault', async () => {
    await using s = await stage();
    s.transit.oldest = 2;
    s.transit.listsAll = true;
    await expect(s.source.issue(await grantOf())).rejects.toMatchObject({ code: 'temporarily_unavailable', unasked: undefined });
    expect(s.server.received.filter(({ url }) => url.includes('/sign/'))).toHaveLength(2);
  });

  test.each([403, 429, 500, 503])('%i is an outage, with a time to come again', async (status) => {
    await using s = await stage();
    s.transit.status = status;
    await expect(s.source.issue(await grantOf())).rejects.toMatchObject({ code: 'temporarily_unavailable', retryAfter: 1 });
  });
});
