import { expect, test } from 'vitest';
import { Records } from '#broker/plugin/engine/records.ts';
import { TokenRecords } from '#broker/plugin/engine/token-records.ts';
import { MemoryStorage } from './memory-storage.ts';

const place = { tenant: 'acme', api: 'orders', digest: undefined };

test.each([
  ['a tenant with a slash', { ...place, tenant: 'acme/orders' }],
  ['an API with dots', { ...place, api: '..' }],
  ['a digest of another form', { ...place, digest: '../../globex/orders/whole' }],
])('no storage key is made of %s', async (_what, hostile) => {
  const storage = new MemoryStorage();
  const records = new TokenRecords(new Records(storage), 'cache/', Date.now);
  await expect((async () => records.read(hostile))()).rejects.toThrow('place of a token');
  await expect((async () => records.delete(hostile))()).rejects.toThrow('place of a token');
  expect(storage.calls).toEqual([]);
});
