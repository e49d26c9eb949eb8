import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { RecentRevocations, RevokedToken } from '#broker/token/revocations.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { VaultRevocations } from '#broker/vault/revocations.ts';
import { KvFixture } from './kv-fixture.ts';

const NOW = 1_800_000_000;
const PLACE = 'postern/data/state/revocations';
const tokenOf = (n: number, over: Partial<RevokedToken> = {}): RevokedToken => ({
  sha256: createHash('sha256').update(String(n)).digest('hex'),
  tenant: 'acme',
  exp: NOW + 3600,
  at: NOW,
  ...over,
});

function stage() {
  const fixture = new KvFixture('postern');
  const log = new VaultRevocations(fixture.kv, fixture.session, () => NOW * 1000);
  const append = async (token: RevokedToken): Promise<RecentRevocations> => {
    const after = await log.append(token, await log.readRecent());
    if (after === undefined) throw new Error('lost a race');
    return after;
  };
  return { fixture, log, append };
}

describe('the log', () => {
  test('is empty where nothing was ever revoked', async () => {
    const { log } = stage();
    expect(await log.readRecent()).toEqual({ serial: 0, recent: [], version: 0 });
    expect(await log.readArchive()).toEqual([]);
  });

  test("holds SHA-256, tenant and end, by the broker's own token", async () => {
    const { append, fixture, log } = stage();
    expect(await append(tokenOf(1))).toEqual({ serial: 1, recent: [tokenOf(1)], version: 1 });
    expect(await log.readRecent()).toEqual({ serial: 1, recent: [tokenOf(1)], version: 1 });
    expect(fixture.documents.get(PLACE)?.data).toEqual({ serial: 1, recent: [tokenOf(1)] });
    expect(new Set(fixture.calls.map(({ token }) => token))).toEqual(new Set(['own']));
  });

  test('tells who was slower, and keeps what the faster one wrote', async () => {
    const { log } = stage();
    const before = await log.readRecent();
    await log.append(tokenOf(1), before);
    expect(await log.append(tokenOf(2), before)).toBeUndefined();
    expect((await log.readRecent()).recent).toEqual([tokenOf(1)]);
  });

  test('stays small: the older half of 128 moves to shards, and nothing is lost on the way', async () => {
    const { append, fixture, log } = stage();
    for (let i = 0; i < 128; i++) await append(tokenOf(i));
    expect([...fixture.documents.keys()]).toEqual([PLACE]);
    expect((await append(tokenOf(128))).recent).toHaveLength(65);
    const [{ serial, recent }, archive] = [await log.readRecent(), await log.readArchive()];
    expect(serial).toBe(129);
    expect([...recent, ...archive].map(({ sha256 }) => sha256).sort()).toEqual(
      Array.from({ length: 129 }, (_, i) => tokenOf(i).sha256).sort(),
    );
    expect(archive).toContainEqual(tokenOf(0, { at: 0 }));
    for (const [path, { data }] of fixture.documents) {
      if (path !== PLACE)
        for (const sha256 of Object.keys((data as { revoked: object }).revoked)) expect(`${PLACE}/${sha256[0]}`).toBe(path);
    }
  });

  test('interrupted between the shards and the list, it has them in both, and goes on', async () => {
    const { append, fixture, log } = stage();
    for (let i = 0; i < 128; i++) await append(tokenOf(i));
    const before = await log.readRecent();
    // Somebody else is faster just then.
    fixture.set(PLACE, { serial: 128, recent: before.recent });
    expect(await log.append(tokenOf(200), before)).toBeUndefined();
    expect((await log.readRecent()).recent).toHaveLength(128);
    expect(await log.readArchive()).toHaveLength(64);
    await append(tokenOf(200));
    expect(await log.readArchive()).toHaveLength(64);
  });

  test('lets go of what has ended, and of nothing else', async () => {
    const { append, log } = stage();
    for (let i = 0; i < 128; i++) await append(tokenOf(i, i % 2 ? { exp: NOW - 61 } : { exp: NOW - 59 }));
    await append(tokenOf(128));
    expect(await log.readArchive()).toHaveLength(32);
  });

  test('that is full refuses: none is thrown out to make room, for it would be good again', async () => {
    const { append, fixture, log } = stage();
    for (let i = 0; i < 128; i++) await append(tokenOf(i));
    const revoked = Object.fromEntries(
      Array.from({ length: 4000 }, (_, i) => [`0${i.toString(16).padStart(63, '0')}`, `${NOW + 100} globex`]),
    );
    for (const digit of '0123456789abcdef') {
      fixture.set(`${PLACE}/${digit}`, {
        revoked: Object.fromEntries(Object.entries(revoked).map(([sha256, text]) => [`${digit}${sha256.slice(1)}`, text])),
      });
    }
    await expect(append(tokenOf(500))).rejects.toMatchObject({
      code: 'temporarily_unavailable',
      retryAfter: 60,
      detail: expect.stringContaining('is full'),
    });
    expect((await log.readRecent()).recent).toHaveLength(128);
    // The biggest document there can be stays below what Vault's storage takes in one entry.
    expect(JSON.stringify(fixture.documents.get(`${PLACE}/0`)?.data).length).toBeLessThan(512 * 1024);
  });
});

describe('nobody guesses that nothing is revoked', () => {
  test.each<[string, unknown]>([
    ['another form', { revoked: [] }],
    ['no serial', { recent: [] }],
    ['something else in place of a SHA-256', { serial: 1, recent: [tokenOf(1, { sha256: 'x' })] }],
    ['a tenant that none can be', { serial: 1, recent: [tokenOf(1, { tenant: '../x' })] }],
  ])('a document with %s is an error', async (_fault, data) => {
    const { fixture, log } = stage();
    fixture.set(PLACE, data);
    await expect(log.readRecent()).rejects.toMatchObject({ code: 'temporarily_unavailable', detail: expect.stringContaining('not valid') });
  });

  test.each<[string, unknown]>([
    ['another form', { revoked: 1 }],
    ['an end that is not a number', { revoked: { [tokenOf(1).sha256]: 'soon acme' } }],
    ['a key that is not an SHA-256', { revoked: { x: `${NOW} acme` } }],
  ])('so is a shard with %s', async (_fault, data) => {
    const { fixture, log } = stage();
    fixture.set(`${PLACE}/7`, data);
    await expect(log.readArchive()).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  });

  test('a policy from before says what to do', async () => {
    const { fixture, log } = stage();
    fixture.fault = new VaultFault('denied', 'Vault answered 403', { status: 403 });
    await expect(log.readRecent()).rejects.toMatchObject({
      code: 'temporarily_unavailable',
      detail: expect.stringContaining('terraform apply'),
    });
  });
});
