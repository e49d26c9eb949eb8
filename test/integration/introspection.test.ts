import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VaultToken } from '#broker/credential/identity.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { disableTenant, enableTenant } from '#broker/operator/tenant/disable.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { APIS, TENANTS } from '#dev/scenario.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica, Reply } from '#test/fixture/broker.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';

/** One of each source. */
const AUDIENCES = { transit: APIS.reports.audience, auth0: APIS.orders.audience } as const;
const SOURCES = ['transit', 'auth0'] as const;
/** Replicas of one fleet have one issuer. */
const FLEET = { env: { POSTERN_ISSUER: 'https://tokens.example.com/', POSTERN_REVOCATIONS_PER_MINUTE: '1000' } };
const INACTIVE = '{"active":false}';

let house: House;
let replicas: LocalReplica[];
let first: LocalReplica;
let client: VaultClient;
let operator: VaultAccess;
let acme: Credential;
let globex: Credential;
/** Serves reports, and has no grant of its own. */
let service: Credential;

beforeAll(async () => {
  const reader = { grants: [{ api: 'reports', scopes: ['read:reports'] }] };
  house = await startHouse({
    tenants: {
      ...TENANTS,
      'reports-service': { introspects: ['reports', 'orders'] },
      hasty: reader,
      stopped: { grants: TENANTS.acme.grants },
    },
  });
  replicas = await Promise.all([house.startReplica(FLEET), house.startReplica(FLEET), house.startReplica(FLEET)]);
  first = replicas[0]!;
  [acme, globex, service] = await Promise.all([
    house.issueSecret('acme'),
    house.issueSecret('globex'),
    house.issueSecret('reports-service'),
  ]);
  client = new VaultClient({ address: house.vault.address });
  operator = new VaultAccess({ client, token: new VaultToken(await vaultToken(house, 'postern-operator')) });
});
afterAll(async () => {
  await client.close();
  await house.stop();
});

async function present(
  replica: LocalReplica,
  endpoint: 'introspect' | 'revoke',
  { client_id, client_secret }: Credential,
  token: string,
): Promise<Pick<Reply, 'status' | 'text' | 'body'> & { retryAfter: number }> {
  const response = await fetch(`${replica.issuer}oauth/${endpoint}`, {
    method: 'POST',
    body: new URLSearchParams({ client_id, client_secret, token }),
    redirect: 'error',
  });
  const text = await response.text();
  return {
    status: response.status,
    text,
    body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
    retryAfter: Number(response.headers.get('retry-after')),
  };
}

async function tokenOf(credential: Credential, audience: string, replica = first): Promise<string> {
  const { body, text } = await exchange(replica, credential, { audience });
  if (typeof body['access_token'] !== 'string') throw new Error(`no token: ${text}`);
  return body['access_token'];
}

/** Whether each replica takes it for active. */
const active = (token: string, credential = acme): Promise<boolean[]> =>
  Promise.all(
    replicas.map(async (replica) => {
      const { status, text, body } = await present(replica, 'introspect', credential, token);
      if (status !== 200 || (body['active'] !== true && text !== INACTIVE)) throw new Error(`introspection answers ${status} ${text}`);
      return body['active'] === true;
    }),
  );

/** @returns ms until every replica says so */
async function untilActive(wanted: boolean, token: string, credential = acme): Promise<number> {
  const start = performance.now();
  while ((await active(token, credential)).some((is) => is !== wanted)) {
    if (performance.now() - start > 10_000) throw new Error(`after 10 s not every replica says active: ${wanted}`);
    await sleep(10);
  }
  return performance.now() - start;
}

const revoke = async (token: string, credential = acme, replica = first): Promise<void> => {
  expect(await present(replica, 'revoke', credential, token)).toMatchObject({ status: 200, text: '' });
};

