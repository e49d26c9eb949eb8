import { expect, test } from 'vitest';
import { ActiveNode } from '#broker/vault/active-node.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { Loopback } from './loopback.ts';

const indexOf = (state: unknown): string => Buffer.from(JSON.stringify(state)).toString('base64');
const cluster = 'f1dfb4a7-99b9-6f50-c2cd-3c4e85bdfb7a';
const beyond = { cluster, value: '9223372036854775807' };

test('once a server has told its state, every request asks for one that only the active node has', async () => {
  await using vault = await Loopback.start(() => [200, { data: {} }, { 'X-Vault-Index': indexOf({ cluster, value: '40' }) }]);
  const client = new VaultClient({ address: vault.origin });
  await client.write('postern/data/a', {}, { token: 'hvs.x' });
  await client.read('postern/data/a', { token: 'hvs.x' });
  await client.health();
  await client.close();
  const [first, ...later] = vault.received.map(({ headers }) => [headers['x-vault-index'], headers['x-vault-inconsistent']]);
  expect(first).toEqual([undefined, undefined]);
  expect(later).toEqual(Array.from({ length: 2 }, () => [indexOf(beyond), 'forward-active-node']));
});

test.each([
  ['none', undefined],
  ['several', ['a', 'b']],
  ['no base64', '%%%'],
  ['no JSON', Buffer.from('{').toString('base64')],
  ['nothing', Buffer.from('null').toString('base64')],
  ['no cluster', indexOf({ value: '40' })],
  ['a value that is no number', indexOf({ cluster, value: 'x' })],
  ["another product's", indexOf({ cluster_id: cluster, local_index: 40, replicated_index: 0 })],
])('%s tells no state', (_what, index) => {
  const node = new ActiveNode();
  node.hear(index);
  expect(node.headers).toEqual({});
});

test('another cluster behind the same address is asked for a state of its own', () => {
  const node = new ActiveNode();
  node.hear(indexOf({ cluster, value: '40' }));
  const before = node.headers;
  node.hear(indexOf({ cluster, value: '41' }));
  expect(node.headers).toBe(before);
  node.hear(indexOf({ cluster: 'other', value: '1' }));
  expect(node.headers['X-Vault-Index']).toBe(indexOf({ cluster: 'other', value: beyond.value }));
});
