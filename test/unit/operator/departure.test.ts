import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { departureId } from '#broker/credential/owner.ts';
import { PosternError } from '#broker/error.ts';
import { clockOf } from '#broker/clock.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { announceDepartures, ownAnnouncer } from '#broker/operator/departure.ts';
import { DEPARTURES_PATH, ENDING_SHARDS, endingShardDocument, endingsDocument } from '#broker/vault/endings.ts';

/** KV v2 with check-and-set, in memory; shared by replicas. */
class Documents {
  readonly stored = new Map<string, { data: Record<string, unknown>; version: number }>();
  lost = 0;
  writes = 0;
  failing = 0;

  async read(path: string): Promise<{ data: Record<string, unknown> | undefined; version: number }> {
    await sleep(1);
    const found = this.stored.get(path);
    return { data: structuredClone(found?.data), version: found?.version ?? 0 };
  }

  async write(path: string, data: Record<string, unknown>, cas: number): Promise<number> {
    await sleep(1);
    if (this.failing-- > 0) throw new PosternError('temporarily_unavailable', 'Vault is away');
    if ((this.stored.get(path)?.version ?? 0) !== cas) {
      this.lost += 1;
      throw new PosternError('conflict', 'lost the race');
    }
    if (path === DEPARTURES_PATH) this.writes += 1;
    this.stored.set(path, { data: structuredClone(data), version: cas + 1 });
    return cas + 1;
  }

  /** Where replicas find it: the document and its archive. */
  get announced(): { id: string; at: number }[] {
    const shards = ENDING_SHARDS.flatMap(
      (shard) => endingShardDocument.safeParse(this.stored.get(`${DEPARTURES_PATH}/${shard}`)?.data).data?.ended ?? [],
    );
    return [...shards, ...endingsDocument.parse(this.stored.get(DEPARTURES_PATH)?.data).recent];
  }
}

const accessTo = (documents: Documents, earliest: () => number = Date.now): VaultAccess =>
  ({
    get earliest() {
      return earliest();
    },
    clock: clockOf({}),
    mounts: { kv: 'postern' },
    call: async (_doing: string, work: (vault: unknown) => unknown) => work({ documents, as: { token: 't' } }),
  }) as unknown as VaultAccess;
const keys = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, n) => ({ kind: 'credential' as const, id: `${prefix}-${n}`, tenant: 'acme' }));

test('people who revoke at once wait for a write or two, not for each other: three replicas, 600 keys, all told', async () => {
  const documents = new Documents();
  const replicas = [1, 2, 3].map(() => ownAnnouncer((work) => work(accessTo(documents)), Date.now));
  await Promise.all(replicas.flatMap((replica, at) => keys(`key-${at}`, 200).map((one) => replica.ended([one]))));
  expect(new Set(documents.announced.map(({ id }) => id)).size).toBe(600);
  expect(documents.writes).toBeLessThan(40);
  expect(documents.lost).toBeLessThan(40);
});

test('a write that fails fails those it was for, and none after', async () => {
  const documents = new Documents();
  const announcer = ownAnnouncer((work) => work(accessTo(documents)), Date.now);
  const ended: typeof announcer.ended = (endings) => announcer.ended(endings);
  documents.failing = 1;
  const [first, second] = [ended(keys('first', 1)), ended(keys('second', 1))];
  await expect(first).rejects.toThrow('Vault is away');
  await expect(second).rejects.toThrow('Vault is away');
  await ended(keys('first', 1));
  expect(documents.announced.map(({ id }) => id)).toEqual(['first-0']);
});

test('nothing but the end of a key comes from somebody who reaches keys alone', async () => {
  const documents = new Documents();
  const announcer = ownAnnouncer((work) => work(accessTo(documents)), Date.now);
  const ended: typeof announcer.ended = (endings) => announcer.ended(endings);
  await ended([
    { kind: 'tokens', id: 'acme', tenant: 'acme' },
    { kind: 'owner', id: 'x', tenant: 'any' },
  ]);
  expect(documents.stored.size).toBe(0);
});

test('rotated keys are told beside what has ended, and neither takes anything of the other away', async () => {
  const documents = new Documents();
  const replicas = [1, 2].map(() => ownAnnouncer((work) => work(accessTo(documents)), Date.now));
  await Promise.all(
    replicas.flatMap((replica, at) => [
      replica.ended(keys(`ended-${at}`, 2)),
      ...keys(`rotated-${at}`, 40).map(({ id }) => replica.rotated(id)),
    ]),
  );
  const { recent, rotated } = endingsDocument.parse(documents.stored.get(DEPARTURES_PATH)?.data);
  expect(recent).toHaveLength(4);
  expect([rotated?.serial, rotated?.keys.length]).toEqual([80, 64]);
  expect(documents.writes).toBeLessThan(12);
});

test('a delivery of 1,000 people, each of another second, is told in a few writes, with the second of each', async () => {
  const documents = new Documents();
  const now = Math.floor(Date.now() / 1000);
  const departures = Array.from({ length: 1_000 }, (_, n) => ({ owner: `auth0|${n}`, at: now - n }));
  expect(await announceDepartures(accessTo(documents), { knownAt: () => undefined }, departures)).toBe(1_000);
  expect(documents.writes).toBeLessThan(40);
  const at = new Map(documents.announced.map((one) => [one.id, one.at]));
  for (const one of departures) expect(at.get(departureId(one.owner))).toBe(one.at + 2);
});

test('what was moved to the archive is thrown out by no clock that is ahead, and by time', async () => {
  const documents = new Documents();
  const right = Date.now();
  let passed = -Infinity;
  const far = 500 * 86_400_000;
  const [before, ahead] = [right, right + far].map((now) =>
    ownAnnouncer(
      (work) => work(accessTo(documents, () => passed)),
      () => now,
    ),
  );
  await before!.ended(keys('old', 128));
  passed = right;
  await ahead!.ended(keys('new', 128));
  expect(new Set(documents.announced.map(({ id }) => id)).size).toBe(256);
  passed = right + far;
  await ahead!.ended(keys('last', 128));
  expect(documents.announced.filter(({ id }) => id.startsWith('old')).length).toBeLessThan(128);
});
