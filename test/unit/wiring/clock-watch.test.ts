import { expect, onTestFinished, test } from 'vitest';
import { ClockDifference } from '#broker/clock-difference.ts';
import { ClockWatch } from '#broker/wiring/clock-watch.ts';

function stage() {
  const [vault, auth0] = [new ClockDifference(), new ClockDifference({ agree: 2 })];
  const asked = { times: 0 };
  const ask = async (): Promise<void> => {
    asked.times++;
    throw new Error('away');
  };
  const told: string[] = [];
  const watch = new ClockWatch(
    { name: 'Vault', label: 'vault', difference: vault },
    [{ name: 'https://auth0.example.com/', label: 'auth0', difference: auth0, ask }],
    { warn: (_fields: unknown, text?: string) => void told.push(text ?? '') } as never,
  );
  onTestFinished(() => watch.stop());
  const say = (of: ClockDifference, ahead: number): void => {
    for (let times = 0; times < 3; times++) of.observe(new Date(Date.now() + ahead).toUTCString(), 10);
  };
  return { vault, auth0, asked, told, watch, say };
}

test.each([
  ['Vault’s agrees', 0, 400_000, [], 1],
  ['Vault’s differs a little', 60_000, 400_000, [/auth0/], 0],
  ['Vault’s is as far off', 400_000, 400_000, [/Vault/, /auth0/], 0],
  ['Vault’s alone is off', 400_000, 0, [/Vault/], 0],
  ['Vault’s is not known', undefined, 400_000, [/auth0/], 0],
])('where %s', (_what, vaults, auth0s, tooFar, theirs) => {
  const { vault, auth0, watch, say } = stage();
  if (vaults !== undefined) say(vault, vaults);
  say(auth0, auth0s);
  expect(watch.tooFar()).toEqual(tooFar.map((one) => expect.stringMatching(one)));
  expect(watch.theirs()).toHaveLength(theirs);
  expect(watch.warnings()).toHaveLength([vaults ?? 0, auth0s].filter((ms) => ms > 30_000).length);
});

test('whose clock differs is asked again while it does', () => {
  const { auth0, asked, told, watch, say } = stage();
  say(auth0, 0);
  watch.look();
  expect(asked.times).toBe(0);
  say(auth0, 400_000);
  watch.look();
  watch.look();
  expect(asked.times).toBe(2);
  say(auth0, 0);
  watch.look();
  expect(asked.times).toBe(2);
  expect(told).toHaveLength(2);
});
