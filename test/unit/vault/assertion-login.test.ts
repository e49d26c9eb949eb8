import { generateKeyPairSync } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { ClientAssertion } from '#broker/credential/assertion.ts';
import { PosternError } from '#broker/error.ts';
import { VaultAssertionLogin } from '#broker/vault/assertion-login.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { VaultClientKeys } from '#broker/vault/client-keys.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { Kv } from '#broker/vault/kv.ts';
import { KvFixture } from './kv-fixture.ts';
import { NO_ENDS } from './ends.ts';
import { Loopback } from './loopback.ts';
import type { Answer } from './loopback.ts';

const JWT = `${Buffer.from('{"alg":"ES256"}').toString('base64url')}.${Buffer.from('{"sub":"acme-id"}').toString('base64url')}.canary`;
const ASSERTION = ClientAssertion.of(JWT) ?? expect.unreachable();
const pem = (type: 'ec' | 'rsa' | 'weak' | 'p384' | 'ed' | 'private'): string => {
  const pair = {
    ec: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    private: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    p384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    rsa: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
    weak: () => generateKeyPairSync('rsa', { modulusLength: 1024 }),
    ed: () => generateKeyPairSync('ed25519'),
  }[type]();
  return (
    type === 'private' ? pair.privateKey.export({ type: 'pkcs8', format: 'pem' }) : pair.publicKey.export({ type: 'spki', format: 'pem' })
  ).toString();
};

describe('login', () => {
  async function logIn(answer: Answer, forwardAddress = false): Promise<{ outcome: unknown; received: Loopback['received'] }> {
    await using server = await Loopback.start(answer);
    const client = new VaultClient({ address: server.origin, timeoutMs: 10_000 });
    const login = new VaultAssertionLogin({
      client,
      mount: 'postern-assertion',
      forwardAddress,
      announced: NO_ENDS.announced,
      now: () => 1_000_000,
    });
    const outcome = await login
      .login({ tenant: 'acme', clientId: 'acme-id', keys: [] }, ASSERTION, '192.0.2.7')
      .catch((error: unknown) => error);
    await client.close();
    expect(inspect(outcome, { showHidden: true, depth: 9 })).not.toContain('canary');
    return { outcome, received: server.received };
  }
  const auth = { client_token: 'hvb.canary', token_type: 'batch', lease_duration: 300 };

  test("goes to the tenant's own mount, once and without a token of anybody", async () => {
    const { outcome, received } = await logIn(() => [200, { auth }], true);
    expect(outcome).toMatchObject({ tenant: 'acme', clientId: 'acme-id', forwardedFor: '192.0.2.7', expiresAt: 1_000_000 + 295_000 });
    expect(outcome).not.toHaveProperty('lent');
    expect(received).toHaveLength(1);
    expect(received[0]).toMatchObject({ method: 'POST', url: '/v1/auth/postern-assertion/acme/login' });
    expect(received[0]?.headers).not.toHaveProperty('x-vault-token');
    expect(JSON.parse(received[0]?.body ?? '')).toEqual({ role: 'acme', jwt: JWT });
  });

  test.each<[string, [number, unknown], string]>([
    ['Vault finds it wrong', [400, { errors: ['error validating token: error verifying token signature'] }], 'invalid_client'],
    ['no such mount', [403, { errors: ['permission denied'] }], 'misconfigured'],
    ['no such mount, said so', [404, { errors: ['no handler for route'] }], 'misconfigured'],
    ['sealed', [503, { errors: ['Vault is sealed'] }], 'temporarily_unavailable'],
    ['throttled', [429, { errors: ['rate limit quota exceeded'] }], 'temporarily_unavailable'],
    ['a proxy in between', [400, 'Bad Request'], 'temporarily_unavailable'],
    ['no token in the answer', [200, {}], 'temporarily_unavailable'],
    ['a service token', [200, { auth: { ...auth, token_type: 'service' } }], 'misconfigured'],
  ])('%s', async (_what, answer, code) => {
    const { outcome } = await logIn(() => answer);
    expect(outcome).toBeInstanceOf(PosternError);
    expect(outcome).toMatchObject({ code });
  });
});

test("an address that is not the tenant's is told so, where Vault is told the address", async () => {
  await using server = await Loopback.start(() => [403, { errors: ['permission denied'] }]);
  const client = new VaultClient({ address: server.origin, timeoutMs: 300 });
  const login = new VaultAssertionLogin({ client, mount: 'postern-assertion', forwardAddress: true, announced: NO_ENDS.announced });
  await expect(login.login({ tenant: 'acme', clientId: 'acme-id', keys: [] }, ASSERTION, '192.0.2.7')).rejects.toMatchObject({
    code: 'access_denied',
    message: 'Client is not allowed from this address',
  });
  await client.close();
});

