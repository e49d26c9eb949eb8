import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { decodeJwt } from 'jose';
import * as client from 'openid-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { APIS, TENANTS } from '#dev/scenario.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { makeCertificates, trustHere } from './certificate.ts';
import { virtualEnvironment } from './virtual-environment.ts';

/* private_key_jwt and token exchange by clients that others wrote: openid-client, Authlib, requests. */

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const VAULT_TOKEN = 'urn:postern:params:oauth:token-type:vault-token';
const PASSWORD = crypto.randomUUID();

const resources = new AsyncDisposableStack();
let house: House;
let replica: LocalReplica;
let caFile: string;
let acme: string;
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pemOf = (key: KeyObject): string => key.export({ type: key.type === 'public' ? 'spki' : 'pkcs8', format: 'pem' }).toString();

beforeAll(async () => {
  registerSecret('userpass password', PASSWORD);
  for (const { privateKey } of [rsa, ec]) registerSecret("client's private key", pemOf(privateKey));
  const certificates = resources.use(await makeCertificates());
  caFile = certificates.caFile;
  trustHere(await readFile(caFile, 'utf8'));
  house = resources.use(await startHouse());
  replica = await house.startReplica({ tls: certificates });
  await house.root.write('sys/auth/workloads', { type: 'userpass' });
  await house.root.write('auth/workloads/users/acme-ci', { password: PASSWORD, token_no_default_policy: true });
  const mounts = (await house.root.read('sys/auth'))?.data as Record<string, { accessor: string }>;
  await house.apply({
    // Known only now: the port is a free one.
    variables: { issuer: replica.issuer },
    tenants: {
      ...TENANTS,
      acme: {
        ...TENANTS.acme,
        workloads: { ci: { accessor: mounts['workloads/']?.accessor ?? '', alias: 'acme-ci' } },
        assertion_keys: [
          { pem: pemOf(rsa.publicKey), kid: 'rsa' },
          { pem: pemOf(ec.publicKey), kid: 'ec' },
        ],
      },
    },
  });
  acme = house.roleIds['acme'] ?? '';
});
afterAll(() => resources.disposeAsync());

async function logIn(): Promise<string> {
  const { auth } = await house.root.write('auth/workloads/login/acme-ci', { password: PASSWORD });
  registerSecret('Vault token', String(auth?.['client_token']));
  return String(auth?.['client_token']);
}

function claimsOf(token: string): unknown {
  registerSecret('access token', token);
  return decodeJwt(token);
}

