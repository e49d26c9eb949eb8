import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { APIS } from '#dev/scenario.ts';
import { backEndToken, callAdmin } from '#test/fixture/admin.ts';
import type { AdminReply } from '#test/fixture/admin.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { personToken } from '#test/fixture/person.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { postern } from './cli-run.ts';

/*
 * People, each in twenty organizations, who do all there is to do at once: nobody sees or touches a key that isn't theirs. Each person
 * does some of the verbs in each organization, so that each organization sees all of them. Ten people; fifty, which take minutes, with
 * POSTERN_TEST_CROWD=50.
 */

const USERS = Number(process.env['POSTERN_TEST_CROWD'] ?? 10);
const TENANTS = Array.from({ length: 20 }, (_, n) => `crowd-${n}`);
const REPORTS = APIS['reports']!.audience;

let house: House;
let replicas: LocalReplica[];

beforeAll(async () => {
  const tenants = Object.fromEntries(
    TENANTS.map((tenant, n) => [
      tenant,
      {
        organization: organizationOf(n),
        grants: [{ api: 'reports', scopes: ['read:reports'] }],
        default_api: 'reports',
        self_service: { keys_per_user: 3, keys: 1_000 },
      },
    ]),
  );
  house = await startHouse({ tenants, self: true, admin: true });
  const env = { POSTERN_SELF_RATE: '100000', POSTERN_THROTTLE_ADDRESS: '100000' };
  replicas = await Promise.all([1, 2, 3].map(() => house.startReplica({ env })));
}, 240_000);
afterAll(() => house?.stop());

interface Member {
  readonly user: string;
  /** Which tenant's. */
  readonly at: number;
  readonly jwt: string;
  /** Their first key. */
  keyId: string;
  key: string;
}

function organizationOf(n: number): string {
  return `org_crowd${n}`;
}

/** As `members` are: everybody's in all tenants, user after user, so that each tenant has its turn. */
function memberOf(members: readonly Member[], tenant: number, user: number): Member {
  return members[(user % USERS) * TENANTS.length + (tenant % TENANTS.length)]!;
}

async function inTurns<T>(items: readonly T[], width: number, work: (item: T, index: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let at = next++; at < items.length; at = next++)
        await work(items[at]!, at).catch((error: unknown) => {
          // The others don't go on into the next test.
          next = items.length;
          throw error;
        });
    }),
  );
}

