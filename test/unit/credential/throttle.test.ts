import { describe, expect, test } from 'vitest';
import { Throttle } from '#broker/credential/throttle.ts';
import { PosternError } from '#broker/error.ts';
import { Clock, deferred } from './clock.ts';

class Wrong extends Error {}
const isWrong = (error: unknown) => error instanceof Wrong;
const wrong = () => Promise.reject(new Wrong());
const right = () => Promise.resolve('token');
const ADDRESS = '192.0.2.1';

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'ok',
    (error: unknown) => (error instanceof PosternError ? error.code : 'wrong'),
  );

async function guess(throttle: Throttle, times: number, client: string, address: string): Promise<number> {
  let reached = 0;
  for (let i = 0; i < times; i++) {
    await codeOf(
      throttle.run(
        client,
        address,
        () => {
          reached++;
          return wrong();
        },
        isWrong,
      ),
    );
  }
  return reached;
}

describe('guesses', () => {
  test('of one client from one address: only the allowance reaches Vault, the rest is 429 with a wait', async () => {
    const clock = new Clock();
    const throttle = new Throttle({ perClient: 10, perAddress: 100, now: clock.now });
    expect(await guess(throttle, 10_000, 'acme', ADDRESS)).toBe(10);
    const refusal = await throttle.run('acme', ADDRESS, right, isWrong).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(PosternError);
    expect(refusal).toMatchObject({ code: 'too_many_requests', retryAfter: 6 });
  });

  test("with a new client_id each time: only the address's allowance reaches Vault", async () => {
    const throttle = new Throttle({ perClient: 10, perAddress: 100, now: new Clock().now });
    let reached = 0;
    for (let i = 0; i < 5000; i++) reached += await guess(throttle, 1, `client-${i}`, ADDRESS);
    expect(reached).toBe(100);
  });

  test('all at once are no more than one after another', async () => {
    const throttle = new Throttle({ perClient: 10, perAddress: 100, now: new Clock().now });
    let reached = 0;
    const outcomes = await Promise.all(
      Array.from({ length: 900 }, () =>
        codeOf(
          throttle.run(
            'acme',
            ADDRESS,
            async () => {
              reached++;
              await new Promise((resolve) => setImmediate(resolve));
              throw new Wrong();
            },
            isWrong,
          ),
        ),
      ),
    );
    expect(reached).toBe(10);
    expect(outcomes.filter((o) => o === 'too_many_requests')).toHaveLength(890);
  });

  test('cost nobody at another address anything: a customer cannot be locked out', async () => {
    const throttle = new Throttle({ now: new Clock().now });
    await guess(throttle, 1000, 'acme', ADDRESS);
    expect(await codeOf(throttle.run('acme', '192.0.2.2', right, isWrong))).toBe('ok');
  });

  test('refill: one at a time, and never above the limit', async () => {
    const clock = new Clock();
    const throttle = new Throttle({ perClient: 10, perAddress: 1000, refillSeconds: 60, now: clock.now });
    expect(await guess(throttle, 20, 'acme', ADDRESS)).toBe(10);
    clock.advance(5_999);
    expect(await guess(throttle, 1, 'acme', ADDRESS)).toBe(0);
    clock.advance(1);
    expect(await guess(throttle, 5, 'acme', ADDRESS)).toBe(1);
    clock.advance(86_400_000);
    expect(await guess(throttle, 50, 'acme', ADDRESS)).toBe(10);
  });
});

