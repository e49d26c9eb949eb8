import { describe, expect, test } from 'vitest';
import { Throttle } from '#broker/credential/throttle.ts';
import { Unseen } from '#broker/credential/unseen.ts';
import { PosternError } from '#broker/error.ts';
import { Clock, deferred } from './clock.ts';

class Wrong extends Error {}
const isWrong = (error: unknown) => error instanceof Wrong;
const right = () => Promise.resolve('token');
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'ok',
    (error: unknown) => (error instanceof PosternError ? error.code : 'wrong'),
  );

/** A Vault that takes a turn of the event loop for each answer, and counts. */
function stage(options: { perMinute?: number; atOnce?: number; queue?: number } = {}) {
  const clock = new Clock();
  const unseen = new Unseen({ now: clock.monotonic, ...options });
  const throttle = new Throttle({ now: clock.monotonic, unseen });
  let reached = 0;
  const guess = (client: string, address: string) =>
    codeOf(
      throttle.run(
        client,
        address,
        async () => {
          reached++;
          await new Promise((resolve) => setImmediate(resolve));
          throw new Wrong();
        },
        isWrong,
      ),
    );
  const good = (client: string, address: string) => codeOf(throttle.run(client, address, right, isWrong));
  return { clock, unseen, throttle, guess, good, reached: () => reached };
}

test('100,000 guesses from 100,000 addresses of one /48: at most 1 % reach Vault, and good first exchanges all come through', async () => {
  const s = stage();
  const outcomes: string[] = [];
  for (let i = 0; i < 100_000; i += 100) {
    const guesses = Array.from({ length: 100 }, (_, n) => s.guess(`g${i + n}`, `2001:db8:1:${(i + n).toString(16).slice(-4)}::${i + n}`));
    // 60 s for all of them.
    s.clock.advance(60);
    outcomes.push(
      await s.good(`tenant-${i}`, `2001:db8:2:${(i / 100).toString(16)}::1`),
      await s.good(`tenant-${i}`, `192.0.2.${i % 250}`),
    );
    await Promise.all(guesses);
  }
  expect(s.reached()).toBeLessThanOrEqual(1000);
  expect(new Set(outcomes)).toEqual(new Set(['ok']));
}, 60_000);

test('a client that was right from an address goes on there, whatever its neighbours guess', async () => {
  const s = stage();
  expect(await s.good('acme', '2001:db8:1:1::1')).toBe('ok');
  for (let i = 0; i < 1000; i++) await s.guess(`g${i}`, `2001:db8:1:${(i + 2).toString(16)}::1`);
  expect(await s.good('acme', '2001:db8:1:1::2')).toBe('ok');
  expect(await s.good('globex', '2001:db8:1:1::2')).toBe('too_many_requests');
});

describe('one budget for all', () => {
  test('guesses from everywhere: the networks that sent some wait, those that did not are served', async () => {
    const s = stage({ perMinute: 300 });
    let refused = 0;
    for (let i = 0; i < 3000; i++) if ((await s.guess(`g${i}`, `198.51.${i % 100}.1`)) === 'too_many_requests') refused++;
    expect(s.reached()).toBe(300);
    expect(refused).toBe(2700);
    for (let i = 0; i < 100; i++) expect(await s.good(`t${i}`, `203.0.113.${i}`)).toBe('ok');
    s.clock.advance(60_000);
    expect(await s.good('t', '198.51.1.1')).toBe('ok');
  });

  test('so many at once; who sent no wrong one goes before who did', async () => {
    const s = stage({ atOnce: 2 });
    await s.guess('g', '198.51.100.1');
    const gates = Array.from({ length: 2 }, () => deferred<string>());
    const order: string[] = [];
    const running = gates.map((gate, n) => codeOf(s.throttle.run(`r${n}`, `203.0.113.${n}`, () => gate.promise, isWrong)));
    const enter = (name: string, address: string) =>
      codeOf(
        s.throttle.run(
          name,
          address,
          async () => {
            order.push(name);
          },
          isWrong,
        ),
      );
    const waiting = [enter('suspect', '198.51.100.1'), enter('clean', '203.0.113.9')];
    await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual([]);
    for (const gate of gates) gate.resolve('');
    expect(await Promise.all([...running, ...waiting])).toEqual(['ok', 'ok', 'ok', 'ok']);
    expect(order).toEqual(['clean', 'suspect']);
  });

  test('who waited too long behind a Vault that is frozen is told so, and who comes later is not held up', async () => {
    const s = stage({ atOnce: 1, queue: 3 });
    const gate = deferred<string>();
    const first = codeOf(s.throttle.run('a', '203.0.113.1', () => gate.promise, isWrong));
    const waiting = [2, 3, 4].map((n) => s.good(`a${n}`, `203.0.113.${n}`));
    await new Promise((resolve) => setImmediate(resolve));
    expect(await s.good('a5', '203.0.113.5')).toBe('too_many_requests');
    s.clock.advance(4_001);
    gate.resolve('');
    expect(await Promise.all([first, ...waiting])).toEqual(['ok', ...waiting.map(() => 'temporarily_unavailable')]);
    expect(await s.good('a6', '203.0.113.6')).toBe('ok');
  });
});
