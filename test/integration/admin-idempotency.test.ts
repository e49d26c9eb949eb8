import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PERMISSIONS } from '#broker/admin/caller.ts';
import { Idempotency } from '#broker/admin/idempotency.ts';
import type { RepeatableAnswer } from '#broker/admin/idempotency.ts';
import { OPERATIONS } from '#broker/admin/admin-server.ts';
import { ApiKey } from '#broker/credential/api-key.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { RecentChanges } from '#broker/audit/recent-changes.ts';
import { PosternError } from '#broker/error.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { backEndToken, callAdmin } from '#test/fixture/admin.ts';
import type { AdminReply } from '#test/fixture/admin.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';

/*
 * Requests that are repeated: at two replicas, at once, with one of them killed, and with Vault away.
 */

let house: House;
let one: LocalReplica;
let two: LocalReplica;
let credential: { jwt: string };

beforeAll(async () => {
  house = await startHouse({ admin: true });
  [one, two] = [await house.startReplica(), await house.startReplica()];
  credential = { jwt: await backEndToken(house, Object.keys(PERMISSIONS)) };
}, 120_000);

afterAll(() => house?.stop());

const ISSUE = '/v1/tenants/acme/keys';
const call = (base: string, path: string, body: unknown, key?: string): Promise<AdminReply> =>
  callAdmin(base, credential, 'POST', path, body, key === undefined ? {} : { 'Idempotency-Key': key });
const keyIds = async (tenant = 'acme'): Promise<string[]> => {
  const { body } = await callAdmin(one.admin, credential, 'GET', `/v1/tenants/${tenant}/keys?limit=100`);
  return (body['keys'] as { key_id: string }[]).map(({ key_id: keyId }) => keyId);
};
async function works(text: string): Promise<number> {
  const { credential: made } = ApiKey.parse(text)!;
  registerSecret('secret_id', made.reveal());
  return (await exchange(one, { client_id: made.clientId, client_secret: made.reveal() }, { audience: 'https://reports.example.com' }))
    .status;
}
async function stored(): Promise<string> {
  const shards = await house.root.list('postern/metadata/state/idempotency');
  return JSON.stringify(
    await Promise.all(shards.map(async (shard) => (await house.root.read(`postern/data/state/idempotency/${shard}`))?.data?.['data'])),
  );
}

test('the same request at the other replica gets the same key, and another is refused', async () => {
  const before = await keyIds();
  const key = randomUUID();
  const first = await call(one.admin, ISSUE, { name: 'repeated' }, key);
  expect(first.status, first.text).toBe(201);
  expect(first.headers['idempotency-replayed']).toBeUndefined();
  const again = await call(two.admin, ISSUE, { name: 'repeated' }, key);
  expect({
    status: again.status,
    body: again.body,
    replayed: again.headers['idempotency-replayed'],
    location: again.headers['location'],
  }).toEqual({ status: 201, body: first.body, replayed: 'true', location: first.headers['location'] });
  const other = await call(two.admin, ISSUE, { name: 'other' }, key);
  expect([other.status, other.body['type']]).toEqual([422, 'https://postern.dev/problems/idempotency-key-reused']);
  expect(await keyIds()).toEqual([...before, first.body['key_id']]);
  expect(await works(again.body['key'])).toBe(200);

  // Whoever reads the storage, as root even, reads neither.
  const text = await stored();
  for (const secret of [key, first.body['key'], ApiKey.parse(first.body['key'])!.credential.reveal(), 'repeated'])
    expect(text).not.toContain(secret);
  expect(text).toContain('"answer"');

  // Another caller's key of the same text is another's.
  const foreign = await callAdmin(
    one.admin,
    { jwt: await backEndToken(house, ['manage:keys']) },
    'POST',
    ISSUE,
    { name: 'repeated' },
    { 'Idempotency-Key': key },
  );
  expect(foreign.status).toBe(201);
  expect(foreign.body['key_id']).not.toBe(first.body['key_id']);
});

test('twenty at once at both replicas: one key, one answer', async () => {
  const before = await keyIds();
  const key = randomUUID();
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, at) => call((at % 2 === 0 ? one : two).admin, ISSUE, { name: 'at once' }, key)),
  );
  expect([...new Set(replies.map(({ status }) => status))]).toEqual([201]);
  expect(new Set(replies.map(({ body }) => body['key'])).size).toBe(1);
  expect((await keyIds()).length).toBe(before.length + 1);
});

