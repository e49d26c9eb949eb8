import { expect, test } from 'vitest';
import type { Api } from '#broker/authorization/documents.ts';
import { PosternError } from '#broker/error.ts';
import { checkSpecification } from '#broker/operator/tenant/specification.ts';
import type { TenantSpecification } from '#broker/operator/tenant/specification.ts';

const orders: Api = {
  name: 'orders',
  audience: 'https://orders.example.com',
  source: 'auth0',
  scopes: ['read:orders'],
  lifetime: 86_400,
  dialect: 'access_token',
};
const apis = new Map<string, Api | undefined>([
  ['orders', orders],
  ['broken', undefined],
]);

test('what may be', () => {
  const spec: TenantSpecification = {
    grants: [{ api: 'orders', scopes: ['read:orders'] }],
    defaultApi: 'orders',
    introspects: ['orders'],
    organization: 'org_abc123',
    claims: { 'https://example.com/plan': 'gold' },
    tokenTtl: 300,
    secretIdTtl: 0,
    secretIdNumUses: 0,
    cidrs: ['203.0.113.0/24', '2001:db8::/32'],
  };
  expect(() => checkSpecification('acme', spec, apis)).not.toThrow();
  expect(() => checkSpecification('acme', {}, apis)).not.toThrow();
  expect(() => checkSpecification('acme', { defaultApi: null, organization: null }, apis)).not.toThrow();
});

test.each<[TenantSpecification, RegExp]>([
  [{ grants: [{ api: 'nope', scopes: [] }] }, /no API "nope"; there is orders, broken/],
  [{ grants: [{ api: 'broken', scopes: [] }] }, /"broken" is not valid/],
  [{ grants: [{ api: 'orders', scopes: ['steal'] }] }, /no scope "steal"; it has read:orders/],
  [
    {
      grants: [
        { api: 'orders', scopes: [] },
        { api: 'orders', scopes: [] },
      ],
    },
    /two grants/,
  ],
  [{ grants: [], defaultApi: 'orders' }, /not among its grants/],
  [{ grants: [], publish: ['orders'] }, /no grant for what is to be published: orders/],
  [{ introspects: ['orders', 'nope'] }, /no API "nope" to introspect/],
  [{ introspects: ['broken'] }, /no API "broken" to introspect/],
  [{ organization: 'acme' }, /organization/],
  [{ claims: { plan: 'gold' } }, /URI/],
  [{ claims: { 'https://postern.dev/tenant': 'globex' } }, /can't be set by hand/],
  [{ tokenTtl: 29 }, /one of 30, .* 3600 s/],
  [{ tokenTtl: 3601 }, /one of 30/],
  [{ tokenTtl: 45 }, /one of 30/],
  [{ tokenTtl: 60.5 }, /one of 30/],
  [{ secretIdTtl: 59 }, /60 s to 1 year/],
  [{ secretIdNumUses: -1 }, /number of uses/],
  [{ cidrs: ['203.0.113.0'] }, /block of addresses/],
])('%j may not', (spec, message) => {
  expect(() => checkSpecification('acme', spec, apis)).toThrow(message);
});

test('all faults are told at once', () => {
  try {
    checkSpecification('acme', { grants: [{ api: 'nope', scopes: [] }], tokenTtl: 1, cidrs: ['x', 'y'] }, apis);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(PosternError);
    expect((error as PosternError).code).toBe('invalid_request');
    expect((error as PosternError).message.split('\n')).toHaveLength(5);
  }
});
