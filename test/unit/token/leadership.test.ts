import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Leadership } from '#broker/token/leadership.ts';
import type { LeaseStore } from '#broker/token/publications.ts';
import type { Lease } from '#broker/token/store.ts';
import type { Leading } from '#broker/token/work.ts';
import { Clock } from '#test/unit/credential/clock.ts';

const LEASE = 10_000;
const lost = new Error('the reply is lost');

/** One lease with check-and-set, as in Vault's KV v2. */
class MemoryLease implements LeaseStore {
  lease: Lease | undefined;
  version = 0;
  reads = 0;
  /** Called before and after each operation; throws for an outage, and after a write for a lost reply. */
  around: (operation: 'read' | 'write', moment: 'before' | 'after') => void | Promise<void> = () => {};

  async read(): Promise<{ lease: Lease | undefined; version: number }> {
    this.reads++;
    await this.around('read', 'before');
    const found = { lease: this.lease, version: this.version };
    await this.around('read', 'after');
    return found;
  }

  async write(lease: Lease, version: number): Promise<number | undefined> {
    await this.around('write', 'before');
    const written = version === this.version ? version + 1 : undefined;
    if (written !== undefined) [this.lease, this.version] = [lease, written];
    await this.around('write', 'after');
    return written;
  }
}

function stage() {
  const clock = new Clock();
  const store = new MemoryLease();
  const handovers: Leading[] = [];
  /** @param ahead of its wall clock, ms */
  const replica = (ahead = 0) =>
    new Leadership({
      store,
      leaseMs: LEASE,
      now: () => clock.now() + ahead,
      monotonic: clock.monotonic,
      onHandover: (handover) => handovers.push(handover),
    });
  return { clock, store, handovers, replica };
}

describe('the lease', () => {
  test('is one replica’s, is extended when a third is over, and costs no call before', async () => {
    const { clock, store, handovers, replica } = stage();
    const [a, b] = [replica(), replica()];
    expect([await a.seek(), await b.seek()]).toEqual([true, false]);
    const { reads } = store;
    clock.advance(LEASE / 4);
    expect(await a.seek()).toBe(true);
    expect(store.reads).toBe(reads);
    for (let turn = 0; turn < 10; turn++) {
      clock.advance(LEASE / 2);
      expect([await a.seek(), await b.seek(), b.held]).toEqual([true, false, false]);
    }
    expect(handovers).toEqual([{ kind: 'leadership', outcome: 'taken', from: undefined, to: expect.any(String), why: 'nobody' }]);
  });

  test('of a replica that died is free when it has lasted its time by the clock of who waits', async () => {
    const { clock, handovers, replica } = stage();
    const [a, b] = [replica(), replica()];
    await a.seek();
    expect(await b.seek()).toBe(false);
    clock.advance(LEASE - 1);
    expect(await b.seek()).toBe(false);
    clock.advance(1);
    expect([a.held, await b.seek()]).toEqual([false, true]);
    expect(handovers.at(-1)).toMatchObject({ outcome: 'taken_over', from: handovers[0]?.to, why: 'unchanged' });
    expect(await a.seek()).toBe(false);
  });

  test.each([
    ['a day ahead', 86_400_000],
    ['a day behind', -86_400_000],
  ])('is nobody else’s sooner where their wall clock is %s', async (_, ahead) => {
    const { clock, replica } = stage();
    const [a, b] = [replica(), replica(ahead)];
    await a.seek();
    for (let second = 0; second < 9; second++) {
      expect(await b.seek()).toBe(false);
      clock.advance(1_000);
      expect(a.held).toBe(true);
    }
    clock.advance(1_000);
    expect(await b.seek()).toBe(true);
  });

  test('lasts from the answer, not from the question: that may have waited while it was taken', async () => {
    const { clock, store, replica } = stage();
    const [a, b] = [replica(), replica()];
    store.around = async (operation, moment) => {
      store.around = () => {};
      if (operation === 'read' && moment === 'before') {
        clock.advance(5_000);
        await a.seek();
      }
    };
    expect(await b.seek()).toBe(false);
    clock.advance(LEASE - 1);
    expect([a.held, await b.seek()]).toEqual([true, false]);
  });

  test('given up it is free at once', async () => {
    const { handovers, replica } = stage();
    const [a, b] = [replica(), replica()];
    await a.seek();
    await a.giveUp();
    expect([a.held, await b.seek()]).toEqual([false, true]);
    expect(handovers.map(({ outcome, why }) => [outcome, why])).toEqual([
      ['taken', 'nobody'],
      ['given_up', 'stopping'],
      ['taken_over', 'given_up'],
    ]);
    // Twice, or by one that hasn't got it, changes nothing.
    await a.giveUp();
    expect(await b.seek()).toBe(true);
  });

  test('whose reply was lost is the writer’s own all the same, and nobody is told twice', async () => {
    const { store, handovers, replica } = stage();
    const [a, b] = [replica(), replica()];
    store.around = (operation, moment) => {
      if (operation === 'write' && moment === 'after') throw lost;
    };
    await expect(a.seek()).rejects.toBe(lost);
    store.around = () => {};
    expect([a.held, await b.seek()]).toEqual([false, false]);
    expect(await a.seek()).toBe(true);
    expect(handovers).toMatchObject([{ outcome: 'taken_over', why: 'left_over', to: handovers[0]?.from }]);
  });

  test('is held through an outage until its time is over, and not longer', async () => {
    const { clock, store, replica } = stage();
    const a = replica();
    await a.seek();
    store.around = () => {
      throw lost;
    };
    clock.advance(LEASE / 2);
    await expect(a.seek()).rejects.toBe(lost);
    expect(a.held).toBe(true);
    clock.advance(LEASE / 2);
    expect(a.held).toBe(false);
  });
});

test('never have two replicas it at once, whatever waits, fails, is lost, stops or has another time', async () => {
  const step = fc.record({
    who: fc.nat(2),
    what: fc.oneof({ arbitrary: fc.constant('seek' as const), weight: 8 }, { arbitrary: fc.constant('giveUp' as const), weight: 1 }),
    /** ms before it begins. */
    pause: fc.nat(6_000),
    waits: fc.array(fc.nat(8_000), { minLength: 4, maxLength: 4 }),
    fails: fc.option(fc.nat(3), { nil: undefined, freq: 6 }),
    /** Whether the next one doesn't wait for this one. */
    alone: fc.boolean(),
  });
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 40 }),
      fc.array(fc.integer(), { minLength: 3, maxLength: 3 }),
      async (steps, skews) => {
        const { clock, store, handovers, replica } = stage();
        const replicas = skews.map((skew) => replica(skew));
        const busy = new Map<number, Promise<unknown>>();
        const check = () => expect(replicas.filter(({ held }) => held).length).toBeLessThanOrEqual(1);
        let at: { waits: number[]; fails: number | undefined } = { waits: [], fails: undefined };
        store.around = async () => {
          const { waits, fails } = at;
          // Others go on meanwhile.
          await Promise.resolve();
          clock.advance(waits.shift() ?? 0);
          check();
          if (fails !== undefined && waits.length === fails) throw lost;
        };
        for (const { who, what, pause, waits, fails, alone } of steps) {
          await busy.get(who);
          clock.advance(pause);
          check();
          at = { waits: [...waits], fails };
          const working = replicas[who]![what]().catch(() => {});
          busy.set(who, working);
          if (alone) await working;
          check();
        }
        await Promise.all(busy.values());
        check();
        taken += handovers.length;
      },
    ),
    { numRuns: 300 },
  );
  expect(taken).toBeGreaterThan(300);
});