test('many different ones at once: none is lost', async () => {
  const replies = await Promise.all(
    Array.from({ length: 24 }, (_, at) => call((at % 2 === 0 ? one : two).admin, '/v1/tenants/globex/keys', {}, randomUUID())),
  );
  expect([...new Set(replies.map(({ status }) => status))]).toEqual([201]);
  expect(new Set(replies.map(({ body }) => body['key'])).size).toBe(24);
});

test('a rotation is repeated, not done again', async () => {
  const { body: old } = await call(one.admin, ISSUE, { name: 'rotating' });
  const key = randomUUID();
  const path = `${ISSUE}/${old['key_id']}/rotate`;
  const first = await call(one.admin, path, { overlap: 600 }, key);
  expect(first.status, first.text).toBe(201);
  const again = await call(two.admin, path, { overlap: 600 }, key);
  expect([again.status, again.body, again.headers['idempotency-replayed']]).toEqual([201, first.body, 'true']);
  expect(await works(again.body['key'])).toBe(200);
  expect((await call(two.admin, path, { overlap: 600 })).status).toBe(409);
});

describe('a rotation that breaks off', () => {
  /** What a replica would do with this request, up to where it breaks. */
  async function breakOff(
    keyId: string,
    key: string,
    where: 'after the new key is noted' | 'after the old one has its end',
  ): Promise<{ kept: RepeatableAnswer | undefined }> {
    const client = new VaultClient({ address: house.vault.address });
    const access = new VaultAccess({ client, token: new VaultToken(await vaultToken(house, 'postern-operator')) });
    const { sub } = decodeJwt(credential.jwt);
    const rotate = OPERATIONS.find(({ id }) => id === 'rotateKey')!;
    const input = { params: { tenant: 'acme', key_id: keyId }, query: {}, body: { overlap: 600 } };
    const caller = { id: `jwt ${sub}`, name: String(sub), by: 'jwt' as const, access };
    let kept: RepeatableAnswer | undefined;
    const broken = new Idempotency().run(
      access,
      { caller: caller.id, operation: 'rotateKey', key, input },
      {
        async run(marker, keep) {
          await rotate.handle({
            ...input,
            caller,
            path: '',
            marker,
            changes: new RecentChanges(),
            async keep(draft) {
              kept = draft;
              await keep(draft);
              if (where === 'after the new key is noted') throw new PosternError('temporarily_unavailable', 'broken');
            },
          });
          throw new PosternError('temporarily_unavailable', 'broken');
        },
      },
    );
    await expect(broken).rejects.toThrow('broken');
    await client.close();
    if (kept !== undefined) registerSecret('API key', (kept.body as { key: string }).key);
    return { kept };
  }

  test('after all was done: the repeated request gets the key that would have been lost', async () => {
    const { body: old } = await call(one.admin, ISSUE, { name: 'broken off' });
    const key = randomUUID();
    const { kept } = await breakOff(old['key_id'], key, 'after the old one has its end');
    const again = await call(two.admin, `${ISSUE}/${old['key_id']}/rotate`, { overlap: 600 }, key);
    expect([again.status, again.body], again.text).toEqual([201, kept?.body]);
    expect(await works(again.body['key'])).toBe(200);
  });

  test('half-way: the repeated request rotates anew, and nothing of the first is left', async () => {
    const { body: old } = await call(one.admin, ISSUE, { name: 'half-way' });
    const before = await keyIds();
    const key = randomUUID();
    const { kept } = await breakOff(old['key_id'], key, 'after the new key is noted');
    const again = await call(two.admin, `${ISSUE}/${old['key_id']}/rotate`, { overlap: 600 }, key);
    expect(again.status, again.text).toBe(201);
    const { key_id: stray } = kept!.body as { key_id: string };
    expect(again.body).toMatchObject({ replaces: old['key_id'], abandoned: [stray] });
    expect((await keyIds()).sort()).toEqual([...before, again.body['key_id']].sort());
  });
});

test('what was refused may be tried again with the same key', async () => {
  const key = randomUUID();
  expect((await call(one.admin, ISSUE, { scopes: ['no:scope'] }, key)).status).toBe(422);
  expect((await call(one.admin, ISSUE, { name: 'mended' }, key)).status).toBe(201);
});

