import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiKey } from '#broker/credential/api-key.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica } from '#test/fixture/broker.ts';
import { identityHeaders } from '#test/fixture/identity-headers.ts';
import { seeded } from '#test/fixture/seeded.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { LIVEZ, sendBytes } from '#test/fixture/wire.ts';

const ORDERS = 'audience=https://orders.example.com';
const REPORTS = 'audience=https://reports.example.com';
const PAYROLL = 'audience=https://payroll.example.com';

let house: House;
let replica: LocalReplica;
beforeAll(async () => {
  house = await startHouse();
  replica = await house.startReplica();
});
afterAll(() => house?.stop());

function keyOf({ client_id, client_secret }: Credential): string {
  const key = ApiKey.format('test', client_id, client_secret);
  registerSecret('API key', key);
  return key;
}

const issueKey = async (tenant: string, options?: Parameters<House['issueSecret']>[1]): Promise<string> =>
  keyOf(await house.issueSecret(tenant, options));

async function verify(query: string, headers: Record<string, string>, on: Pick<LocalReplica, 'issuer'> = replica, method = 'GET') {
  const response = await fetch(`${on.issuer}verify?${query}`, { headers, method });
  const token = response.headers.get('authorization')?.replace(/^Bearer /, '');
  if (token !== undefined) registerSecret('access token', token);
  return { status: response.status, token, headers: response.headers, body: await response.text() };
}

const bearer = (key: string): Record<string, string> => ({ Authorization: `Bearer ${key}` });
const port = (): number => Number(new URL(replica.issuer).port);

/** A key of the right form whose checksum is that of its role and secret, both of which nobody has. */
function unknownKey(): string {
  const key = ApiKey.format('test', crypto.randomUUID(), crypto.randomUUID());
  registerSecret('API key', key);
  return key;
}

describe('a key', () => {
  test(
    'becomes the token that /oauth/token would give, with the tenant and its scopes beside it; then from ' + 'memory, at no cost to Vault',
    async () => {
      const key = await issueKey('acme');
      const first = await verify(ORDERS, bearer(key));
      expect(first.status).toBe(200);
      expect(decodeJwt(first.token ?? '')).toMatchObject({
        iss: house.auth0.issuer,
        aud: 'https://orders.example.com',
        scope: 'read:orders write:orders',
        'https://postern.dev/tenant': 'acme',
      });
      expect([first.headers.get('x-postern-tenant'), first.headers.get('x-postern-scope')]).toEqual(['acme', 'read:orders write:orders']);
      const calls = replica.calls();
      for (const headers of [bearer(key), { 'X-API-Key': key }, { Authorization: `Basic ${Buffer.from(`${key}:`).toString('base64')}` }])
        expect((await verify(`${ORDERS}&scope=read:orders`, headers)).token).toBe(first.token);
      expect(replica.calls()).toEqual(calls);
      expect((await replica.events()).at(-1)).toMatchObject({
        event: 'token.exchange',
        door: 'verify',
        outcome: 'granted',
        tenant: 'acme',
        api: 'orders',
        source: 'memory',
      });
    },
  );

  test('role_id and secret_id by Basic are the same credential', async () => {
    const credential = await house.issueSecret('globex');
    const reply = await verify(PAYROLL, {
      Authorization: `Basic ${Buffer.from(`${credential.client_id}:${credential.client_secret}`).toString('base64')}`,
    });
    expect([reply.status, reply.headers.get('x-postern-tenant')]).toEqual([200, 'globex']);
  });

  test('without the grant or the scope is 403, whichever is missing', async () => {
    const [acme, globex] = [await issueKey('acme'), await issueKey('globex')];
    expect((await verify(PAYROLL, bearer(acme))).status).toBe(403);
    expect((await verify('audience=https://nowhere.example.com', bearer(acme))).status).toBe(403);
    const reply = await verify(`${ORDERS}&scope=write:orders+read:orders`, bearer(globex));
    expect([reply.status, reply.token]).toEqual([403, undefined]);
    expect(reply.headers.get('www-authenticate')).toContain('scope="read:orders write:orders", error="insufficient_scope"');
  });

  test('unknown to Vault, and one with a wrong secret: the same 401', async () => {
    const { client_id } = await house.issueSecret('acme');
    const wrongSecret = keyOf({ client_id, client_secret: crypto.randomUUID(), accessor: '' });
    const [unknown, wrong] = [await verify(ORDERS, bearer(unknownKey())), await verify(ORDERS, bearer(wrongSecret))];
    const shown = ({ status, headers, body }: typeof unknown) => [status, headers.get('www-authenticate'), body];
    expect(shown(unknown)).toEqual(shown(wrong));
    expect(unknown.status).toBe(401);
  });

  test('that was revoked ends within the time of a verification', async () => {
    const quick = await house.startReplica({ env: { POSTERN_VERIFY_TTL: '1' } });
    const credential = await house.issueSecret('acme');
    const key = keyOf(credential);
    expect((await verify(ORDERS, bearer(key), quick)).status).toBe(200);
    await house.root.write('auth/approle/role/acme/secret-id-accessor/destroy', { secret_id_accessor: credential.accessor });
    await expect.poll(async () => (await verify(ORDERS, bearer(key), quick)).status).toBe(401);
    await quick.stop();
  });
});