describe.each(SOURCES)('a token of source %s', (source) => {
  const audience = AUDIENCES[source];

  test('is active for its tenant and for whoever serves its API, and for nobody else', async () => {
    const token = await tokenOf(acme, audience);
    const { status, body } = await present(first, 'introspect', acme, token);
    expect(status).toBe(200);
    expect(body).toEqual({
      active: true,
      scope: source === 'transit' ? 'read:reports' : 'read:orders write:orders',
      client_id: source === 'transit' ? acme.client_id : 'postern-shared-m2m',
      token_type: 'Bearer',
      iat: expect.any(Number),
      exp: Number(body['iat']) + (source === 'transit' ? 3_600 : 86_400),
      sub: source === 'transit' ? `${acme.client_id}@clients` : 'postern-shared-m2m@clients',
      aud: audience,
      iss: source === 'transit' ? 'https://tokens.example.com/' : house.auth0.issuer,
      'https://postern.dev/tenant': 'acme',
    });
    expect((await present(first, 'introspect', service, token)).body).toEqual(body);
    expect((await present(first, 'introspect', globex, token)).text).toBe(INACTIVE);
  });

  test('that another takes back stays active', async () => {
    const token = await tokenOf(acme, audience);
    await revoke(token, globex);
    // Whoever serves an API learns of its tokens, and can take none of them back.
    await revoke(token, service);
    await sleep(2_100);
    expect(await active(token)).toEqual([true, true, true]);
    expect(await tokenOf(acme, audience)).toBe(token);
  });

  test('that its tenant takes back is inactive on all replicas within 2 s, and no exchange gives it again', async () => {
    const took: number[] = [];
    for (let round = 0; round < 4; round++) {
      const token = await tokenOf(acme, audience);
      for (const replica of replicas) expect(await tokenOf(acme, audience, replica)).toBe(token);
      // A token of the same second would be the very same one, and be asked for twice.
      await sleep(1_050);
      const asked = first.calls().auth0 + replicas[1]!.calls().auth0 + replicas[2]!.calls().auth0;
      const by = replicas[round % 3]!;
      await revoke(token, acme, by);
      // Where it was taken back, at once.
      expect((await present(by, 'introspect', acme, token)).text).toBe(INACTIVE);
      const next = await tokenOf(acme, audience, by);
      expect(next).not.toBe(token);
      took.push(await untilActive(false, token));
      for (const replica of replicas) expect(await tokenOf(acme, audience, replica)).toBe(next);
      expect(await active(next)).toEqual([true, true, true]);
      // One new token for the whole fleet.
      expect(replicas.reduce((sum, replica) => sum + replica.calls().auth0, 0) - asked).toBe(source === 'auth0' ? 1 : 0);
    }
    process.stderr.write(`a revoked ${source} token is inactive on 3 replicas after ${took.map((ms) => ms.toFixed(0)).join(', ')} ms\n`);
    expect(Math.max(...took)).toBeLessThan(2_000);
  });

  test('leaves the shared store, in which only the next one lies then', async () => {
    const token = await tokenOf(acme, audience);
    const stored = async () => (await house.stored('acme', source === 'transit' ? 'reports' : 'orders'))?.['access_token'];
    expect(await stored()).toBe(token);
    await revoke(token);
    expect(await stored()).toBeUndefined();
    const next = await tokenOf(acme, audience);
    expect(await stored()).toBe(next);
  });

  test('that was taken back stays so for a replica that starts later, from its first answer on', async () => {
    const token = await tokenOf(acme, audience);
    await revoke(token);
    const late = await house.startReplica(FLEET);
    expect((await present(late, 'introspect', acme, token)).text).toBe(INACTIVE);
    expect(await tokenOf(acme, audience, late)).not.toBe(token);
    await late.stop();
  });

  test('under load on all replicas: 2 s after it was taken back nobody gets it any more', async () => {
    const seen = new Map<string, number>();
    let going = true;
    const load = Promise.all(
      replicas.flatMap((replica) =>
        Array.from({ length: 3 }, async () => {
          while (going) {
            const token = await tokenOf(acme, audience, replica);
            seen.set(token, performance.now());
          }
        }),
      ),
    );
    const lasted: number[] = [];
    for (let round = 0; round < 2; round++) {
      const token = await tokenOf(acme, audience);
      await revoke(token, acme, replicas[round]);
      const revoked = performance.now();
      await sleep(2_200);
      lasted.push((seen.get(token) ?? revoked) - revoked);
      expect(await active(token)).toEqual([false, false, false]);
    }
    going = false;
    await load;
    process.stderr.write(
      `under load a revoked ${source} token was last served ${lasted.map((ms) => ms.toFixed(0)).join(', ')} ms after its revocation\n`,
    );
    expect(Math.max(...lasted)).toBeLessThan(2_000);
  });
});

