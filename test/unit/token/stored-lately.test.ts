import { expect, test } from 'vitest';
import { StoredLately } from '#broker/token/stored-lately.ts';
import { Token } from '#broker/token/token.ts';
import { grantOf } from '#test/unit/authorization/stage.ts';
import { Clock } from '#test/unit/credential/clock.ts';
import { MemoryStore } from './memory-store.ts';

async function stage() {
  const clock = new Clock();
  const store = new MemoryStore();
  const errors: unknown[] = [];
  const says = { gone: new Set<string>(), changes: 0, judged: 0, known: true };
  const lately = new StoredLately({
    now: clock.now,
    monotonic: clock.monotonic,
    after: () => () => {},
    store,
    changes: () => says.changes,
    isVoid: (tenant) => {
      says.judged++;
      if (!says.known) throw new Error('not known');
      return says.gone.has(tenant);
    },
    onError: (error) => errors.push(error),
  });
  const grant = await grantOf();
  const entry = () => [...store.entries.values()][0];
  const put = async () => {
    const token = new Token('a.b.c', 'read:all', 1_800_000_000, 1_800_003_600);
    lately.add(grant, token, (await store.write(grant, token, undefined, entry()?.version ?? 0))!);
  };
  const end = () => {
    says.gone.add(grant.tenant);
    says.changes++;
  };
  return { clock, end, entry, errors, lately, put, says, store };
}

test('what was ended after it was stored is taken out, once', async () => {
  const s = await stage();
  await s.put();
  await s.lately.look();
  expect(s.entry()?.token).toBeDefined();
  s.end();
  await s.lately.look();
  expect(s.entry()?.token).toBeUndefined();
  await s.lately.look();
  expect(s.store.writes).toBe(2);
});

test('what is stored though it was ended before is taken out, too', async () => {
  const s = await stage();
  s.end();
  await s.lately.look();
  await s.put();
  await s.lately.look();
  expect(s.entry()?.token).toBeUndefined();
});

test('what somebody else wrote or cleared since is theirs, and what was stored long ago is left to operators', async () => {
  const s = await stage();
  await s.put();
  await s.store.write((await grantOf())!, new Token('d.e.f', '', 1, 2), undefined, 1);
  s.end();
  await s.lately.look();
  expect(s.entry()?.token?.accessToken).toBe('d.e.f');
  const late = await stage();
  await late.put();
  late.clock.advance(90_001);
  late.end();
  await late.lately.look();
  expect([late.store.writes, late.says.judged]).toEqual([1, 0]);
});

test('is judged again only where something was heard, where nobody knew, and where it could not be taken out', async () => {
  const s = await stage();
  await s.put();
  for (let n = 0; n < 3; n++) await s.lately.look();
  expect(s.says.judged).toBe(1);
  s.end();
  s.says.known = false;
  for (let n = 0; n < 3; n++) await s.lately.look();
  expect(s.says.judged).toBe(4);
  s.says.known = true;
  s.store.before = () => {
    throw new Error('away');
  };
  for (let n = 0; n < 3; n++) await s.lately.look();
  expect(s.errors).toHaveLength(3);
  s.store.before = () => {};
  await s.lately.look();
  expect(s.entry()?.token).toBeUndefined();
});