test('an auditor can neither issue nor leave a record', async () => {
  const before = await stored();
  const reply = await callAdmin(
    one.admin,
    { vault: await vaultToken(house, 'postern-auditor') },
    'POST',
    ISSUE,
    {},
    { 'Idempotency-Key': randomUUID() },
  );
  expect([reply.status, reply.body['type']]).toEqual([403, 'https://postern.dev/problems/access-denied']);
  expect(await stored()).toBe(before);
});

describe('a replica that is killed', () => {
  test('at any moment of issuing: the repeated request gets one key, and no other is left', { timeout: 120_000 }, async () => {
    const before = await keyIds('globex');
    const expected: string[] = [];
    // From before the request is read to after its answer is written; they wait for their leases together.
    const outcomes = await Promise.all(
      [0, 20, 40, 80, 160].map(async (delay) => {
        const doomed = await house.startReplicaProcess();
        const key = randomUUID();
        const name = `killed after ${delay} ms`;
        const lost = call(doomed.admin, '/v1/tenants/globex/keys', { name }, key).catch(() => undefined);
        await sleep(delay);
        process.kill(doomed.child.pid, 'SIGKILL');
        const answered = await lost;
        let reply: AdminReply;
        const deadline = performance.now() + 60_000;
        do reply = await call(two.admin, '/v1/tenants/globex/keys', { name }, key);
        while (reply.status === 409 && performance.now() < deadline);
        return { reply, answered, name };
      }),
    );
    for (const { reply, answered, name } of outcomes) {
      expect(reply.status, `${name}: ${reply.text}`).toBe(201);
      expect(reply.body['name']).toBe(name);
      // Who got an answer before the end has that very key.
      if (answered?.status === 201) expect(reply.body).toEqual(answered.body);
      expected.push(reply.body['key_id']);
    }
    expect((await keyIds('globex')).sort()).toEqual([...before, ...expected].sort());
  });
});

test('Vault away: 503 with Retry-After, and the request can be repeated when it is back', async () => {
  const key = randomUUID();
  await house.root.write('sys/seal', {});
  try {
    for (const used of [credential, { vault: 'hvs.unknown' }]) {
      const reply = await callAdmin(one.admin, used, 'POST', ISSUE, { name: 'sealed' }, { 'Idempotency-Key': key });
      expect([reply.status, reply.body['type']], reply.text).toEqual([503, 'https://postern.dev/problems/temporarily-unavailable']);
      expect(reply.headers['retry-after']).toMatch(/^\d+$/);
      expect(reply.text).not.toContain(house.vault.address);
    }
    expect((await callAdmin(one.admin, undefined, 'GET', '/openapi.json')).status).toBe(200);
  } finally {
    await house.root.write('sys/unseal', { key: house.vault.unsealKey });
  }
  await expect.poll(async () => (await call(one.admin, ISSUE, { name: 'sealed' }, key)).status, { timeout: 20_000 }).toBe(201);
});

test('each caller has an allowance of its own, and so have wrong credentials of an address', async () => {
  const small = await house.startReplica({ env: { POSTERN_ADMIN_RATE: '5' } });
  const ask = (jwt: string): Promise<AdminReply> => callAdmin(small.admin, { jwt }, 'GET', '/v1/apis');
  const [first, second] = [await backEndToken(house, ['read:tenants']), await backEndToken(house, ['read:tenants'])];
  const statuses: number[] = [];
  for (let at = 0; at < 7; at += 1) statuses.push((await ask(first)).status);
  expect(statuses.slice(0, 5)).toEqual([200, 200, 200, 200, 200]);
  expect(statuses).toContain(429);
  expect((await ask(second)).status).toBe(200);
  const wrong: AdminReply[] = [];
  for (let at = 0; at < 7; at += 1) wrong.push(await callAdmin(small.admin, { vault: 'hvs.wrong' }, 'GET', '/v1/apis'));
  expect(wrong.map(({ status }) => status).slice(0, 5)).toEqual([401, 401, 401, 401, 401]);
  expect(wrong.at(-1)?.status).toBe(429);
  expect(wrong.at(-1)?.headers['retry-after']).toMatch(/^\d+$/);
});