describe('good customers', () => {
  test('a thousand at once behind one address all pass: they wait, they are not refused', async () => {
    const throttle = new Throttle({ perClient: 10, perAddress: 100, queue: 1000 });
    let atOnce = 0;
    let most = 0;
    const outcomes = await Promise.all(
      Array.from({ length: 1000 }, (_, i) =>
        codeOf(
          throttle.run(
            `client-${i}`,
            ADDRESS,
            async () => {
              most = Math.max(most, ++atOnce);
              await new Promise((resolve) => setImmediate(resolve));
              atOnce--;
            },
            isWrong,
          ),
        ),
      ),
    );
    expect(outcomes.filter((o) => o !== 'ok')).toEqual([]);
    expect(most).toBe(100);
  });

  test('many of one client at once all pass', async () => {
    const throttle = new Throttle({ perClient: 2, perAddress: 5 });
    const outcomes = await Promise.all(
      Array.from({ length: 300 }, () =>
        codeOf(throttle.run('acme', ADDRESS, () => new Promise((resolve) => setImmediate(resolve)), isWrong)),
      ),
    );
    expect(outcomes.filter((o) => o !== 'ok')).toEqual([]);
  });

  test('an outage of Vault is not a guess: the units come back', async () => {
    const throttle = new Throttle({ perClient: 2, perAddress: 2, now: new Clock().now });
    for (let i = 0; i < 50; i++)
      await codeOf(throttle.run('acme', ADDRESS, () => Promise.reject(new PosternError('temporarily_unavailable', 'away')), isWrong));
    expect(await codeOf(throttle.run('acme', ADDRESS, right, isWrong))).toBe('ok');
  });

  test("a right one makes the client's allowance whole, not the address's", async () => {
    const throttle = new Throttle({ perClient: 3, perAddress: 5, now: new Clock().now });
    expect(await guess(throttle, 2, 'acme', ADDRESS)).toBe(2);
    await throttle.run('acme', ADDRESS, right, isWrong);
    expect(await guess(throttle, 9, 'acme', ADDRESS)).toBe(3);
    expect(await guess(throttle, 9, 'other', ADDRESS)).toBe(0);
  });

  test('behind a Vault that is frozen nobody waits for all before him to time out', async () => {
    const clock = new Clock();
    const throttle = new Throttle({ perClient: 1, perAddress: 100, now: clock.now });
    const gate = deferred<void>();
    let reached = 0;
    const attempt = () => {
      reached++;
      return gate.promise;
    };
    const running = Array.from({ length: 50 }, () => codeOf(throttle.run('acme', ADDRESS, attempt, isWrong)));
    await Promise.resolve();
    clock.advance(5_000);
    const late = codeOf(throttle.run('acme', ADDRESS, right, isWrong));
    gate.reject(new PosternError('temporarily_unavailable', 'no answer'));
    expect(new Set(await Promise.all(running))).toEqual(new Set(['temporarily_unavailable']));
    expect(reached).toBe(1);
    // Who came later is not held up by them.
    expect(await late).toBe('ok');
  });

  test('a full queue is told so at once, and drains', async () => {
    const throttle = new Throttle({ perClient: 1, perAddress: 1, queue: 2 });
    const gate = deferred<void>();
    const running = Array.from({ length: 3 }, () => codeOf(throttle.run('acme', ADDRESS, () => gate.promise, isWrong)));
    expect(await codeOf(throttle.run('acme', ADDRESS, right, isWrong))).toBe('too_many_requests');
    gate.resolve();
    expect(await Promise.all(running)).toEqual(['ok', 'ok', 'ok']);
  });

  test('who waits behind a guess that turns out wrong is let in, not forgotten', async () => {
    const throttle = new Throttle({ perClient: 5, perAddress: 2 });
    const gate = deferred<void>();
    const first = codeOf(throttle.run('acme', ADDRESS, () => gate.promise.then(wrong), isWrong));
    const others = Array.from({ length: 20 }, (_, i) => codeOf(throttle.run(`c${i}`, ADDRESS, right, isWrong)));
    gate.resolve();
    expect(await first).toBe('wrong');
    expect(await Promise.all(others)).toEqual(Array.from({ length: 20 }, () => 'ok'));
  });
});

