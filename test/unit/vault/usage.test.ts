import { randomBytes } from 'node:crypto';
import { describe, expect, test, vi } from 'vitest';
import { VaultFault } from '#broker/vault-fault.ts';
import { newKeyId } from '#broker/vault/key-metadata.ts';
import { USAGE_KEPT_DAYS, VaultUsage, usageDocument, usagePath } from '#broker/vault/usage.ts';
import { Clock } from '#test/unit/credential/clock.ts';
import { KvFixture } from './kv-fixture.ts';

function stage() {
  const fixture = new KvFixture('postern');
  const clock = new Clock();
  const onError = vi.fn();
  const usage = new VaultUsage({ of: 'key', kv: fixture.kv, session: fixture.session, now: clock.now, onError });
  const stored = (keyId: string): number | undefined =>
    usageDocument.key.safeParse(fixture.documents.get(`postern/data/${usagePath('key', keyId)}`)?.data).data?.used[keyId];
  const writes = () => fixture.calls.filter(({ operation }) => operation === 'write');
  return { fixture, clock, usage, stored, writes, onError, minute: Math.floor(clock.ms / 60_000) };
}

test('a document is named by the hash of the key id, and nobody can choose another place', () => {
  for (let n = 0; n < 1000; n++) expect(usagePath('key', newKeyId())).toMatch(/^state\/usage\/[0-9a-f]{2}$/);
  expect(usagePath('key', '../../x')).toMatch(/^state\/usage\/[0-9a-f]{2}$/);
});

test('1,000 keys are one write a document, by the broker itself; the same once more writes nothing', async () => {
  const { usage, stored, writes, minute } = stage();
  const used = new Map(Array.from({ length: 1000 }, () => [newKeyId(), minute] as const));
  expect(await usage.merge(used)).toEqual(new Set());
  expect(writes().length).toBe(new Set([...used.keys()].map((keyId) => usagePath('key', keyId))).size);
  expect(new Set(writes().map(({ path }) => path)).size).toBe(writes().length);
  expect(writes().every(({ token }) => token === 'own')).toBe(true);
  for (const [keyId] of used) expect(stored(keyId)).toBe(minute);
  const before = writes().length;
  await usage.merge(used);
  expect(writes().length).toBe(before);
});

test("of two times the later stays, whoever writes last; others' keys stay too", async () => {
  const { usage, stored, fixture, writes, minute } = stage();
  const keyId = newKeyId();
  let neighbour = newKeyId();
  while (usagePath('key', neighbour) !== usagePath('key', keyId)) neighbour = newKeyId();
  await usage.merge(new Map([[neighbour, minute - 3]]));
  await usage.merge(new Map([[keyId, minute]]));
  await usage.merge(new Map([[keyId, minute - 5]]));
  expect([stored(keyId), stored(neighbour), writes().length]).toEqual([minute, minute - 3, 2]);
  fixture.set(`postern/data/${usagePath('key', keyId)}`, { used: { [keyId]: minute + 5 } });
  await usage.merge(new Map([[keyId, minute + 1]]));
  expect(stored(keyId)).toBe(minute + 5);
});

test('replicas that write at once lose nothing', async () => {
  const { usage, fixture, stored, minute } = stage();
  const keys = Array.from({ length: 3 }, newKeyId);
  const path = `postern/data/${usagePath('key', keys[0]!)}`;
  let races = 2;
  const write = fixture.kv.write.bind(fixture.kv);
  fixture.kv.write = async (...args) => {
    // Another replica is faster, twice.
    if (races-- > 0)
      fixture.set(path, {
        used: { ...(fixture.documents.get(path)?.data as { used?: object } | undefined)?.used, [keys[races + 1]!]: minute },
      });
    return write(...args);
  };
  await usage.merge(new Map([[keys[0]!, minute]]));
  expect(Object.keys((fixture.documents.get(path)!.data as { used: object }).used).sort()).toEqual([...keys].sort());
  expect(stored(keys[0]!)).toBe(minute);
});

describe('a failure', () => {
  test('of one document leaves the rest alone', async () => {
    const { usage, fixture, onError, minute } = stage();
    const used = new Map(Array.from({ length: 50 }, () => [newKeyId(), minute] as const));
    const broken = usagePath('key', [...used.keys()][0]!);
    const read = fixture.kv.read.bind(fixture.kv);
    fixture.kv.read = async (path, options) => {
      if (path === broken) throw new VaultFault('denied', 'permission denied');
      return read(path, options);
    };
    expect(await usage.merge(used)).toEqual(new Set([...used.keys()].filter((keyId) => usagePath('key', keyId) === broken)));
    expect(onError).toHaveBeenCalledOnce();
  });

  test('of Vault itself is asked for once, not 256 times', async () => {
    const { usage, fixture, onError, minute } = stage();
    fixture.fault = new VaultFault('unavailable', 'sealed');
    const used = new Map(Array.from({ length: 500 }, () => [newKeyId(), minute] as const));
    expect((await usage.merge(used)).size).toBe(500);
    expect([fixture.calls.length, onError.mock.calls.length]).toEqual([1, 1]);
  });
});

test('keys that were not used for long are left out, and a document stays below what Vault takes', async () => {
  const { usage, fixture, minute } = stage();
  const keyId = newKeyId();
  const path = `postern/data/${usagePath('key', keyId)}`;
  const idOf = (): string => `key_${randomBytes(12).toString('hex')}`;
  const old = idOf();
  const used: Record<string, number> = { [old]: minute - USAGE_KEPT_DAYS * 24 * 60 - 1 };
  for (let n = 0; n < 10_050; n++) used[idOf()] = minute - 1 - n;
  fixture.set(path, { used });
  await usage.merge(new Map([[keyId, minute]]));
  const { data } = fixture.documents.get(path)!;
  const kept = (data as { used: Record<string, number> }).used;
  expect([Object.keys(kept).length, kept[keyId], old in kept, Math.min(...Object.values(kept))]).toEqual([
    10_000,
    minute,
    false,
    minute - 9_999,
  ]);
  expect(JSON.stringify(data).length).toBeLessThan(512 * 1024);
});

test.each([null, {}, { used: [] }, { used: { 'x y': 1 } }, { used: { [newKeyId()]: 'now' } }])(
  'what is not valid is written anew: %j',
  async (data) => {
    const { usage, fixture, stored, minute } = stage();
    const keyId = newKeyId();
    fixture.set(`postern/data/${usagePath('key', keyId)}`, data);
    expect(await usage.merge(new Map([[keyId, minute]]))).toEqual(new Set());
    expect(stored(keyId)).toBe(minute);
  },
);

test("tenants have documents of their own, so that a broker of an older version goes on reading the keys'", async () => {
  const fixture = new KvFixture('postern');
  const usage = new VaultUsage({ of: 'tenant', kv: fixture.kv, session: fixture.session });
  const minute = Math.floor(Date.now() / 60_000);
  expect(await usage.merge(new Map([['acme', minute]]))).toEqual(new Set());
  const path = usagePath('tenant', 'acme');
  expect(path).toMatch(/^state\/usage\/tenants-[0-9a-f]{2}$/);
  expect(usageDocument.tenant.parse(fixture.documents.get(`postern/data/${path}`)?.data)).toEqual({ used: { acme: minute } });
  expect(usageDocument.key.safeParse({ used: { acme: 5 } }).success).toBe(false);
  expect(usagePath('tenant', '../../x')).toMatch(/^state\/usage\/tenants-[0-9a-f]{2}$/);
});
