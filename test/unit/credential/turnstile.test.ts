import { expect, test } from 'vitest';
import { Turnstile } from '#broker/credential/turnstile.ts';
import type { TurnstileOptions } from '#broker/credential/turnstile.ts';
import type { PosternError } from '#broker/error.ts';
import { unaskedOf } from '#broker/vault-fault.ts';
import { Overloaded } from '#broker/overloaded.ts';
import { Clock, deferred } from './clock.ts';

function stage(options: TurnstileOptions = {}, lines = 1) {
  const clock = new Clock();
  let shed = 0;
  const turnstile = new Turnstile({ atOnce: 2, now: clock.monotonic, onShed: () => shed++, ...options }, lines);
  const begun: string[] = [];
  const open: PromiseWithResolvers<void>[] = [];
  const ask = (party: string, line = 0): Promise<string> =>
    turnstile
      .run(
        party,
        async () => {
          begun.push(party);
          const work = deferred<void>();
          open.push(work);
          await work.promise;
        },
        line,
      )
      .then(
        () => 'done',
        (error: unknown) => (error instanceof Overloaded ? 'shed' : (error as PosternError).code),
      );
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  /** The oldest login is answered. */
  const answer = async (): Promise<void> => {
    await settled();
    open.shift()!.resolve();
    await settled();
  };
  return { clock, turnstile, begun, ask, answer, shed: () => shed };
}

test('so many at once, then each party in turn', async () => {
  const s = stage();
  const asked = ['a', 'a', 'a', 'a', 'a', 'b'].map((party) => s.ask(party));
  await s.answer();
  await s.answer();
  expect(s.begun).toEqual(['a', 'a', 'a', 'b']);
  for (let n = 0; n < 4; n++) await s.answer();
  expect(await Promise.all(asked)).toEqual(Array.from({ length: 6 }, () => 'done'));
});

test('a full line refuses those who have more than their share of it, and nobody else', async () => {
  const s = stage({ queue: 10 });
  const flood = Array.from({ length: 20 }, () => s.ask('flood'));
  expect(await Promise.all(flood.slice(12))).toEqual(Array.from({ length: 8 }, () => 'too_many_requests'));
  const quiet = s.ask('quiet');
  for (let n = 0; n < 4; n++) await s.answer();
  await s.answer();
  expect(await quiet).toBe('done');
});

test('a later line waits for the first', async () => {
  const s = stage({ atOnce: 1 }, 2);
  for (const [party, line] of [
    ['first', 0],
    ['suspect', 1],
    ['clean', 0],
  ] as const)
    void s.ask(party, line);
  await s.answer();
  await s.answer();
  expect(s.begun).toEqual(['first', 'clean', 'suspect']);
});

test('who waited too long is shed, as if Vault had asked for patience', async () => {
  const s = stage();
  const asked = ['a', 'b', 'late'].map((party) => s.ask(party));
  s.clock.advance(4001);
  await s.answer();
  expect(await asked[2]).toBe('shed');
  expect([s.shed(), s.turnstile.waiting]).toEqual([1, 0]);
  expect(unaskedOf(new Overloaded('vault'))).toBe('throttled');
  expect(unaskedOf(new Overloaded('turn'))).toBeUndefined();
});