describe('what is not a token', () => {
  const segment = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

  test('5,000 of them: always inactive or an empty 200, never a 5xx, and nobody asks Vault or Auth0', async () => {
    const own = await tokenOf(acme, AUDIENCES.transit);
    const auth0s = await tokenOf(acme, AUDIENCES.auth0);
    await active(own);
    await active(auth0s);
    const broken = (token: string, n: number): string => {
      const [header = '', payload = '', signature = ''] = token.split('.');
      const at = n % payload.length;
      const kinds = [
        () => randomBytes(1 + (n % 300)).toString('base64url'),
        () => `${header}.${payload.slice(0, at)}${payload[at] === 'A' ? 'B' : 'A'}${payload.slice(at + 1)}.${signature}`,
        () => `${header}.${payload}.${randomBytes(256).toString('base64url')}`,
        () => `${segment({ alg: 'RS256', typ: 'JWT', kid: randomBytes(16).toString('hex') })}.${payload}.${signature}`,
        () => `${segment({ alg: 'none', typ: 'JWT' })}.${payload}.`,
        () => `${header}.${segment({ iss: 'https://evil.example.com/', exp: 4e9 })}.${signature}`,
        () => token.slice(0, n % token.length),
        () => `${token}${'.a'.repeat(n % 20)}x`,
        () => 'é'.repeat(1 + (n % 50)),
        () => 'x'.repeat(8_000 + (n % 1_000)),
      ];
      return kinds[n % kinds.length]!() || 'x';
    };
    const start = performance.now();
    const before = first.calls();
    const answers = new Map<string, number>();
    let n = 0;
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        while (n < 5_000) {
          const nth = n++;
          const endpoint = nth % 20 < 10 ? 'introspect' : 'revoke';
          const { status, text } = await present(first, endpoint, acme, broken(nth % 2 ? own : auth0s, Math.floor(nth / 2)));
          const said = `${endpoint} ${status} ${text}`;
          answers.set(said, (answers.get(said) ?? 0) + 1);
        }
      }),
    );
    const seconds = (performance.now() - start) / 1000;
    const after = first.calls();
    expect(Object.fromEntries(answers)).toEqual({ [`introspect 200 ${INACTIVE}`]: 2_500, 'revoke 200 ': 2_500 });
    expect(after.auth0 - before.auth0).toBe(0);
    // The five documents that are read each second whoever asks, the key set by its age, the credential once it is 30 s old.
    expect(after.vault - before.vault).toBeLessThanOrEqual(Math.ceil(seconds + 1) * 5 + Math.ceil(seconds / 30) * 4);
    expect(await active(own)).toEqual([true, true, true]);
    expect(await active(auth0s)).toEqual([true, true, true]);
  }, 60_000);

  test('malformed requests are refused as at /oauth/token', async () => {
    const { client_id, client_secret } = acme;
    for (const endpoint of ['introspect', 'revoke']) {
      const url = `${first.issuer}oauth/${endpoint}`;
      const status = async (init: RequestInit, to = url) => (await fetch(to, { method: 'POST', ...init })).status;
      const form = new URLSearchParams({ client_id, client_secret, token: 'x' });
      expect(await status({ body: `${form}&token=y`, headers: { 'Content-Type': 'application/x-www-form-urlencoded' } })).toBe(400);
      expect(await status({ body: form }, `${url}?token=x`)).toBe(400);
      expect(await status({ method: 'GET' })).toBe(405);
      expect(await status({ body: new URLSearchParams({ client_id, client_secret }) })).toBe(400);
      expect(await status({ body: new URLSearchParams({ client_id, client_secret: 'wrong', token: 'x' }) })).toBe(401);
      expect(await status({ body: new URLSearchParams({ client_id, client_secret, token: client_secret.padEnd(20_000, 'x') }) })).toBe(413);
    }
  });
});

