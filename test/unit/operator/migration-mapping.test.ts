import { expect, test } from 'vitest';
import { entriesOf, readMapping } from '#broker/operator/migration/mapping.ts';

const one = { client_id: 'abc', name: 'Acme', tenant: 'acme', migrate: true, grants: [{ api: 'orders', scopes: [] }], left_behind: ['x'] };
const file = (applications: unknown[], more: object = {}) =>
  JSON.stringify({ version: 1, domain: 'acme.eu.auth0.com', applications, ...more });

test('what a person adds becomes the tenant', () => {
  const { applications } = readMapping(`\uFEFF${file([{ ...one, organization: 'org_a', cidrs: ['10.0.0.0/8'], secret_id_ttl: 86_400 }])}`);
  expect(entriesOf(applications)).toEqual([
    {
      at: 1,
      faults: [],
      record: {
        tenant: 'acme',
        grants: one.grants,
        organization: 'org_a',
        cidrs: ['10.0.0.0/8'],
        secret_id_ttl: 86_400,
        issue: 'secret_id',
        credential: 'migrated from abc',
      },
    },
  ]);
});

test.each([
  ['a key', 'key', { issue: 'key', credential: 'migrated from abc' }],
  ['nothing', null, {}],
] as const)('one may ask for %s', (_, issue, expected) => {
  const [entry] = entriesOf(readMapping(file([{ ...one, issue }])).applications);
  expect(entry?.record).toEqual({ tenant: 'acme', grants: one.grants, ...expected });
});

test.each([
  ['no JSON', '{', /no JSON/],
  ['no plan', '[]', /the file: /],
  ['of another version', file([], { version: 2 }), /version/],
  ['a mistyped field', file([{ ...one, cidr: ['10.0.0.0/8'] }]), /abc: there is no field "cidr"; do you mean "cidrs"\?/],
  ['a mistyped field of the file', file([], { aplications: [] }), /"aplications"; do you mean "applications"/],
  ['a grant without scopes', file([{ ...one, grants: [{ api: 'orders' }] }]), /abc\.grants\.0\.scopes/],
  ['a migrate that is text', file([{ ...one, migrate: 'no' }]), /abc\.migrate/],
  ['a client_id that would be a query', file([{ ...one, client_id: 'a" OR type:s' }]), /no application's client_id/],
  ['one application twice', file([one, { ...one, tenant: 'other' }]), /abc stands there twice/],
])('%s is refused', (_, text, message) => expect(() => readMapping(text)).toThrow(message));

test('every fault is told at once', () => {
  const text = file([
    { ...one, migrate: 1 },
    { ...one, client_id: 'def', tenant: 7 },
  ]);
  expect(() => readMapping(text)).toThrow(/abc\.migrate[^]*def\.tenant/);
});