describe("the client's address", () => {
  test('of a key bound to addresses is what a trusted gateway says, and nobody else', async () => {
    const key = await issueKey('acme', { cidrs: ['198.51.100.0/24'] });
    const from = (address: string) => ({ ...bearer(key), 'X-Forwarded-For': address });
    const trusting = await house.startReplica({ env: { POSTERN_FORWARD_CLIENT_ADDRESS: 'true', POSTERN_TRUSTED_PROXIES: '127.0.0.1' } });
    const untrusting = await house.startReplica({ env: { POSTERN_FORWARD_CLIENT_ADDRESS: 'true' } });
    const told = async (address: string, on: LocalReplica) => {
      const { status } = await verify(ORDERS, from(address), on);
      return { status, address: (await on.events()).at(-1)?.['address'] };
    };
    // This house's Vault does not believe forwarded addresses, so from none of them is the key good; what it was told is seen in the audit.
    expect(await told('198.51.100.7', trusting)).toMatchObject({ address: '198.51.100.7' });
    expect(await told('203.0.113.7', trusting)).toEqual({ status: 401, address: '203.0.113.7' });
    // What a gateway's client wrote stands before what the gateway saw.
    expect(await told('198.51.100.7, 203.0.113.7', trusting)).toEqual({ status: 401, address: '203.0.113.7' });
    expect(await told('198.51.100.7', untrusting)).toEqual({ status: 401, address: '127.0.0.1' });
    await Promise.all([trusting.stop(), untrusting.stop()]);
  });
});

