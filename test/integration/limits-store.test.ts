import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { limitsStoreOf } from '#broker/limits-store.ts';
import type { LimitsStore } from '#broker/limits-store.ts';
import { allowanceOf } from '#broker/rate-limit/allowance.ts';
import type { Allowance, Party } from '#broker/rate-limit/allowance.ts';
import type { Limits } from '#broker/rate-limit/limits.ts';
import { LocalLimiter } from '#broker/rate-limit/local-limiter.ts';
import { SharedLimiter } from '#broker/rate-limit/shared-limiter.ts';
import { connectStore } from '#broker/rate-limit/store.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startRedis } from '#test/fixture/redis.ts';
import type { RunningRedis } from '#test/fixture/redis.ts';
import { until } from '#test/fixture/until.ts';
import { makeCertificates } from '#test/conformance/certificate.ts';
import type { Certificates } from '#test/conformance/certificate.ts';

/** Seconds of the test of exactness; the is of 30. */
const SECONDS = Number(process.env['POSTERN_LIMITS_SECONDS'] ?? 3);

const of = (limits: Limits, party: Party = 'tenant', id = 'acme'): Allowance => allowanceOf(party, id, limits)!;

let redis: RunningRedis;
let admin: Redis;
beforeAll(async () => {
  redis = await startRedis();
  admin = new Redis({ port: redis.port });
});
afterAll(async () => {
  admin?.disconnect();
  await redis?.stop();
});
beforeEach(() => admin.flushall());

interface Replica {
  readonly limiter: SharedLimiter;
  readonly errors: string[];
}
const running: (() => void)[] = [];
afterEach(() => running.splice(0).forEach((stop) => stop()));

/** @param patienceMs patient where it counts, since a busy machine is no outage */
async function replica(store: Partial<LimitsStore> = {}, ready = true, patienceMs = 10_000): Promise<Replica> {
  const errors: string[] = [];
  const onError = (err: Error): void => void errors.push(err.message);
  const client = connectStore({ ...limitsStoreOf(`redis://127.0.0.1:${redis.port}`)!, ...store }, onError);
  const limiter = new SharedLimiter({
    client,
    local: new LocalLimiter(),

    onError,
    probeMs: 100,
    patienceMs,
  });
  running.push(() => {
    limiter.stop();
    client.disconnect();
  });
  if (ready) await until(async () => client.status === 'ready', 5_000);
  return { limiter, errors };
}

async function admitted(by: readonly SharedLimiter[], allowances: readonly Allowance[], times: number): Promise<number> {
  const all = await Promise.all(Array.from({ length: times }, async (_, at) => by[at % by.length]!.admit(allowances)));
  return all.filter(({ exhausted }) => exhausted === undefined).length;
}

