import { expect, test } from 'vitest';
import { Lag } from '#broker/listener/lag.ts';

function stage(waitMs = 500) {
  const delays = { count: 0, min: 0, reset: () => void (delays.count = 0) };
  const lag = new Lag({ waitMs, delays });
  /** A second in which the loop was never less late than this, ms. */
  const second = (ms: number): void => {
    delays.count = 5;
    delays.min = (ms + 20) * 1e6;
    lag.look();
  };
  /** How many of so many are let through. */
  const ask = (network: string, count: number): number =>
    Array.from({ length: count }, () => lag.sheds(network)).filter((shed) => !shed).length;
  return { lag, second, ask };
}

test('late once, or now and then, is no lag that stands', () => {
  const { lag, second } = stage();
  for (const ms of [5000, 0, 700, 700, 0, 600, 0, 30_000, 1, 0]) {
    second(ms);
    expect(lag.stands).toBe(false);
  }
});

test('once it stands each network has its share, and the quiet are not shed', () => {
  const { lag, second, ask } = stage();
  for (let n = 0; n < 3; n++) second(1000);
  expect(lag.stands).toBe(true);
  // Nobody is shed before it is known what was served.
  expect([ask('flood', 900), ask('quiet', 5)]).toEqual([900, 5]);
  second(1000);
  expect(ask('flood', 900)).toBe(226);
  expect(ask('quiet', 5)).toBe(5);
  second(1000);
  expect(ask('flood', 900)).toBeLessThan(226);
  expect(ask('quiet', 5)).toBe(5);
});

test('when the loop keeps up more is let in, until nobody needs to be shed', () => {
  const { lag, second, ask } = stage();
  for (let n = 0; n < 3; n++) second(1000);
  ask('flood', 1000);
  second(1000);
  expect(ask('flood', 1000)).toBe(500);
  second(0);
  expect(ask('flood', 1000)).toBe(1000);
  second(0);
  expect(lag.stands).toBe(false);
});