describe('bad input', () => {
  test('50,000 keys with a wrong checksum: each 401, and 0 calls to Vault', async () => {
    const good = await issueKey('acme');
    const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
    const random = seeded(41);
    const digit = (): string => digits[Math.floor(random() * digits.length)]!;
    const mistyped = (): string => {
      // Half of them one wrong character in a good key, half of them anything of the right form.
      if (random() < 0.5) return `postern_live_${Array.from({ length: 49 }, digit).join('')}`;
      const at = good.length - 1 - Math.floor(random() * 49);
      const other = digits[(digits.indexOf(good[at]!) + 1 + Math.floor(random() * 61)) % 62]!;
      return good.slice(0, at) + other + good.slice(at + 1);
    };
    const keys = Array.from({ length: 50_000 }, mistyped).filter((key) => ApiKey.parse(key) === undefined);
    const quietRate = await backgroundRate();
    const [events, before, begun] = [(await replica.events()).length, replica.calls(), performance.now()];
    const told = (await Promise.all([0, 1, 2, 3].map((part) => pipelined(keys.filter((_, i) => i % 4 === part))))).join('');
    const seconds = (performance.now() - begun) / 1000;
    expect(keys.length).toBeGreaterThan(49_990);
    expect(told).toBe('401'.repeat(keys.length));
    expect(
      (await replica.events())
        .slice(events)
        .every(({ client_id_sha256, tenant }) => client_id_sha256 === undefined && tenant === undefined),
    ).toBe(true);
    // The broker itself asks Vault for state/epoch each second, and now and then for its other documents.
    expect(replica.calls().vault - before.vault).toBeLessThanOrEqual(Math.ceil(quietRate * seconds) + 10);
    expect(replica.calls().auth0).toBe(before.auth0);
  }, 180_000);

  /** One connection, its requests sent without waiting, 500 at a time. @returns the statuses, one after the other */
  async function pipelined(keys: readonly string[]): Promise<string> {
    const socket = connect(port(), '127.0.0.1');
    let [text, statuses] = ['', ''];
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
      const whole = text.lastIndexOf('HTTP/1.1 ') + 'HTTP/1.1 401'.length;
      const cut = whole > text.length ? text.lastIndexOf('HTTP/1.1 ') : whole;
      statuses += [...text.slice(0, cut).matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status).join('');
      text = text.slice(cut);
    });
    for (let from = 0; from < keys.length; from += 500) {
      const batch = keys.slice(from, from + 500);
      socket.write(
        batch
          .map((key, i) => `GET /verify?${ORDERS} HTTP/1.1\r\nHost: x\r\n${i % 2 ? 'X-API-Key: ' : 'Authorization: Bearer '}${key}\r\n\r\n`)
          .join(''),
      );
      await expect.poll(() => statuses.length, { timeout: 30_000, interval: 5 }).toBe((from + batch.length) * 3);
    }
    socket.destroy();
    return statuses;
  }

  /** Calls to Vault a second of a broker that nobody asks. */
  async function backgroundRate(): Promise<number> {
    const before = replica.calls().vault;
    await sleep(2_000);
    return (replica.calls().vault - before) / 2;
  }

  test('3,000 malformed requests: never a 5xx, never a token, never a hang', async () => {
    const good = await issueKey('acme');
    const random = seeded(42);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
    const targets = [
      '/verify',
      '/verify?',
      '/verify?audience=',
      `/verify?${ORDERS}&${ORDERS}`,
      `/verify?${ORDERS}&tenant=acme`,
      '/verify?%',
      '/verify/',
      '/verify/-/',
      '/verify/audience/%ff/-/',
      '/verify/audience/a',
      '/verify//',
      '/verify/audience/a/scope//-/x',
    ];
    const credentials = [
      '',
      `Authorization: Bearer ${good}`,
      'Authorization: Bearer',
      'Authorization: Basic !',
      `Authorization: Basic ${Buffer.from('nocolon').toString('base64')}`,
      `Authorization: Bearer ${good}\r\nAuthorization: Bearer ${good}`,
      `X-API-Key: ${good}\r\nX-API-Key: x`,
      `Authorization: Bearer "${good}"`,
      'X-API-Key: \xff\xfe',
      `X-API-Key: ${'a'.repeat(5000)}`,
      `Authorization: Negotiate ${'A'.repeat(2000)}`,
    ];
    const oddities = [
      '',
      'Content-Length: 0',
      'Content-Length: 5',
      'Transfer-Encoding: chunked',
      'Expect: nonsense',
      'Host: y',
      'Connection: Upgrade\r\nUpgrade: websocket',
      `Cookie: ${'c'.repeat(9000)}`,
      'Content-Length: x',
    ];
    const wrong: string[] = [];
    for (let batch = 0; batch < 60; batch++) {
      await Promise.all(
        Array.from({ length: 50 }, async () => {
          const target = random() < 0.7 ? pick(targets) : `/verify?${ORDERS}`;
          let lines = [pick(credentials), pick(oddities)];
          // Where the target is good, the credential must not be.
          if (target === `/verify?${ORDERS}`)
            lines = [pick(credentials.filter((line) => line !== `Authorization: Bearer ${good}`)), pick(oddities)];
          const kept = random() < 0.5;
          const request = [
            `${pick(['GET', 'POST', 'PUT', 'DELETE', 'FOO', 'get'])} ${target} HTTP/1.1`,
            'Host: x',
            ...(kept ? [] : ['Connection: close']),
            ...lines.filter((line) => line !== ''),
            '',
            '',
          ].join('\r\n');
          const { replies, hung, garbage } = await sendBytes(port(), Buffer.from(request, 'latin1'), {
            patience: 10_000,
            first: kept ? LIVEZ : undefined,
          });
          const ok =
            !hung &&
            garbage === '' &&
            replies.length <= 1 &&
            replies.every(({ status, headers }) => status >= 400 && status < 500 && headers['authorization'] === undefined);
          if (!ok) wrong.push(JSON.stringify({ request, replies, hung, garbage }).slice(0, 500));
        }),
      );
    }
    expect(wrong).toEqual([]);
  });

  test(
    '2,000 permutations of forwarded and identity headers: nobody is let in by them, and a good key stays ' + "its own tenant's",
    async () => {
      const [acme, globex] = [await issueKey('acme'), await issueKey('globex')];
      const other = await verify(PAYROLL, bearer(globex));
      const claims = [
        'globex',
        'admin',
        'read:payroll',
        'https://payroll.example.com',
        '/verify?audience=https://payroll.example.com',
        'POST',
        '127.0.0.1',
        'for=127.0.0.1;by=10.0.0.1',
        `Bearer ${globex}`,
        globex,
        `Bearer ${other.token}`,
        String(other.token),
        'true',
        '*',
        '',
      ];
      const random = seeded(43);
      const wrong: string[] = [];
      const counts = { refused: 0, allowed: 0 };
      for (let batch = 0; batch < 40; batch++) {
        await Promise.all(
          Array.from({ length: 50 }, async (_, i) => {
            const good = i % 4 === 0;
            const method = ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS'][Math.floor(random() * 5)];
            const lines = [
              ...identityHeaders(random, claims),
              ...(good ? [random() < 0.5 ? `X-API-Key: ${acme}` : `Authorization: Bearer ${acme}`] : []),
            ].sort(() => random() - 0.5);
            const kept = random() < 0.5;
            const request = [
              `${method} /verify?${ORDERS}&scope=read:orders HTTP/1.1`,
              'Host: x',
              ...(kept ? [] : ['Connection: close']),
              ...lines,
              '',
              '',
            ].join('\r\n');
            const { replies } = await sendBytes(port(), Buffer.from(request), { patience: 10_000, first: kept ? LIVEZ : undefined });
            const [reply] = replies;
            const token = reply?.headers['authorization']?.replace(/^Bearer /, '');
            const right = good
              ? reply?.status === 200 &&
                reply.headers['x-postern-tenant'] === 'acme' &&
                token !== undefined &&
                decodeJwt(token)['https://postern.dev/tenant'] === 'acme' &&
                decodeJwt(token).aud === 'https://orders.example.com'
              : reply?.status === 401 && token === undefined && reply.headers['x-postern-tenant'] === undefined;
            counts[good ? 'allowed' : 'refused']++;
            if (!right) wrong.push(JSON.stringify({ request, reply }));
          }),
        );
      }
      expect(wrong).toEqual([]);
      expect(counts).toEqual({ refused: 40 * 37, allowed: 40 * 13 });
    },
  );
});

