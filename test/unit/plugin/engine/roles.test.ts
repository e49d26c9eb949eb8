import { expect, test } from 'vitest';
import { Records } from '#broker/plugin/engine/records.ts';
import { Roles, roleDocument } from '#broker/plugin/engine/roles.ts';
import { MemoryStorage } from './memory-storage.ts';

const role = (scope: string) => roleDocument.parse({ grants: [{ api: 'orders', scopes: [scope] }] });

async function stage() {
  const storage = new MemoryStorage();
  const roles = new Roles(new Records(storage));
  await roles.write('acme', role('read'));
  return { storage, roles };
}

test('a role is read once, and who had it is told when it is written', async () => {
  const { storage, roles } = await stage();
  const before = (await roles.find('acme'))!;
  expect(roles.find('acme')).toBe(before);
  expect(roles.isCurrent(before)).toBe(true);
  await roles.write('acme', role('write'));
  expect(roles.isCurrent(before)).toBe(false);
  const after = (await roles.find('acme'))!;
  expect(after.role.grants[0]?.scopes).toEqual(['write']);
  expect(roles.isCurrent(after)).toBe(true);
  expect(storage.calls.filter((call) => call === 'get roles/acme')).toHaveLength(2);
});

test('a reading that a write overtakes is not kept, and its role is not the current one', async () => {
  const { roles } = await stage();
  const reading = roles.find('acme');
  // As when another node writes it while this one reads.
  roles.forget('acme');
  const slow = (await reading)!;
  expect(roles.isCurrent(slow)).toBe(false);
  expect(roles.known('acme')).toBeUndefined();
});

test('a reading that fails is not kept', async () => {
  const { storage, roles } = await stage();
  storage.failing = /^get/;
  await expect((async () => roles.find('acme'))()).rejects.toMatchObject({ status: 503 });
  storage.failing = undefined;
  expect(await roles.find('acme')).toMatchObject({ role: { grants: [{ api: 'orders' }] } });
});

test('what is not a role is not listed, and a name without a role is not kept', async () => {
  const { storage, roles } = await stage();
  await storage.put('roles/acme/inner', new Uint8Array());
  await storage.put('roles/Upper', new Uint8Array());
  expect(await roles.names()).toEqual(['acme']);
  expect(await roles.find('nobody')).toBeUndefined();
  await roles.write('nobody', role('read'));
  expect(await roles.find('nobody')).toMatchObject({ role: { grants: [{ api: 'orders' }] } });
});