test('users × 20 tenants × all verbs at once: no key of another owner or tenant is seen or touched', async () => {
  const members: Member[] = [];
  for (let user = 0; user < USERS; user++)
    for (const at of TENANTS.keys()) {
      const sub = `auth0|crowd-${user}`;
      const jwt = await personToken(house, sub, { organization: organizationOf(at), permissions: ['read:reports'] });
      members.push({ user: sub, at, jwt, keyId: '', key: '' });
    }
  let requests = 0;
  /** Of another owner or tenant, seen or touched; each is told. */
  const breaches: string[] = [];
  /** As a client should: what a busy machine didn't answer, or what is under way still, is sent again as it was, to whichever replica. */
  const call = async ({ jwt }: Member, method: string, path: string, body?: unknown): Promise<AdminReply> => {
    const headers = method === 'POST' ? { 'Idempotency-Key': randomUUID() } : {};
    for (let attempt = 1; ; attempt++) {
      const { issuer } = replicas[requests++ % replicas.length]!;
      const reply = await callAdmin(issuer, { jwt }, method, `/self/v1/keys${path}`, body, headers).catch((error: unknown) => {
        if (attempt === 20) throw error;
      });
      const again = reply === undefined || reply.status === 503 || String(reply.body['type']).endsWith('/idempotency-in-progress');
      if (!again || attempt === 20) return reply!;
      await sleep(1_000);
    }
  };
  const begun = performance.now();
  await inTurns(members, 40, async (member) => {
    const made = await call(member, 'POST', '', { name: `of ${member.user} at ${member.at}` });
    expect(made.status, made.text).toBe(201);
    member.keyId = made.body['key_id'];
    member.key = made.body['key'];
  });
  const first = new Map(members.map((member) => [member.keyId, member]));
  expect(first.size).toBe(members.length);

  const kept: { member: Member; key: string; keyId: string; name: string }[] = [];
  await inTurns(members, 40, async (member, index) => {
    const user = Math.floor(index / TENANTS.length);
    const strangers = [memberOf(members, member.at, user + 1), memberOf(members, member.at + 1, user)];
    const seen = (await call(member, 'GET', '')).body['keys'] as { key_id: string; owner: string }[];
    for (const { key_id: keyId, owner } of seen)
      if (owner !== member.user || (first.get(keyId) ?? member) !== member) breaches.push(`${member.user} at ${member.at} saw ${keyId}`);
    expect(seen.map(({ key_id: keyId }) => keyId)).toContain(member.keyId);
    const foreign = [
      ['GET', ''],
      ['PATCH', '', { name: 'taken' }],
      ['POST', '/rotate', { overlap: 0 }],
      ['DELETE', ''],
    ] as const;
    for (const [n, { keyId }] of strangers.entries())
      for (const [method, path, body] of [foreign[(index + user + n) % foreign.length]!]) {
        const { status } = await call(member, method, `/${keyId}${path}`, body);
        if (status !== 404) breaches.push(`${member.user} at ${member.at}: ${method} /${keyId}${path} ${status}`);
      }
    const doing = (verb: number): boolean => (index + user) % 3 === verb;
    let own = { keyId: member.keyId, key: member.key, name: `of ${member.user} at ${member.at}` };
    if (doing(0)) {
      own.name = String(index);
      const renamed = await call(member, 'PATCH', `/${own.keyId}`, { name: own.name });
      expect(renamed.status, renamed.text).toBe(200);
    }
    if (doing(1)) {
      const rotated = await call(member, 'POST', `/${own.keyId}/rotate`, { overlap: 0 });
      expect(rotated.status, rotated.text).toBe(201);
      own = { ...own, keyId: rotated.body['key_id'], key: rotated.body['key'] };
    }
    if (doing(2)) {
      const shown = await call(member, 'GET', `/${own.keyId}`);
      expect(shown.body).toMatchObject({ key_id: own.keyId, owner: member.user, name: own.name });
      // 404 where an answer was lost and it was sent again.
      expect((await call(member, 'DELETE', `/${own.keyId}`)).status).toBeOneOf([204, 404]);
      return;
    }
    kept.push({ member, ...own });
  });

  // What is left is what its owners left, with the names that they gave it.
  for (const at of TENANTS.keys()) {
    const administrator = await personToken(house, 'auth0|head', {
      organization: organizationOf(at),
      permissions: ['manage:organization-keys'],
    });
    const left: { key_id: string; owner: string; name: string }[] = [];
    for (let path: string | undefined = '/self/v1/keys?of=organization&limit=20'; path !== undefined;) {
      const page = await callAdmin(replicas[0]!.issuer, { jwt: administrator }, 'GET', path);
      expect(page.status, page.text).toBe(200);
      left.push(...page.body['keys']);
      path = /^<([^>]+)>/.exec(page.headers['link'] ?? '')?.[1];
    }
    const expected = kept
      .filter(({ member }) => member.at === at)
      .map(({ member, keyId, name }) => ({ key_id: keyId, owner: member.user, name }));
    expect(left.map(({ key_id, owner, name }) => ({ key_id, owner, name })).sort((a, b) => (a.key_id < b.key_id ? -1 : 1))).toEqual(
      expected.sort((a, b) => (a.key_id < b.key_id ? -1 : 1)),
    );
  }
  // Each opens the API as its owner, in its organization.
  await inTurns(
    kept.filter((_, n) => n % 10 === 0),
    8,
    async ({ member, key, keyId }) => {
      const reply = await fetch(`${replicas[1]!.issuer}verify?audience=${encodeURIComponent(REPORTS)}`, { headers: { 'X-API-Key': key } });
      await reply.arrayBuffer();
      expect(reply.status).toBe(200);
      const claims = decodeJwt(reply.headers.get('authorization')!.replace('Bearer ', ''));
      expect(claims).toMatchObject({ sub: member.user, org_id: organizationOf(member.at), act: { sub: keyId } });
    },
  );
  expect(breaches).toEqual([]);
  // oxlint-disable-next-line no-console -- the number that docs/numbers.md names
  console.log(`${members.length} people, ${requests} requests in ${Math.round(performance.now() - begun)} ms: ${breaches.length} breaches`);
}, 1_200_000);

test('as many keys as allowed, asked for at three replicas at once: never more', async () => {
  const jwt = await personToken(house, 'auth0|greedy', { organization: organizationOf(0), permissions: ['read:reports'] });
  const ask = (): Promise<AdminReply>[] =>
    Array.from({ length: 9 }, (_, n) => callAdmin(replicas[n % 3]!.issuer, { jwt }, 'POST', '/self/v1/keys', { name: `n${n}` }));
  const list = async (): Promise<unknown[]> => (await callAdmin(replicas[0]!.issuer, { jwt }, 'GET', '/self/v1/keys')).body['keys'];
  const statuses = (await Promise.all(ask())).map(({ status }) => status);
  expect(statuses.filter((status) => status !== 201 && status !== 409)).toEqual([]);
  expect(statuses.filter((status) => status === 201).length).toBeLessThanOrEqual(3);
  expect((await list()).length).toBe(statuses.filter((status) => status === 201).length);
  // Nor by rotating again and again: as many replaced keys as keys.
  for (;;) if ((await ask()[0]!).status === 409) break;
  let [last] = (await list()) as { key_id: string }[];
  const rotations: number[] = [];
  for (let n = 0; n < 5; n++) {
    const rotated = await callAdmin(replicas[n % 3]!.issuer, { jwt }, 'POST', `/self/v1/keys/${last!.key_id}/rotate`, { overlap: 3_600 });
    rotations.push(rotated.status);
    if (rotated.status === 201) last = rotated.body as { key_id: string };
  }
  expect(rotations).toEqual([201, 201, 201, 409, 409]);
  expect(await list()).toHaveLength(6);
});

