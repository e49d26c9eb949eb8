import { afterAll, beforeAll, expect, test } from 'vitest';
import { VaultClient } from '#broker/vault/client.ts';
import { Kv } from '#broker/vault/kv.ts';
import { startVault } from '#test/fixture/vault.ts';
import type { VaultFixture } from '#test/fixture/vault.ts';

/* What grows with the number of tenants, at Vault's own bounds: lists and objects of 10,000, texts of 1 MiB. */

let vault: VaultFixture;
let client: VaultClient;
let kv: Kv;
beforeAll(async () => {
  vault = await startVault();
  client = new VaultClient({ address: vault.address, timeoutMs: 30_000, onBreak: () => {} });
  kv = new Kv(client, 'secret');
});
afterAll(async () => {
  await client?.close();
  await vault?.stop();
});

const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `tenant-${String(n).padStart(6, '0')}`);

test.each<[string, Record<string, unknown>]>([
  ['a list of 12,000 names', { epoch: 3, disabled: names(12_000) }],
  ['an object of 12,000 names', { used: Object.fromEntries(names(12_000).map((name, n) => [name, n])) }],
  ['50,000 disabled tenants', { epoch: 4, disabled: names(50_000) }],
])('%s is kept', async (name, document) => {
  const path = `large-${name.length}`;
  const options = { token: vault.rootToken };
  const version = await kv.write(path, document, 0, options);
  expect(await kv.read(path, options)).toEqual({ data: document, version });
  await expect(kv.write(path, document, 0, options)).rejects.toMatchObject({ reason: 'conflict' });
});

test('what is longer than Vault takes is refused as such, nothing is stored, and nobody takes it for an outage', async () => {
  const options = { token: vault.rootToken };
  for (let n = 0; n < 12; n++)
    await expect(kv.write('longer', { disabled: names(70_000) }, 0, options)).rejects.toMatchObject({
      reason: 'too_large',
      unasked: undefined,
    });
  expect(client.away).toBe(false);
  expect(await kv.read('longer', options)).toEqual({ data: undefined, version: 0 });
});