describe('three replicas with one store', () => {
  test(`100 a second, offered 1,000 a second for ${SECONDS} s: ± 2 %`, async () => {
    const limiters = (await Promise.all([replica(), replica(), replica()])).map(({ limiter }) => limiter);
    const acme = [of({ per_second: 100 })];
    const begun = performance.now();
    let offered = 0;
    let through = 0;
    const asked: Promise<void>[] = [];
    while (performance.now() - begun < SECONDS * 1_000) {
      const due = performance.now() - begun;
      for (; offered < due; offered++)
        asked.push(
          (async () => {
            if ((await limiters[offered % 3]!.admit(acme)).exhausted === undefined) through++;
          })(),
        );
      await sleep(2);
    }
    await Promise.all(asked);
    expect(offered).toBeGreaterThan(SECONDS * 990);
    // A window begins with the first request after the one before: on a busy machine some ms pass in between.
    expect(through).toBeLessThanOrEqual(SECONDS * 102);
    expect(through).toBeGreaterThanOrEqual(SECONDS * 98);
    expect(limiters.every(({ available, counted }) => available && counted.memory === 0)).toBe(true);
  });

  test('none lets more through than all may, whatever comes at once: each window, the burst, a key within its tenant', async () => {
    const limiters = (await Promise.all([replica(), replica(), replica()])).map(({ limiter }) => limiter);
    expect(await admitted(limiters, [of({ per_day: 50 }, 'tenant', 'a')], 300)).toBe(50);
    expect(await admitted(limiters, [of({ per_second: 1_000, per_minute: 40 }, 'tenant', 'b')], 300)).toBe(40);
    expect(await admitted(limiters, [of({ per_minute: 60 }, 'tenant', 'c'), of({ per_minute: 20 }, 'key', 'key_1')], 300)).toBe(20);
    // What the key's limit refused counts in the tenant's no more.
    await until(async () => {
      const name = (await admin.keys('*tenant-minute')).map((key) => admin.get(key));
      return (await Promise.all(name)).includes('20');
    }, 2_000);
    const burst = await admitted(limiters, [of({ per_second: 10, burst: 5 }, 'tenant', 'd')], 300);
    expect([15, 25]).toContain(burst);
  });

  test('say what is left, by all of them', async () => {
    const [one, two] = [await replica(), await replica()];
    const acme = [of({ per_minute: 10 })];
    await one.limiter.admit(acme);
    expect((await two.limiter.admit(acme)).fields).toEqual([
      'RateLimit-Policy',
      '"tenant-minute";q=10;w=60',
      'RateLimit',
      '"tenant-minute";r=8;t=60',
    ]);
  });

  test('leave names there that tell nothing, and that end by themselves', async () => {
    const { limiter } = await replica();
    await limiter.admit([
      of({ per_second: 5, per_minute: 6, per_day: 7 }, 'tenant', 'canary-tenant'),
      of({ per_day: 1 }, 'key', 'canary-key'),
    ]);
    const names = await admin.keys('*');
    expect(names).toHaveLength(4);
    for (const name of names) {
      expect(name).toMatch(/^postern:limits:[A-Za-z0-9_-]{43}:(tenant|key)-(second|minute|day)$/);
      expect(await admin.pttl(name)).toBeGreaterThan(0);
    }
    expect(names.join()).not.toContain('canary');
  });

  test('what another window refuses is given back on the replica that was asked, too, whoever else asks in between', async () => {
    const [one, two] = [await replica(), await replica()];
    const [tenant, key] = [of({ per_second: 2 }), of({ per_day: 2 }, 'key', 'key_1')];
    const oneLeft = async (by: Replica): Promise<unknown> => (await by.limiter.admit([tenant, key])).exhausted?.window.name;
    expect(await oneLeft(one)).toBeUndefined();
    await sleep(1_100);
    // The last one of the key's day comes in a second that its tenant has used up.
    await Promise.all([one.limiter.admit([tenant]), two.limiter.admit([tenant])]);
    expect(await Promise.all([oneLeft(one), oneLeft(two)])).not.toContain(undefined);
    await until(async () => (await admin.get((await admin.keys('*key-day'))[0] ?? '')) === '1', 2_000);
    await sleep(2_100);
    expect(await Promise.all([one, two, one, two].map(oneLeft))).toEqual(
      expect.arrayContaining([undefined, 'key-day', 'key-day', 'key-day']) as unknown,
    );
  });

  test('what is used up is asked for again every some seconds: who is let through there is let through here', async () => {
    const { limiter } = await replica();
    const acme = [of({ per_day: 3 })];
    expect(await admitted([limiter], acme, 3)).toBe(3);
    const refused = await limiter.admit(acme);
    expect(refused.exhausted?.seconds).toBeGreaterThan(86_000);
    const asked = Number(await admin.get((await admin.keys('*'))[0]!));
    // Told from memory, and when the window ends as before.
    expect((await limiter.admit(acme)).exhausted?.seconds).toBeGreaterThan(86_000);
    expect(Number(await admin.get((await admin.keys('*'))[0]!))).toBeLessThanOrEqual(asked);
    await admin.flushall();
    await expect.poll(async () => (await limiter.admit(acme)).exhausted, { timeout: 4_000 }).toBeUndefined();
  });

  test('a limit that changes goes on with what was used', async () => {
    const { limiter } = await replica();
    expect(await admitted([limiter], [of({ per_day: 5 })], 9)).toBe(5);
    expect(await admitted([limiter], [of({ per_day: 8 })], 9)).toBeLessThanOrEqual(3);
  });
});

