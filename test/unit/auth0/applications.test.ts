import { afterAll, beforeAll, expect, test } from 'vitest';
import { readApplications } from '#broker/auth0/applications.ts';
import { createManagement } from '#broker/auth0/management.ts';
import { startAuth0 } from '#dev/auth0.ts';
import type { Auth0StandIn } from '#dev/auth0.ts';

const ORDERS = 'https://orders.example.com';
const COUNT = 250;

let auth0: Auth0StandIn;

beforeAll(async () => {
  const ids = Array.from({ length: COUNT }, (_, at) => `m2m${String(at).padStart(3, '0')}`);
  auth0 = await startAuth0({
    account: {
      clients: [
        { id: 'reader', secrets: ['reader-secret'], grantTypes: ['client_credentials'] },
        { id: 'page', secrets: [], grantTypes: ['authorization_code'] },
        ...ids.map((id) => ({ id, name: `App ${id}`, secrets: [`secret-of-${id}`], grantTypes: ['client_credentials' as const] })),
      ],
      apis: [{ audience: ORDERS, scopes: ['read:orders'] }],
      grants: ids.map((clientId) => ({ clientId, audience: ORDERS, scopes: ['read:orders'] })),
      organizations: [],
      people: [],
    },
  });
});

afterAll(() => auth0.stop());

async function management(scope?: string) {
  const fields = {
    grant_type: 'client_credentials',
    client_id: 'reader',
    client_secret: 'reader-secret',
    audience: `${auth0.issuer}api/v2/`,
  };
  auth0.account.grants.push({ clientId: 'reader', audience: fields.audience, scopes: ['read:clients', 'read:client_grants'] });
  const response = await fetch(`${auth0.issuer}oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({ ...fields, ...(scope === undefined ? {} : { scope }) }),
  });
  auth0.account.grants.pop();
  const { access_token: token } = (await response.json()) as { access_token: string };
  return createManagement({ domain: new URL(auth0.issuer).host, token, loopback: true, retries: 3 });
}

test('every page is read, 429s are waited out, and no secret is in what comes back', async () => {
  const client = await management();
  auth0.faults.set({ kind: 'rate_limit' }, { endpoint: 'management', times: 2 });
  const applications = await readApplications(client);
  expect(applications).toHaveLength(COUNT + 1);
  expect(applications.filter(({ grants }) => grants.length === 1)).toHaveLength(COUNT);
  expect(applications.at(0)).toEqual({
    clientId: 'm2m000',
    name: 'App m2m000',
    authentication: 'client_secret_post',
    otherGrantTypes: [],
    isShared: false,
    metadata: [],
    grants: [{ audience: ORDERS, scopes: ['read:orders'], organization: 'deny' }],
  });
  expect(JSON.stringify(applications)).not.toContain('secret-of');
});

test.each([
  ['read:client_grants', 'read:clients'],
  ['read:clients', 'read:client_grants'],
])('with %s alone the missing scope is named', async (has, missing) => {
  await expect(readApplications(await management(has))).rejects.toMatchObject({
    code: 'access_denied',
    detail: expect.stringContaining(missing),
  });
});