describe('openid-client', () => {
  const keyOf = (pair: typeof rsa, algorithm: Parameters<typeof crypto.subtle.importKey>[2]) =>
    crypto.subtle.importKey('pkcs8', pair.privateKey.export({ type: 'pkcs8', format: 'der' }), algorithm, false, ['sign']);
  const RS256 = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  const RS384 = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-384' };
  const PS256 = { name: 'RSA-PSS', hash: 'SHA-256' };
  const ES256 = { name: 'ECDSA', namedCurve: 'P-256' };
  const discover = (key: Parameters<typeof client.PrivateKeyJwt>[0]) =>
    client.discovery(new URL(replica.issuer), acme, undefined, client.PrivateKeyJwt(key));

  it.each([
    { alg: 'RS256', pair: rsa, kid: 'rsa', algorithm: RS256 },
    { alg: 'RS384', pair: rsa, kid: 'rsa', algorithm: RS384 },
    { alg: 'PS256', pair: rsa, kid: 'rsa', algorithm: PS256 },
    { alg: 'ES256', pair: ec, kid: 'ec', algorithm: ES256 },
  ])('authenticates by its key, $alg, with a kid and without', async ({ pair, kid, algorithm }) => {
    const key = await keyOf(pair, algorithm);
    for (const given of [key, { key, kid }]) {
      const configuration = await discover(given);
      for (const api of ['orders', 'reports'] as const) {
        const answer = await client.clientCredentialsGrant(configuration, { audience: APIS[api].audience });
        expect(claimsOf(answer.access_token)).toMatchObject({ aud: APIS[api].audience, 'https://postern.dev/tenant': 'acme' });
      }
    }
  });

  it('is refused with a key that is not registered', async () => {
    const configuration = await discover(await keyOf(stranger, ES256));
    const refused = await client.clientCredentialsGrant(configuration, { audience: APIS.orders.audience }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(client.ResponseBodyError);
    expect(refused).toMatchObject({ status: 401, error: 'access_denied', error_description: 'Unauthorized' });
  });

  it('asks about a token and takes it back, by its key', async () => {
    const configuration = await discover(await keyOf(ec, ES256));
    const { access_token: token } = await client.clientCredentialsGrant(configuration, { audience: APIS.reports.audience });
    registerSecret('access token', token);
    expect(await client.tokenIntrospection(configuration, token)).toMatchObject({ active: true, aud: APIS.reports.audience });
    await client.tokenRevocation(configuration, token);
    await expect.poll(async () => (await client.tokenIntrospection(configuration, token)).active).toBe(false);
  });

  it('exchanges a Vault token (RFC 8693)', async () => {
    const configuration = await client.discovery(new URL(replica.issuer), acme, undefined, client.None());
    const answer = await client.genericGrantRequest(configuration, EXCHANGE, {
      subject_token: await logIn(),
      subject_token_type: VAULT_TOKEN,
      audience: APIS.orders.audience,
      scope: 'read:orders',
    });
    expect(answer).toMatchObject({
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      token_type: 'bearer',
      scope: 'read:orders',
    });
    expect(claimsOf(answer.access_token)).toMatchObject({ aud: APIS.orders.audience, 'https://postern.dev/tenant': 'acme' });
  });

  it.each([
    { fault: 'a dead token', parameters: { subject_token: 'hvs.dead', audience: APIS.orders.audience }, error: 'invalid_request' },
    { fault: 'a target that it may not have', parameters: { audience: APIS.payroll.audience }, error: 'invalid_target' },
    { fault: 'a wider scope', parameters: { audience: APIS.orders.audience, scope: 'drop:orders' }, error: 'invalid_scope' },
  ])('is told of $fault', async ({ parameters, error }) => {
    const configuration = await client.discovery(new URL(replica.issuer), acme, undefined, client.None());
    const refused = await client
      .genericGrantRequest(configuration, EXCHANGE, { subject_token: await logIn(), subject_token_type: VAULT_TOKEN, ...parameters })
      .catch((e: unknown) => e);
    expect(refused).toBeInstanceOf(client.ResponseBodyError);
    expect(refused).toMatchObject({ status: 400, error });
  });
});

describe('Python', () => {
  const at = (name: string): string => fileURLToPath(new URL(`python/${name}`, import.meta.url));

  it('Authlib authenticates by its key, and requests exchanges a Vault token', async ({ skip }) => {
    const environment = await virtualEnvironment(at('requirements.txt'));
    if ('missing' in environment) return skip(environment.missing);
    const by = (alg: string, { privateKey }: typeof rsa, more: object = { life: 60 }): object => ({
      client_id: acme,
      alg,
      private_key: pemOf(privateKey),
      audience: APIS.orders.audience,
      ...more,
    });
    const cases = [
      by('RS256', rsa),
      by('ES256', ec),
      by('PS256', rsa),
      by('RS256', rsa, {}),
      by('ES256', stranger),
      { subject_token: await logIn(), audience: APIS.reports.audience },
      { subject_token: 'hvs.dead', audience: APIS.reports.audience },
    ];
    const { stdout } = await execa(join(environment.bin, 'python'), ['-I', at('assertion.py')], {
      input: JSON.stringify({ token_endpoint: `${replica.issuer}oauth/token`, ca_file: caFile, cases }),
      env: { PATH: process.env['PATH'] ?? '' },
      extendEnv: false,
      timeout: 60_000,
    });
    const outcomes = (JSON.parse(stdout) as { token?: string; code?: string }[]).map(({ token, code }) =>
      token === undefined ? code : (claimsOf(token) as Record<string, unknown>)['https://postern.dev/tenant'],
    );
    // The fourth has Authlib's own life of an hour, which is longer than five minutes.
    expect(outcomes).toEqual(['acme', 'acme', 'acme', 'access_denied', 'access_denied', 'acme', 'invalid_request']);
  });
});
