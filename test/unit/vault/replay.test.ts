import { hash } from 'node:crypto';
import { beforeEach, expect, test } from 'vitest';
import type { VaultClient } from '#broker/vault/client.ts';
import type { PosternError } from '#broker/error.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { Kv } from '#broker/vault/kv.ts';
import { VaultReplay } from '#broker/vault/replay.ts';
import type { VaultSession } from '#broker/vault/session.ts';
import { Clock } from '#test/unit/credential/clock.ts';

const HOUR = 3600;
/** An hour begins. */
const BEGIN = 500_000 * HOUR;

/** A KV v2 mount whose writes are the first of their name or conflict, shared by replicas with clocks of their own. */
class Mount {
  readonly records = new Map<string, number>();
  fault: VaultFault | undefined;
  time = 0;
  /** Names in the longest list. */
  longest = 0;

  replica(clock: Clock): VaultReplay {
    const kv = {
      write: async (path: string, { data, options }: { data: { until: number }; options: { cas: number } }) => {
        if (this.fault) throw this.fault;
        expect(options.cas).toBe(0);
        await Promise.resolve();
        if (this.records.has(path))
          throw new VaultFault('conflict', 'check-and-set parameter did not match the current version', { status: 400 });
        this.records.set(path, data.until);
        return { data: { version: 1 } };
      },
      list: async (path: string) => {
        const folder = path === 'postern-replay/metadata' ? 'postern-replay/data/' : `${path.replace('/metadata/', '/data/')}/`;
        const names = new Set<string>();
        for (const p of this.records.keys()) if (p.startsWith(folder)) names.add(p.slice(folder.length).replace(/\/.*/, '/'));
        this.longest = Math.max(this.longest, names.size);
        return [...names];
      },
      delete: async (path: string) => void this.records.delete(path.replace('/metadata/', '/data/')),
    };
    const session = { use: <T>(call: (token: string) => Promise<T>) => call('own') } as unknown as VaultSession;
    const health = async () => ({
      status: 200,
      initialized: true,
      sealed: false,
      standby: false,
      version: '',
      product: 'Vault' as const,
      time: this.time,
    });
    return new VaultReplay({ client: { health }, kv: new Kv(kv as unknown as VaultClient, 'postern-replay'), session, now: clock.now });
  }
}

let mount: Mount;
beforeEach(() => {
  mount = new Mount();
});

test('one record, where the assertion ends within the hour', async () => {
  const replay = mount.replica(new Clock((BEGIN + 1000) * 1000));
  expect(await replay.claim('k', BEGIN + 1330)).toBe(true);
  expect([...mount.records.keys()]).toEqual(['postern-replay/data/500000-k/k']);
  expect(await replay.claim('k', BEGIN + 1330)).toBe(false);
});

test('over the hour: two, so that neither side of it forgets', async () => {
  const before = mount.replica(new Clock((BEGIN - 10) * 1000));
  const after = mount.replica(new Clock((BEGIN + 10) * 1000));
  expect(await before.claim('k', BEGIN + 60)).toBe(true);
  expect([...mount.records.keys()].sort()).toEqual(['postern-replay/data/499999-k/k', 'postern-replay/data/500000-k/k']);
  expect(await after.claim('k', BEGIN + 60)).toBe(false);
  // The same jti under another end.
  expect(await after.claim('k', BEGIN + 300)).toBe(false);
  expect(await before.claim('k', BEGIN - 5)).toBe(false);
});

test('clocks that differ, at any second around the hour, at once: exactly one', async () => {
  for (let offset = -40; offset <= 40; offset += 5) {
    const end = BEGIN + offset + 45;
    const replicas = [-30, -7, 0, 7, 30].map((skew) => mount.replica(new Clock((BEGIN + offset + skew) * 1000)));
    const taken = await Promise.all(replicas.map((replica) => replica.claim(`at ${offset}`.replace(' ', '-'), end)));
    expect(taken.filter(Boolean), String(offset)).toHaveLength(1);
  }
});

test("an assertion that ended by a slow replica's clock in the hour before has its record where it ends", async () => {
  expect(await mount.replica(new Clock((BEGIN + 20) * 1000)).claim('k', BEGIN - 1)).toBe(true);
  expect(await mount.replica(new Clock((BEGIN - 20) * 1000)).claim('k', BEGIN - 1)).toBe(false);
});

test.each(['unreachable', 'timeout', 'unavailable', 'throttled', 'denied', 'not_found', 'invalid'] as const)(
  'Vault %s is not an answer',
  async (reason) => {
    mount.fault = new VaultFault(reason, 'no');
    await expect(mount.replica(new Clock()).claim('k', 1)).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  },
);

test('tidying leaves whatever may still count, and strangers', async () => {
  const clock = new Clock((BEGIN + 899) * 1000);
  mount.time = clock.ms;
  const replay = mount.replica(clock);
  // With a shard, and without one as older brokers wrote.
  for (const path of ['499997/a', '499998-b0/b', '499999-c0/c', '500000/d', 'other/e', '499998-zz/f'])
    mount.records.set(`postern-replay/data/${path}`, 0);
  expect(await replay.tidy()).toBe(2);
  expect([...mount.records.keys()].map((path) => path.replace('postern-replay/data/', ''))).toEqual([
    '499999-c0/c',
    '500000/d',
    'other/e',
    '499998-zz/f',
  ]);
  clock.advance(2_000);
  mount.time = clock.ms;
  expect(await replay.tidy()).toBe(1);
});

test('an hour of 200,000 assertions is tidied at once, and no list has more than some of them', async () => {
  const clock = new Clock((BEGIN + 100) * 1000);
  const replay = mount.replica(clock);
  for (let n = 0; n < 200_000; n++) {
    const key = hash('sha256', String(n));
    if (n < 1000) expect(await replay.claim(key, BEGIN + 200)).toBe(true);
    else mount.records.set(`postern-replay/data/500000-${key.slice(0, 2)}/${key}`, 0);
  }
  expect(new Set([...mount.records.keys()].map((path) => path.split('/')[2])).size).toBe(256);
  clock.advance(2 * HOUR * 1000);
  mount.time = clock.ms;
  expect(await replay.tidy()).toBe(200_000);
  expect(mount.records.size).toBe(0);
  expect(mount.longest).toBeLessThan(2000);
}, 120_000);

test.each([
  ['unreachable', true],
  ['timeout', true],
  ['unavailable', true],
  ['not_asked', false],
  ['throttled', false],
] as const)('%s: who may have used theirs is told to make a new one (%s), and is never let in by the old', async (reason, told) => {
  const replica = mount.replica(new Clock(BEGIN * 1000));
  mount.fault = new VaultFault(reason, 'no');
  const refused = await replica.claim('k', BEGIN + 60).then(
    () => undefined,
    (error: unknown) => error as PosternError,
  );
  expect(refused?.code).toBe('temporarily_unavailable');
  expect(refused?.message.includes('a new assertion')).toBe(told);
  mount.fault = undefined;
  // As where the write was carried out.
  expect(await mount.replica(new Clock(BEGIN * 1000)).claim('k', BEGIN + 60)).toBe(true);
  expect(await replica.claim('k', BEGIN + 60)).toBe(false);
});

test('a replica whose clock is off throws nothing away', async () => {
  const replay = mount.replica(new Clock((BEGIN + 5 * HOUR) * 1000));
  mount.records.set('postern-replay/data/500000/d', 0);
  mount.time = BEGIN * 1000;
  expect(await replay.tidy()).toBe(0);
  expect(mount.records.size).toBe(1);
});
