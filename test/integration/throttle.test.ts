import { randomUUID } from 'node:crypto';
import { Pool } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, ProcessReplica } from '#test/fixture/broker.ts';

const REPORTS = 'https://reports.example.com';
const GUESSES = 10_000;

let house: House;
let replica: ProcessReplica;
let pool: Pool;
beforeAll(async () => {
  house = await startHouse();
  replica = await house.startReplicaProcess({ env: { POSTERN_TRUSTED_PROXIES: '127.0.0.1', POSTERN_AUDIT_REFUSALS: '1000000' } });
  pool = new Pool(replica.issuer, { connections: 32 });
});
afterAll(async () => {
  await pool.close();
  await house.stop();
});

async function ask(
  { client_id, client_secret }: Pick<Credential, 'client_id' | 'client_secret'>,
  from: string,
): Promise<{ status: number; text: string }> {
  const { statusCode, body } = await pool.request({
    method: 'POST',
    path: '/oauth/token',
    headers: { 'content-type': 'application/x-www-form-urlencoded', 'x-forwarded-for': from },
    body: new URLSearchParams({ grant_type: 'client_credentials', client_id, client_secret, audience: REPORTS }).toString(),
  });
  return { status: statusCode, text: await body.text() };
}

/** Runs so many at a time. */
async function inParallel(count: number, width: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < count) await work(next++);
    }),
  );
}

const loginsRefused = async (): Promise<number> => (await replica.events()).filter(({ error }) => error === 'invalid_client').length;

describe(`${GUESSES.toLocaleString('en')} wrong secrets for a customer's client_id`, () => {
  test("from the customer's own address: few reach Vault, and the right secret works every time", async () => {
    const right = await house.issueSecret('acme');
    expect((await ask(right, '203.0.113.7')).status).toBe(200);
    const answers = new Map<number, number>();
    let good = 0;
    await inParallel(GUESSES, 32, async (i) => {
      if (i % 100 === 0) {
        const answer = await ask(right, '203.0.113.7');
        if (answer.status === 200) good++;
      }
      const { status } = await ask({ client_id: right.client_id, client_secret: randomUUID() }, '203.0.113.7');
      answers.set(status, (answers.get(status) ?? 0) + 1);
    });
    expect(good).toBe(GUESSES / 100);
    expect([...answers.keys()].sort()).toEqual([401, 429]);
    // The allowance is 10, and 10 more a minute.
    expect(await loginsRefused()).toBeLessThan(60);
    // Vault itself locks nobody out: the next good secret_id, never seen before, works from elsewhere.
    expect((await ask(await house.issueSecret('acme'), '203.0.113.8')).status).toBe(200);
  });

  test('from elsewhere: a secret of the customer that this replica has never seen works at once', async () => {
    const right = await house.issueSecret('globex');
    await inParallel(2000, 32, async () => {
      await ask({ client_id: right.client_id, client_secret: randomUUID() }, '198.51.100.9');
    });
    expect((await ask(right, '203.0.113.20')).status).toBe(200);
  });
});

test('a throttled guess is answered alike for a known and an unknown client', async () => {
  const { client_id } = await house.issueSecret('acme');
  const from = '192.0.2.55';
  const last: Record<string, { status: number; text: string }> = {};
  for (const [name, id] of [
    ['known', client_id],
    ['unknown', randomUUID()],
  ] as const) {
    for (let i = 0; i < 15; i++) last[name] = await ask({ client_id: id, client_secret: randomUUID() }, from);
  }
  expect(last['known']?.status).toBe(429);
  expect(last['unknown']).toEqual(last['known']);
});

test('200 good credentials behind one address all start at once', async () => {
  const credentials = await Promise.all(Array.from({ length: 200 }, () => house.issueSecret('acme')));
  const answers = await Promise.all(credentials.map((credential) => ask(credential, '203.0.113.77')));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
});
