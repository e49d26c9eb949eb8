import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { Problem } from '#broker/admin/problem.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { People } from '#broker/self/caller.ts';
import { departuresOf } from '#broker/self/log-events.ts';
import { LogStream } from '#broker/self/log-stream.ts';
import { SelfServer } from '#broker/self/self-server.ts';

const RATE = 6;
const SECRET = 'canary-of-the-stream';
/** What the front door says of who sent it. */
const CALL = { address: '192.0.2.7', id: 'request' };

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** A broker's door for people over a Vault that knows one organization, `org_acme`, as the tenant `acme`. */
async function start(): Promise<{
  me: (user: string, organization?: string) => Promise<Response>;
  asked: () => number;
  /** A delivery of Auth0's log stream about one person. */
  deliver: (secret: string) => Promise<Response>;
  told: string[];
}> {
  let asked = 0;
  const told: string[] = [];
  const entity = '00000000-0000-0000-0000-000000000001';
  const answers: Record<string, unknown> = {
    'auth/token/lookup-self': { entity_id: entity },
    [`identity/entity/id/${entity}`]: { metadata: { postern_self_tenant: 'acme' } },
    'auth/approle/role/acme': { secret_id_ttl: 0 },
    'tenants/acme': { organization: 'org_acme', grants: [{ api: 'reports', scopes: ['read:reports'] }], self_service: {} },
  };
  const access = {
    mounts: { kv: 'postern', approle: 'approle' },
    call: async (_doing: string, work: (vault: unknown) => unknown) => {
      const read = async (path: string) => ({ data: ((asked += 1), answers[path]), version: 1 });
      return work({ client: { read }, documents: { read }, as: { token: 't' } });
    },
  } as unknown as VaultAccess;
  const now = Math.floor(Date.now() / 1000);
  const people = new People({
    bearer: {
      verify: async (jwt) => {
        const [subject, organization] = JSON.parse(Buffer.from(jwt.split('.')[1]!, 'base64url').toString()) as [string, string];
        if (subject === 'nobody') throw new Problem('invalid-token', 'The access token has ended');
        return { jwt, subject, organization, permissions: ['read:reports'], issuedAt: now, expiresAt: (now + 3_600) * 1000 };
      },
    },
    login: { login: async () => ((asked += 1), { token: new VaultToken('hvb.x'), expiresAt: (now + 60) * 1000 }) },
    accessOf: () => access,
    isDisabled: () => false,
    departed: { hasLeftSince: () => false },
  });
  const server = new SelfServer({
    people,
    logStream: new LogStream({
      secret: SECRET,
      departuresOf,
      announce: async (departures) => told.push(...departures.map(({ owner }) => owner)),
    }),
    audit: { write: () => {} },
    version: '1.2.3',
    lastUse: async () => new Map(),
    rate: RATE,
    // It stands still: however slow the machine is, nobody's allowance is filled up meanwhile.
    now: () => 0,
  });
  await server.ready();
  const front: Server = createServer((request, response) => server.handle({ request, response, ...CALL }));
  await new Promise<void>((resolve) => void front.listen(0, '127.0.0.1', resolve));
  stops.push(async () => {
    front.closeAllConnections();
    front.close();
    await server.close();
  });
  const at = `http://127.0.0.1:${(front.address() as AddressInfo).port}/self/v1/`;
  return {
    me(user, organization = 'org_acme') {
      const jwt = `e30.${Buffer.from(JSON.stringify([user, organization])).toString('base64url')}.x`;
      return fetch(`${at}me`, { headers: { Authorization: `Bearer ${jwt}` } });
    },
    asked: () => asked,
    deliver: (secret) =>
      fetch(`${at}auth0-logs`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${secret}` },
        body: JSON.stringify([{ data: { date: new Date().toISOString(), type: 'sdu', user_id: 'auth0|gone' } }]),
      }),
    told,
  };
}

const statuses = async (replies: readonly Promise<Response>[]): Promise<number[]> =>
  (await Promise.all(replies)).map(({ status }) => status).sort();

test('who asks too often is told when to come again, at no cost to Vault, and takes nothing from their colleagues', async () => {
  const { me, asked } = await start();
  const first = await statuses(Array.from({ length: RATE + 3 }, () => me('auth0|loud')));
  expect(first).toEqual([...Array.from({ length: RATE }, () => 200), 429, 429, 429]);
  const before = asked();
  // Twice what the whole tenant may.
  const more = await statuses(Array.from({ length: RATE * 20 }, () => me('auth0|loud')));
  expect(new Set(more)).toEqual(new Set([429]));
  expect(asked()).toBe(before);
  const refused = await me('auth0|loud');
  expect(refused.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  expect((await me('auth0|quiet')).status).toBe(200);
});

test('all people of a tenant together may ask ten times as often as one', async () => {
  const { me, asked } = await start();
  const many = await statuses(Array.from({ length: RATE * 10 + 20 }, (_, n) => me(`auth0|${n}`)));
  expect(many).toEqual([...Array.from({ length: RATE * 10 }, () => 200), ...Array.from({ length: 20 }, () => 429)]);
  const before = asked();
  expect((await me('auth0|one-more')).status).toBe(429);
  expect(asked()).toBe(before);
});

test('wrong tokens cost the allowance of their address', async () => {
  const { me } = await start();
  for (let n = 0; n < RATE * 10; n += 1) expect((await me('nobody')).status).toBe(401);
  const banned = await me('nobody');
  expect([banned.status, Number(banned.headers.get('retry-after')) > 0]).toEqual([429, true]);
});

test("nobody who shares Auth0's address, as behind a balancer that isn't trusted, keeps its log stream out", async () => {
  const { me, deliver, told } = await start();
  for (let n = 0; n < RATE * 10; n += 1) expect((await deliver('guess')).status).toBe(401);
  expect([(await deliver('guess')).status, (await me('nobody')).status]).toEqual([429, 429]);
  expect([(await deliver(SECRET)).status, told]).toEqual([204, ['auth0|gone']]);
});
