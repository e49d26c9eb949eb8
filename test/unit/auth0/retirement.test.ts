import { afterAll, beforeAll, expect, test } from 'vitest';
import { createManagement } from '#broker/auth0/management.ts';
import { RetirableApplications } from '#broker/auth0/retirement.ts';
import { startAuth0 } from '#dev/auth0.ts';
import type { Auth0StandIn } from '#dev/auth0.ts';
import { managementToken } from '#test/fixture/management.ts';

const ORDERS = 'https://orders.example.com';
const DAY_MS = 86_400_000;

let auth0: Auth0StandIn;

beforeAll(async () => {
  auth0 = await startAuth0({
    account: {
      clients: [
        { id: 'old', name: 'Old', secrets: ['secret-of-old'], grantTypes: ['client_credentials'] },
        {
          id: 'web',
          secrets: [],
          grantTypes: ['authorization_code'],
          type: 'regular_web',
          callbacks: ['https://web.example.com/callback'],
        },
        { id: 'shared', secrets: [], grantTypes: ['client_credentials'], metadata: { postern: 'broker' } },
      ],
      apis: [{ audience: ORDERS, scopes: ['read:orders'] }],
      grants: [{ clientId: 'old', audience: ORDERS, scopes: ['read:orders'] }],
      organizations: [],
      people: [],
    },
  });
});
afterAll(() => auth0.stop());

async function open(scopes?: Parameters<typeof managementToken>[1]): Promise<RetirableApplications> {
  const token = await managementToken(auth0, scopes);
  return new RetirableApplications(createManagement({ domain: new URL(auth0.issuer).host, token, loopback: true, retries: 3 }));
}

const exchange = (secret: string): Promise<Response> =>
  fetch(`${auth0.issuer}oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'client_credentials', client_id: 'old', client_secret: secret, audience: ORDERS }),
  });

test('what an application is, and which is the shared one', async () => {
  const applications = await open();
  expect(await applications.find('old')).toMatchObject({
    type: 'non_interactive',
    grantTypes: ['client_credentials'],
    hasCallbacks: false,
  });
  expect(await applications.find('web')).toMatchObject({ type: 'regular_web', hasCallbacks: true });
  expect(await applications.find('nobody')).toBeUndefined();
  expect(await applications.shared()).toEqual(['shared']);
  expect(await applications.grants('old')).toEqual([{ audience: ORDERS, scopes: ['read:orders'] }]);
});

test('what the log tells: a use, a refusal, how far it reaches back; 429s are waited out', async () => {
  const applications = await open();
  const { events } = auth0.log;
  events.length = 0;
  auth0.log.keep('s', { client_id: 'web', date: new Date(Date.now() - 9 * DAY_MS).toISOString() });
  auth0.log.keep('seccft', { client_id: 'old-too', date: new Date(Date.now() - DAY_MS).toISOString() });
  auth0.faults.set({ kind: 'rate_limit' }, { endpoint: 'management', times: 2 });
  expect(await applications.observe('old')).toMatchObject({ since: events[0]?.data.date, used: null, tried: null });
  expect((await exchange('secret-of-old')).status).toBe(200);
  const used = events.at(-1)?.data.date;
  expect(await applications.observe('old')).toMatchObject({ used, tried: used });
  expect((await exchange('wrong')).status).toBe(401);
  expect(await applications.observe('old')).toMatchObject({ used, tried: events.at(-1)?.data.date });
  expect(JSON.stringify(events)).not.toMatch(/secret-of-old|wrong/);
  auth0.log.retentionMs = DAY_MS / 2;
  const later = await open();
  expect(await later.observe('web')).toMatchObject({ since: used, used: null, tried: null });
});

test.each(['old" OR type:s', 'a b', ''])('%j is no client_id to search for', async (id) => {
  await expect((await open()).observe(id)).rejects.toMatchObject({ code: 'invalid_request' });
});

test.each([
  ['read:logs', (one: RetirableApplications) => one.observe('old')],
  ['read:clients', (one: RetirableApplications) => one.find('old')],
  ['read:client_grants', (one: RetirableApplications) => one.grants('old')],
  ['update:clients', (one: RetirableApplications) => one.setGrantTypes('old', [])],
  ['delete:clients', (one: RetirableApplications) => one.remove('old')],
] as const)('without %s it says so', async (scope, work) => {
  const applications = await open(['read:log_streams']);
  await expect(work(applications)).rejects.toMatchObject({
    code: 'access_denied',
    detail: expect.stringContaining(scope),
  });
});

test('disabled, let in again, deleted with its grants; deleting once more is no failure', async () => {
  const applications = await open();
  await applications.setGrantTypes('old', []);
  expect((await exchange('secret-of-old')).status).toBe(403);
  await applications.setGrantTypes('old', ['client_credentials']);
  expect((await exchange('secret-of-old')).status).toBe(200);
  await applications.remove('old');
  await applications.remove('old');
  expect(await applications.find('old')).toBeUndefined();
  expect(await applications.grants('old')).toEqual([]);
});

test('the stand-in deletes and makes grants as Auth0 does', async () => {
  const token = await managementToken(auth0);
  const management = createManagement({ domain: new URL(auth0.issuer).host, token, loopback: true });
  const grant = { client_id: 'shared', audience: ORDERS, scope: ['read:orders'] };
  const { id = '' } = await management.clientGrants.create(grant);
  await expect(management.clientGrants.create(grant)).rejects.toMatchObject({ statusCode: 409 });
  expect((await management.clientGrants.list({ client_id: 'shared' })).data).toMatchObject([{ id, audience: ORDERS }]);
  await management.clientGrants.delete(id);
  expect((await management.clientGrants.list({ client_id: 'shared' })).data).toEqual([]);
});
