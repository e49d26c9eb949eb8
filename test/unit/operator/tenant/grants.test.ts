import { expect, test } from 'vitest';
import { merged } from '#broker/operator/tenant/grants.ts';

test('grants of one API are one, and no scope stands twice', () => {
  expect(
    merged([
      { api: 'orders', scopes: ['write:orders', 'read:orders'] },
      { api: 'reports', scopes: [] },
      { api: 'orders', scopes: ['read:orders', 'a:b'] },
    ]),
  ).toEqual([
    { api: 'orders', scopes: ['a:b', 'read:orders', 'write:orders'] },
    { api: 'reports', scopes: [] },
  ]);
});
