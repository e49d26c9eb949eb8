import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allowanceOf } from '#broker/rate-limit/allowance.ts';
import type { Allowance, Party } from '#broker/rate-limit/allowance.ts';
import type { Limits } from '#broker/rate-limit/limits.ts';
import { LocalLimiter } from '#broker/rate-limit/local-limiter.ts';

const of = (limits: Limits, party: Party = 'tenant', id = 'acme'): Allowance => allowanceOf(party, id, limits)!;

function limiterAt(): { limiter: LocalLimiter; later: (ms: number) => void } {
  let now = 1_000;
  return { limiter: new LocalLimiter({ now: () => now }), later: (ms) => (now += ms) };
}

function admitted(limiter: LocalLimiter, allowances: readonly Allowance[], times: number): number {
  return Array.from({ length: times }, () => limiter.admit(allowances)).filter(({ exhausted }) => exhausted === undefined).length;
}

describe('LocalLimiter', () => {
  it('lets so many through in each window, and again in the next', () => {
    const { limiter, later } = limiterAt();
    const acme = [of({ per_second: 10 })];
    expect(admitted(limiter, acme, 100)).toBe(10);
    later(999);
    expect(admitted(limiter, acme, 100)).toBe(0);
    later(1);
    expect(admitted(limiter, acme, 100)).toBe(10);
  });

  it('100 a second, offered 1,000 a second for 30 s: 3,000', () => {
    const { limiter, later } = limiterAt();
    let through = 0;
    for (let at = 0; at < 30_000; at++) {
      through += admitted(limiter, [of({ per_second: 100 })], 1);
      later(1);
    }
    expect(through).toBe(3_000);
  });

  it('counts a request that one window refuses in none', () => {
    const { limiter, later } = limiterAt();
    const acme = [of({ per_second: 1, per_minute: 3 })];
    for (let second = 0; second < 3; second++) {
      expect(admitted(limiter, acme, 50)).toBe(1);
      later(1_000);
    }
    expect(admitted(limiter, acme, 50)).toBe(0);
  });

  it('tells until when it is used up, by the window that holds longest', () => {
    const { limiter, later } = limiterAt();
    const acme = [of({ per_second: 1, per_minute: 1 })];
    limiter.admit(acme);
    later(500);
    expect(limiter.admit(acme).exhausted).toMatchObject({ seconds: 60, window: { name: 'tenant-minute' } });
    later(10_000);
    expect(limiter.admit(acme).exhausted?.seconds).toBe(50);
  });

  it('a window that begins is over in as long as it is, whatever fraction of a ms the clock shows', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5_000_000 }), (microseconds) => {
        const now = microseconds / 1_000;
        const limiter = new LocalLimiter({ now: () => now });
        const acme = [of({ per_second: 1, per_minute: 2, per_day: 2 })];
        expect(limiter.admit(acme).fields.at(-1)).toBe('"tenant-second";r=0;t=1, "tenant-minute";r=1;t=60, "tenant-day";r=1;t=86400');
        expect(limiter.admit(acme).exhausted?.seconds).toBe(1);
      }),
    );
  });

  it('a burst goes beyond the second, within the minute and the day', () => {
    const { limiter, later } = limiterAt();
    const acme = [of({ per_second: 10, burst: 5, per_minute: 27 })];
    expect(admitted(limiter, acme, 100)).toBe(15);
    later(1_000);
    expect(admitted(limiter, acme, 100)).toBe(10);
    later(1_000);
    expect(admitted(limiter, acme, 100)).toBe(2);
    later(60_000);
    expect(admitted(limiter, acme, 100)).toBe(15);
  });

  it('a key has its own within its tenant, and one that is used up takes nothing of the tenant', () => {
    const { limiter } = limiterAt();
    const tenant = of({ per_minute: 10 });
    const key = of({ per_minute: 3 }, 'key', 'key_1');
    expect(admitted(limiter, [tenant, key], 50)).toBe(3);
    expect(limiter.admit([tenant, key]).exhausted?.window.name).toBe('key-minute');
    expect(admitted(limiter, [tenant], 50)).toBe(7);
  });

  it('a tenant and a key of one name are two', () => {
    const { limiter } = limiterAt();
    expect(admitted(limiter, [of({ per_day: 1 }, 'tenant', 'x'), of({ per_day: 1 }, 'key', 'x')], 3)).toBe(1);
    expect(admitted(limiter, [of({ per_day: 2 }, 'tenant', 'x')], 3)).toBe(1);
  });

  it('goes on with what was used where the limit changes', () => {
    const { limiter } = limiterAt();
    expect(admitted(limiter, [of({ per_minute: 10 })], 8)).toBe(8);
    expect(admitted(limiter, [of({ per_minute: 5 })], 8)).toBe(0);
    expect(admitted(limiter, [of({ per_minute: 12, per_day: 100 })], 8)).toBe(4);
  });

  it('says what applies and what is left, as the IETF draft has it', () => {
    const { limiter, later } = limiterAt();
    const both = [of({ per_second: 10, burst: 4, per_day: 500 }), of({ per_minute: 60 }, 'key', 'key_1')];
    later(100);
    limiter.admit(both);
    later(200);
    expect(limiter.admit(both).fields).toEqual([
      'RateLimit-Policy',
      '"tenant-second";q=10;w=1, "tenant-day";q=500;w=86400, "tenant-burst";q=4;w=60, "key-minute";q=60;w=60',
      'RateLimit',
      '"tenant-second";r=8;t=1, "tenant-day";r=498;t=86400, "tenant-burst";r=4;t=60, "key-minute";r=58;t=60',
    ]);
  });

  it('whatever is offered when, no window lets more through than its quota and burst', () => {
    fc.assert(
      fc.property(
        fc.record({ per_second: fc.integer({ min: 1, max: 5 }), per_minute: fc.integer({ min: 1, max: 20 }) }),
        fc.integer({ min: 0, max: 4 }),
        fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 200 }),
        (limits, burst, waits) => {
          const { limiter, later } = limiterAt();
          const acme = [of(burst === 0 ? limits : { ...limits, burst })];
          let now = 0;
          const at: number[] = [];
          for (const wait of waits) {
            later(wait);
            now += wait;
            if (limiter.admit(acme).exhausted === undefined) at.push(now);
          }
          // Two windows touch any span of one's length.
          for (const [span, most] of [
            [1_000, 2 * limits.per_second + 2 * burst],
            [60_000, 2 * limits.per_minute],
          ] as const)
            for (const begin of at) expect(at.filter((one) => one >= begin && one < begin + span).length).toBeLessThanOrEqual(most);
          expect(at.length).toBeGreaterThanOrEqual(Math.min(waits.length, limits.per_second, limits.per_minute));
        },
      ),
      { numRuns: 60 },
    );
  });
});