describe('an address counts as the network that one customer owns', () => {
  async function shared(a: string, b: string): Promise<boolean> {
    const throttle = new Throttle({ perClient: 100, perAddress: 3, now: new Clock().now });
    await guess(throttle, 5, 'acme', a);
    return (await guess(throttle, 1, 'acme', b)) === 0;
  }

  test.each([
    ['the same /64', '2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff'],
    ['the same address in two spellings', '2001:db8::1', '2001:db8:0:0:0:0:0:2'],
    ['upper and lower case', '2001:DB8:A:B::1', '2001:db8:a:b::2'],
    ['leading zeros', '2001:0db8:0001:0002::1', '2001:db8:1:2::1'],
    ['with a zone', 'fe80::1%eth0', 'fe80::2%eth1'],
    ['IPv4 mapped', '::ffff:192.0.2.1', '192.0.2.1'],
    ['IPv4 mapped, upper case', '::FFFF:192.0.2.1', '192.0.2.1'],
    ['IPv4 mapped, in hexadecimal', '::ffff:c000:201', '192.0.2.1'],
    ['IPv4 mapped, written out', '0:0:0:0:0:ffff:c000:0201', '192.0.2.1'],
  ])('%s: one allowance', async (_what, a, b) => {
    expect(await shared(a, b)).toBe(true);
  });

  test.each([
    ['neighbouring /64s', '2001:db8:1:2::1', '2001:db8:1:3::1'],
    ['two IPv4 mapped', '::ffff:192.0.2.1', '::ffff:192.0.2.2'],
    ['two IPv4 mapped in hexadecimal', '::ffff:c000:201', '::ffff:c000:202'],
    ['loopback and an IPv4 mapped in hexadecimal', '::1', '::ffff:c000:201'],
    ['two IPv4', '192.0.2.1', '192.0.2.10'],
  ])('%s: two allowances', async (_what, a, b) => {
    expect(await shared(a, b)).toBe(false);
  });
});

describe('one party may own a whole /48', () => {
  const everywhere = async (address: (n: number) => string): Promise<number> => {
    const throttle = new Throttle({ now: new Clock().now });
    let reached = 0;
    for (let n = 0; n < 1000; n++) reached += await guess(throttle, 1, `c${n}`, address(n));
    return reached;
  };
  const hex = (n: number) => n.toString(16).padStart(2, '0');

  test.each<[string, number, (n: number) => string]>([
    ['one address of each /64 of a /56', 150, (n) => `2001:db8:1:1${hex(n % 256)}::1`],
    ['one address of each /64 of a /48', 200, (n) => `2001:db8:1:${n.toString(16)}::1`],
    ['a /48 each', 1000, (n) => `2001:db8:${n.toString(16)}::1`],
    ['IPv4 neighbours', 1000, (n) => `198.51.${n >> 8}.${n & 255}`],
  ])('%s: %i reach Vault', async (_what, most, address) => {
    expect(await everywhere(address)).toBe(most);
  });
});

test('whether all is used up is told for nothing, and refills', async () => {
  const clock = new Clock();
  const throttle = new Throttle({ perClient: 2, perAddress: 5, now: clock.now });
  expect(throttle.isUsedUp('acme', ADDRESS)).toBe(false);
  await guess(throttle, 2, 'acme', ADDRESS);
  expect([throttle.isUsedUp('acme', ADDRESS), throttle.isUsedUp('globex', ADDRESS)]).toEqual([true, false]);
  for (let n = 0; n < 3; n++) await guess(throttle, 1, `c${n}`, ADDRESS);
  expect(throttle.isUsedUp('globex', ADDRESS)).toBe(true);
  clock.advance(60_000);
  expect([throttle.isUsedUp('acme', ADDRESS), throttle.isUsedUp('globex', ADDRESS)]).toEqual([false, false]);
});

test("an attacker's choice of keys fills no memory: the oldest allowances go", async () => {
  const throttle = new Throttle({ perClient: 1, perAddress: 1, now: new Clock().now });
  await guess(throttle, 1, 'acme', ADDRESS);
  expect(await guess(throttle, 1, 'acme', ADDRESS)).toBe(0);
  for (let i = 0; i < 50_000; i++) await throttle.run('acme', `198.51.${i >> 8}.${i & 255}`, wrong, isWrong).catch(() => {});
  expect(await guess(throttle, 1, 'acme', ADDRESS)).toBe(1);
});

test('who was right once and then guesses depends on its neighbours again', async () => {
  const clock = new Clock();
  const throttle = new Throttle({ perClient: 10, perAddress: 4, now: clock.now });
  const own = '2001:db8:0:1::1';
  expect(await codeOf(throttle.run('acme', own, right, isWrong))).toBe('ok');
  // All that the /48 has is 8.
  for (const neighbour of ['2001:db8:0:200::1', '2001:db8:0:300::1']) expect(await guess(throttle, 4, 'globex', neighbour)).toBe(4);
  expect(await codeOf(throttle.run('acme', own, right, isWrong))).toBe('ok');
  expect(await codeOf(throttle.run('acme', own, wrong, isWrong))).toBe('wrong');
  expect(await codeOf(throttle.run('acme', own, right, isWrong))).toBe('too_many_requests');
});