describe('registered keys', () => {
  const path = 'postern/data/assertions/acme-id';
  const stage = () => {
    const fixture = new KvFixture('postern');
    return { fixture, keys: new VaultClientKeys(fixture.kv, fixture.session) };
  };

  test("are read with the broker's own token", async () => {
    const { fixture, keys } = stage();
    fixture.set(path, { tenant: 'acme', keys: [{ kid: 'one', pem: pem('ec') }, { kid: null, pem: pem('rsa') }, { pem: pem('rsa') }] });
    const registration = await keys.registrationOf('acme-id');
    expect(registration).toMatchObject({ tenant: 'acme', clientId: 'acme-id' });
    expect(registration?.keys.map(({ kid, key }) => [kid, key.asymmetricKeyType, key.type])).toEqual([
      ['one', 'ec', 'public'],
      [undefined, 'rsa', 'public'],
      [undefined, 'rsa', 'public'],
    ]);
    expect(fixture.calls).toEqual([{ operation: 'read', path, token: 'own', forwardedFor: undefined }]);
  });

  test.each<[string, (key: string) => string]>([
    ['CRLF', (key) => key.replaceAll('\n', '\r\n')],
    ['a comment before it', (key) => `# of the PRIVATE KEY in our safe\n${key}`],
    ['a byte order mark, white space and text after it', (key) => `\uFEFF \n${key}  \nmade in 2026`],
    ['a certificate before it', (key) => `-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n${key}`],
  ])('are read as RFC 7468 asks of parsers: %s', async (_how, written) => {
    const { fixture, keys } = stage();
    fixture.set(path, { tenant: 'acme', keys: [{ pem: written(pem('ec')) }] });
    expect((await keys.registrationOf('acme-id'))?.keys[0]?.key.asymmetricKeyType).toBe('ec');
  });

  test("nobody has none, and a client_id that cannot be in a path is nobody's", async () => {
    const { fixture, keys } = stage();
    expect(await keys.registrationOf('nobody')).toBeUndefined();
    await using server = await Loopback.start();
    const real = new VaultClient({ address: server.origin });
    for (const id of ['..', '.a', '~a', 'a..b'])
      expect(await new VaultClientKeys(new Kv(real, 'postern'), fixture.session).registrationOf(id)).toBeUndefined();
    expect(server.received).toEqual([]);
    await real.close();
  });

  test.each<[string, unknown]>([
    ['no keys', { tenant: 'acme', keys: [] }],
    ['eleven', { tenant: 'acme', keys: Array.from({ length: 11 }, () => ({ pem: pem('ec') })) }],
    ['no tenant', { keys: [{ pem: pem('ec') }] }],
    ['a tenant that climbs', { tenant: '../globex', keys: [{ pem: pem('ec') }] }],
    ['a private key', { tenant: 'acme', keys: [{ pem: pem('private') }] }],
    ['a private key beside its public half', { tenant: 'acme', keys: [{ pem: pem('ec') + pem('private') }] }],
    ['a private key with a comment', { tenant: 'acme', keys: [{ pem: `# PUBLIC KEY\n${pem('private')}` }] }],
    ['two keys in one', { tenant: 'acme', keys: [{ pem: pem('ec') + pem('rsa') }] }],
    ['a weak key', { tenant: 'acme', keys: [{ pem: pem('weak') }] }],
    ['another curve', { tenant: 'acme', keys: [{ pem: pem('p384') }] }],
    ['another kind', { tenant: 'acme', keys: [{ pem: pem('ed') }] }],
    ['no key', { tenant: 'acme', keys: [{ pem: 'x' }] }],
  ])('%s: told to the operator', async (_what, document) => {
    const { fixture, keys } = stage();
    fixture.set(path, document);
    await expect(keys.registrationOf('acme-id')).rejects.toMatchObject({ code: 'misconfigured', message: 'Client is not set up' });
  });

  test.each(['unreachable', 'timeout', 'unavailable', 'denied', 'throttled'] as const)('Vault %s is a 503', async (reason) => {
    const { fixture, keys } = stage();
    fixture.fault = new VaultFault(reason, 'no');
    await expect(keys.registrationOf('acme-id')).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  });
});
