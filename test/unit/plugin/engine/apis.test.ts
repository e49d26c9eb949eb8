import { expect, test } from 'vitest';
import { apiDocument } from '#broker/authorization/documents.ts';
import { Apis } from '#broker/plugin/engine/apis.ts';
import { Records } from '#broker/plugin/engine/records.ts';
import { MemoryStorage } from './memory-storage.ts';

const api = (audience: string) => ({ ...apiDocument.parse({ audience, source: 'auth0' }), name: 'orders' });

test('a catalogue that a change overtakes is not kept, and each change is told', async () => {
  let changes = 0;
  const records = new Records(new MemoryStorage());
  const apis = new Apis(records, () => (changes += 1));
  await apis.write(api('https://before.example.com'));
  const reading = apis.byName('orders');
  const writing = apis.write(api('https://after.example.com'));
  // As when another node's change is told while this one reads.
  apis.forget();
  await Promise.all([reading, writing]);
  expect(await apis.byName('orders')).toMatchObject({ audience: 'https://after.example.com' });
  expect(await apis.byAudience('https://before.example.com')).toBeUndefined();
  expect(changes).toBe(3);
});