describe('without Vault', () => {
  test('a warm key is let in, an unseen one gets 503 with Retry-After, and a mistyped one its 401', async () => {
    const [warm, unseen] = [await issueKey('acme'), await issueKey('acme')];
    expect((await verify(REPORTS, bearer(warm))).status).toBe(200);
    await house.root.write('sys/seal');
    try {
      for (let i = 0; i < 20; i++) expect((await verify(REPORTS, bearer(warm))).status).toBe(200);
      const reply = await verify(REPORTS, bearer(unseen));
      expect(reply.status).toBe(503);
      expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(reply.headers.get('www-authenticate')).toBeNull();
      expect((await verify(REPORTS, bearer(`${unseen.slice(0, -1)}${unseen.endsWith('0') ? '1' : '0'}`))).status).toBe(401);
      expect((await verify(REPORTS, {})).status).toBe(401);
    } finally {
      await house.root.write('sys/unseal', { key: house.vault.unsealKey });
    }
    await expect.poll(async () => (await verify(REPORTS, bearer(unseen))).status, { timeout: 10_000 }).toBe(200);
  });

  test('too many wrong keys: 429 with Retry-After', async () => {
    const strict = await house.startReplica({ env: { POSTERN_THROTTLE_ADDRESS: '3' } });
    const replies = [];
    for (let i = 0; i < 6; i++) replies.push(await verify(REPORTS, bearer(unknownKey()), strict));
    expect(replies[0]?.status).toBe(401);
    const last = replies.at(-1);
    expect(last?.status).toBe(429);
    expect(Number(last?.headers.get('retry-after'))).toBeGreaterThan(0);
    await strict.stop();
  });
});
