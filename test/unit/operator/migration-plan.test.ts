import { expect, test } from 'vitest';
import type { Api } from '#broker/authorization/documents.ts';
import { planMigration } from '#broker/operator/migration/plan.ts';
import type { Source } from '#broker/operator/migration/plan.ts';

const ORDERS = 'https://orders.example.com';
const orders: Api = {
  name: 'orders',
  audience: ORDERS,
  source: 'transit',
  scopes: ['read:orders', 'write:orders'],
  lifetime: 3_600,
  dialect: 'access_token',
};
const application = (name: string, more: Partial<Source> = {}): Source => ({
  clientId: `id${name.length}abcdefgh`,
  name,
  authentication: 'client_secret_post',
  otherGrantTypes: [],
  metadata: [],
  grants: [{ audience: ORDERS, scopes: ['read:orders'], organization: 'deny' }],
  ...more,
});
const plan = (applications: Source[], tenants: string[] = [], except: string[] = []) =>
  planMigration(applications, { apis: new Map([['orders', orders]]), tenants, except });

test('an application becomes a tenant with its grants', () => {
  expect(plan([application('Acme GmbH & Co. (nightly)')])).toEqual([
    {
      client_id: 'id25abcdefgh',
      name: 'Acme GmbH & Co. (nightly)',
      tenant: 'acme-gmbh-co-nightly',
      migrate: true,
      grants: [{ api: 'orders', scopes: ['read:orders'] }],
      left_behind: ['its client_id and client_secret: the tenant gets new ones'],
    },
  ]);
});

test.each([
  ['a name that another one has', [application('Acme'), application('ACME!')], [], ['acme', 'acme-id5abcde']],
  ['a name that a tenant has', [application('Acme')], ['acme'], ['acme-id4abcde']],
  ['both of its names taken', [application('Acme')], ['acme', 'acme-id4abcde'], ['acme-id4abcde-2']],
  ['a reserved word', [application('Broker')], [], ['broker-id6abcde']],
  ['no letter at all', [application('顧客')], [], ['id2abcde']],
  ['accents', [application('Zoë Café')], [], ['zoe-cafe']],
  ['a name too long', [application('x'.repeat(90))], [], ['x'.repeat(63)]],
])('%s', (_, applications, tenants, names) => {
  expect(plan(applications, tenants).map(({ tenant }) => tenant)).toEqual(names);
});

test.each([
  ['another audience', { audience: 'https://other.example.com', scopes: [], organization: 'deny' }, [], /no API of this audience/],
  [
    "Auth0's Management API",
    { audience: 'https://a.eu.auth0.com/api/v2/', scopes: ['read:users'], organization: 'deny' },
    [],
    /never given/,
  ],
  ['no scope left', { audience: ORDERS, scopes: ['gone'], organization: 'deny' }, [], /no scope gone/],
  ['one scope unknown', { audience: ORDERS, scopes: ['gone', 'read:orders'], organization: 'deny' }, [['read:orders']], /no scope gone/],
  [
    'all scopes',
    { audience: ORDERS, scopes: 'all', organization: 'require' },
    [['read:orders', 'write:orders']],
    /must name an organization/,
  ],
  ['an organization allowed', { audience: ORDERS, scopes: [], organization: 'allow' }, [[]], /may name an organization/],
] as const)('%s', (_, grant, scopes, why) => {
  const [one] = plan([application('Acme', { grants: [grant] })]);
  expect(one?.grants.map((granted) => granted.scopes)).toEqual(scopes);
  expect(one?.migrate).toBe(scopes.length > 0);
  expect(one?.left_behind.join('\n')).toMatch(why);
});

test('what a tenant has no place for is told', () => {
  const more = { authentication: 'private_key_jwt', otherGrantTypes: ['authorization_code'], metadata: ['plan'], grants: [] };
  const told = plan([application('Acme', more)])[0]?.left_behind.join('\n');
  for (const why of [/private_key_jwt/, /authorization_code stay at Auth0/, /metadata \(plan\)/, /no client grant/])
    expect(told).toMatch(why);
});

test('what is excepted stays', () => {
  expect(plan([application('Acme'), application('Shared')], [], ['id6abcdefgh']).map(({ name }) => name)).toEqual(['Acme']);
});

test('planned again, what became a tenant keeps its name', () => {
  const [acme] = planMigration([application('Acme')], {
    apis: new Map([['orders', orders]]),
    tenants: ['acme'],
    except: [],
    known: new Map([['id4abcdefgh', 'acme']]),
  });
  expect(acme?.tenant).toBe('acme');
});