describe('a store that is away', () => {
  test('frozen: one request waits some ms, the others none; each replica counts for itself; thawed, together again', async () => {
    const { limiter, errors } = await replica({}, true, 100);
    const acme = [of({ per_day: 1_000 })];
    await limiter.admit(acme);
    redis.freeze();
    try {
      const begun = performance.now();
      expect((await limiter.admit(acme)).exhausted).toBeUndefined();
      // Generous: 100 ms are what is waited.
      expect(performance.now() - begun).toBeLessThan(1_000);
      expect(limiter.available).toBe(false);
      expect(limiter.admit(acme)).not.toBeInstanceOf(Promise);
      expect(await admitted([limiter], [of({ per_day: 3 }, 'tenant', 'other')], 9)).toBe(3);
      expect(limiter.counted.memory).toBeGreaterThanOrEqual(11);
      expect(errors.length).toBeGreaterThan(0);
    } finally {
      redis.thaw();
    }
    await until(async () => limiter.available, 5_000);
    expect(limiter.admit(acme)).toBeInstanceOf(Promise);
  });

  test('never there: nobody waits', async () => {
    const { limiter } = await replica({ port: 1 }, false);
    expect(limiter.admit([of({ per_day: 1 })])).toMatchObject({ exhausted: undefined });
    expect(limiter.available).toBe(false);
  });

  test('ended and begun anew', async () => {
    const own = await startRedis();
    const { limiter } = await replica({ port: own.port });
    await limiter.admit([of({ per_day: 50 })]);
    await own.stop();
    for (let at = 0; at < 5; at++) expect((await limiter.admit([of({ per_day: 50 })])).exhausted).toBeUndefined();
    const anew = await startRedis({ port: own.port });
    try {
      await until(async () => limiter.available, 10_000);
      expect(await limiter.admit([of({ per_day: 50 })])).toMatchObject({ exhausted: undefined });
    } finally {
      await anew.stop();
    }
  });
});

describe('TLS and an ACL user', () => {
  const password = 'canary-store-password';
  let certificates: Certificates;
  let secured: RunningRedis;
  let ca: string;
  beforeAll(async () => {
    registerSecret('store password', password);
    certificates = await makeCertificates();
    ca = await readFile(certificates.caFile, 'utf8');
    secured = await startRedis({
      tls: { cert: certificates.certFile, key: certificates.keyFile },
      // As docs/rate-limits.md has it.
      configuration: [
        'user default off',
        `user postern on >${password} ~postern:limits:* +eval +evalsha +set +get +incrby +pttl +expire +ping +info +select +client`,
      ],
    });
  });
  afterAll(async () => {
    await secured?.stop();
    await certificates?.[Symbol.asyncDispose]();
  });

  test('are enough', async () => {
    const { limiter } = await replica({ port: secured.port, username: 'postern', password, tls: { ca } });
    expect(await admitted([limiter], [of({ per_second: 1_000, per_day: 3 })], 9)).toBe(3);
    expect(limiter.available).toBe(true);
  });

  test.each<[string, () => Partial<LimitsStore>]>([
    ['a wrong password', () => ({ username: 'postern', password: 'canary-wrong', tls: { ca } })],
    ['no user', () => ({ tls: { ca } })],
    ['a certificate that nobody signed', () => ({ username: 'postern', password, tls: { ca: undefined } })],
    ['no TLS', () => ({ username: 'postern', password, tls: undefined })],
  ])('%s: requests are counted here, and no message has the password', async (_what, store) => {
    const { limiter, errors } = await replica({ port: secured.port, ...store() }, false);
    await until(async () => errors.length > 0, 5_000);
    expect(await admitted([limiter], [of({ per_day: 2 })], 5)).toBe(2);
    expect(limiter.available).toBe(false);
    expect(errors.join()).not.toMatch(/canary/);
  });
});
