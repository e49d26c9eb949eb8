import { expect, test } from 'vitest';
import { apiDocument } from '#broker/authorization/documents.ts';
import { Apis } from '#broker/plugin/engine/apis.ts';
import { Records } from '#broker/plugin/engine/records.ts';
import { MemoryStorage } from './memory-storage.ts';
import { Lines } from './stage.ts';

const api = (audience: string) => ({ ...apiDocument.parse({ audience, source: 'auth0' }), name: 'orders' });

test('a catalogue that a change overtakes is not kept, and each change is told', async () => {
  let changes = 0;
  const records = new Records(new MemoryStorage());
  const apis = new Apis(records, new Lines(), () => (changes += 1));
  await apis.write(api('https://before.example.com'));
  const reading = apis.byName('orders');
  const writing = apis.write(api('https://after.example.com'));
  // As when another node's change is told while this one reads.
  apis.forget('orders');
  await Promise.all([reading, writing]);
  expect(await apis.byName('orders')).toMatchObject({ audience: 'https://after.example.com' });
  expect(await apis.byAudience('https://before.example.com')).toBeUndefined();
  expect(changes).toBe(3);
});

test('one that is written as it is changes nothing, and the catalogue is kept over a change', async () => {
  const changed: string[] = [];
  const storage = new MemoryStorage();
  const apis = new Apis(new Records(storage), new Lines(), (name) => changed.push(name));
  await apis.write(api('https://one.example.com'));
  await apis.byName('orders');
  changed.length = 0;
  storage.calls.length = 0;
  await apis.write(api('https://one.example.com'));
  expect(changed).toEqual([]);
  await apis.write(api('https://two.example.com'));
  expect(apis.byAudience('https://two.example.com')).toMatchObject({ name: 'orders' });
  expect(apis.byAudience('https://one.example.com')).toBeUndefined();
  await apis.delete('orders');
  expect(apis.byName('orders')).toBeUndefined();
  expect(changed).toEqual(['orders', 'orders']);
  expect(storage.calls).toEqual(['put apis/orders', 'put apis/orders', 'delete apis/orders']);
});

test('whether a write that failed was done is not known: the catalogue is read again', async () => {
  const storage = new MemoryStorage();
  const apis = new Apis(new Records(storage), new Lines(), () => {});
  await apis.write(api('https://one.example.com'));
  await apis.byName('orders');
  storage.failing = /^put/;
  await expect(apis.write(api('https://two.example.com'))).rejects.toMatchObject({ status: 503 });
  storage.calls.length = 0;
  await apis.byName('orders');
  expect(storage.calls).toContain('get apis/orders');
});