test("a disabled tenant's tokens are inactive on all replicas within 2 s, and active again when it is enabled", async () => {
  const stopped = await house.issueSecret('stopped');
  for (const source of SOURCES) {
    const token = await tokenOf(stopped, AUDIENCES[source]);
    expect(await active(token, service)).toEqual([true, true, true]);
    await disableTenant(operator, 'stopped');
    const took = await untilActive(false, token, service);
    process.stderr.write(`a disabled tenant's ${source} token is inactive on 3 replicas after ${took.toFixed(0)} ms\n`);
    expect(took).toBeLessThan(2_000);
    // It asks for itself: it is told that it is disabled.
    expect(await present(first, 'introspect', stopped, token)).toMatchObject({ status: 403, body: { error: 'unauthorized_client' } });
    await enableTenant(operator, 'stopped');
    expect(await untilActive(true, token, service)).toBeLessThan(2_000);
  }
});

test('a tenant that revokes again and again is told to wait, on every replica, and gets no further new token', async () => {
  const fleet = { env: { ...FLEET.env, POSTERN_REVOCATIONS_PER_MINUTE: '3' } };
  const [one, other] = [await house.startReplica(fleet), await house.startReplica(fleet)];
  const hasty = await house.issueSecret('hasty');
  for (let i = 0; i < 3; i++) await revoke(await tokenOf(hasty, AUDIENCES.transit, one), hasty, one);
  const token = await tokenOf(hasty, AUDIENCES.transit, one);
  for (const replica of [one, other]) {
    const refused = await present(replica, 'revoke', hasty, token);
    expect(refused).toMatchObject({ status: 429, body: { error: 'too_many_requests' } });
    expect(refused.retryAfter).toBeGreaterThan(30);
    expect(refused.retryAfter).toBeLessThanOrEqual(60);
  }
  expect((await present(one, 'introspect', hasty, token)).body['active']).toBe(true);
  expect(await tokenOf(hasty, AUDIENCES.transit, other)).toBe(token);
  await Promise.all([one.stop(), other.stop()]);
});

test('Vault cannot be written: 503, obeyed by who was asked alone, and the same call again does it', async () => {
  const token = await tokenOf(acme, AUDIENCES.transit);
  await active(token);
  await house.root.write('sys/seal');
  try {
    const refused = await present(first, 'revoke', acme, token);
    expect(refused).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } });
    expect(refused.retryAfter).toBeGreaterThan(0);
    // What is known is still answered, and the others can't be told.
    expect(await active(token)).toEqual([false, true, true]);
  } finally {
    await house.root.write('sys/unseal', { key: house.vault.unsealKey });
  }
  for (const until = performance.now() + 10_000; ; await sleep(50)) {
    const { status } = await present(first, 'revoke', acme, token);
    if (status === 200) break;
    expect([status, performance.now() < until]).toEqual([503, true]);
  }
  expect(await untilActive(false, token)).toBeLessThan(2_000);
});

test('the audit has each of them, with the token only as its SHA-256', async () => {
  const token = await tokenOf(acme, AUDIENCES.transit);
  const token_sha256 = createHash('sha256').update(token).digest('hex');
  await present(first, 'introspect', globex, token);
  await revoke(token);
  await revoke(token);
  const events = (await first.events()).filter((event) => event['token_sha256'] === token_sha256 && event['event'] !== 'token.exchange');
  expect(events).toMatchObject([
    { event: 'token.introspection', outcome: 'foreign', tenant: 'globex', token_tenant: 'acme', audience: AUDIENCES.transit },
    { event: 'token.revocation', outcome: 'revoked', tenant: 'acme', token_tenant: 'acme', api: 'reports' },
    { event: 'token.revocation', outcome: 'again', tenant: 'acme' },
  ]);
});