test('an operator issues a key to a person, and lists by owner', async () => {
  const env = { VAULT_ADDR: house.vault.address, VAULT_TOKEN: await vaultToken(house, 'postern-operator') };
  const owner = 'auth0|by-olivia';
  const issued = await postern(
    ['key', 'issue', 'crowd-1', '--owner', owner, '--scope', 'read:reports', '--ttl', '30d', '--name', 'hers', '--json'],
    { env },
  );
  expect(issued.code, issued.stderr).toBe(0);
  expect(issued.json).toMatchObject({ owner, scopes: ['read:reports'], name: 'hers' });
  const listed = await postern(['key', 'list', 'crowd-1', '--owner', owner, '--json'], { env });
  expect(listed.json['keys']).toMatchObject([{ key_id: issued.json['key_id'], owner, organization: organizationOf(1) }]);
  const table = await postern(['key', 'list', 'crowd-1', '--owner', owner], { env });
  expect(
    table.stdout
      .split('\n')
      .filter((line) => line.includes('key_'))
      .map((line) => line.split('\t')[3]),
  ).toEqual([owner]);
  const reply = await fetch(`${replicas[0]!.issuer}verify?audience=${encodeURIComponent(REPORTS)}`, {
    headers: { 'X-API-Key': issued.json['key'] },
  });
  expect([reply.status, await reply.text()]).toEqual([200, '']);
  expect(decodeJwt(reply.headers.get('authorization')?.replace('Bearer ', '') ?? '')).toMatchObject({
    sub: owner,
    org_id: organizationOf(1),
  });
  // The person finds it among their own.
  const jwt = await personToken(house, owner, { organization: organizationOf(1), permissions: ['read:reports'] });
  expect((await callAdmin(replicas[0]!.issuer, { jwt }, 'GET', '/self/v1/keys')).body['keys']).toMatchObject([{ name: 'hers' }]);
  // A back end does the same.
  const backEnd = { jwt: await backEndToken(house, ['read:keys', 'manage:keys', 'read:tenants']) };
  const at = '/v1/tenants/crowd-1';
  const admin = (method: string, path: string, body?: unknown): Promise<AdminReply> =>
    callAdmin(replicas[0]!.admin, backEnd, method, `${at}${path}`, body);
  const second = await admin('POST', '/keys', { owner, scopes: ['read:reports'], name: 'second' });
  expect([second.status, second.body['owner']]).toEqual([201, owner]);
  // As long as the tenant's people may have one.
  const life = Date.parse(second.body['expires_at']) - Date.now();
  expect(life).toBeGreaterThan(7_700_000_000);
  expect(life).toBeLessThan(7_780_000_000);
  const first = await admin('GET', `/keys?owner=${encodeURIComponent(owner)}&limit=1`);
  const [, next = ''] = /^<([^>]+)>/.exec(first.headers['link'] ?? '') ?? [];
  const rest = await callAdmin(replicas[0]!.admin, backEnd, 'GET', next);
  expect([...first.body['keys'], ...rest.body['keys']].map((key) => [key.owner, key.name])).toEqual([
    [owner, 'hers'],
    [owner, 'second'],
  ]);
  expect((await admin('POST', '/keys', { owner })).status).toBe(422);
  expect((await admin('POST', '/keys', { owner: 'backend@clients', scopes: ['read:reports'] })).status).toBe(400);
  expect((await admin('GET', '')).body['self_service']).toEqual({ max_ttl: 7_776_000, keys_per_user: 3, keys: 1_000 });
  for (const [args, says] of [
    [['--owner', owner], 'names its scopes'],
    [['--owner', 'backend@clients', '--scope', 'read:reports'], 'Auth0 user id'],
    [['--owner', owner, '--scope', 'read:payroll'], 'is not granted'],
    [['--owner', owner, '--scope', 'read:reports', '--ttl', '0'], 'has an end'],
    [['--owner', owner, '--scope', 'read:reports', '--ttl', '91d'], 'has an end'],
  ] as const) {
    const refused = await postern(['key', 'issue', 'crowd-1', ...args], { env });
    expect([refused.code === 0, refused.stdout]).toEqual([false, '']);
    expect(refused.stderr).toContain(says);
  }
});
