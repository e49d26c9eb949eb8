import { expect, test } from 'vitest';
import { VaultFault } from '#broker/vault-fault.ts';
import { VaultErrors } from '#broker/wiring/vault-errors.ts';
import { Clock } from '#test/unit/credential/clock.ts';

const fault = (status: number) => new VaultFault('unavailable', `Vault answered ${status} to auth/approle/login`, { status });
const stage = () => {
  const clock = new Clock();
  return { clock, errors: new VaultErrors(clock.monotonic) };
};

test.each([
  ['login', 'login', 403],
  ['sign', 'signature', 400],
  ['write', 'write', 500],
] as const)(
  'an error each time at every %s is told after five in five seconds, and not any more when one went well',
  (of, said, status) => {
    const { clock, errors } = stage();
    for (let n = 0; n < 6; n++) {
      expect(errors.lately).toEqual([]);
      errors.observe(of, fault(status));
      clock.advance(1_000);
    }
    expect(errors.lately).toEqual([`Vault has answered ${status} to each ${said} for 5 s (6 in a row): see the log`]);
    // What had no answer says nothing of answers.
    errors.observe(of, new VaultFault('timeout', 'Vault did not answer in time'));
    errors.observe(of, new VaultFault('not_asked', 'Vault has not answered lately', { status: 503 }));
    expect(errors.lately).toHaveLength(1);
    errors.observe(of, undefined);
    expect(errors.lately).toEqual([]);
  },
);

test('few, or many at once, or what was not tried for a minute, is no word to an operator', () => {
  const { clock, errors } = stage();
  for (let n = 0; n < 50; n++) errors.observe('login', fault(500));
  expect(errors.lately).toEqual([]);
  clock.advance(59_000);
  errors.observe('login', fault(500));
  expect(errors.lately).toHaveLength(1);
  clock.advance(60_001);
  expect(errors.lately).toEqual([]);
  errors.observe('login', fault(500));
  expect(errors.lately).toEqual([]);
});

test('a wrong secret, a version that another has written, and what reads find are answers', () => {
  const { clock, errors } = stage();
  for (let n = 0; n < 10; n++) {
    for (const of of ['login', 'write'] as const) errors.observe(of, n % 5 === 4 ? fault(400) : fault(500));
    errors.observe('read', fault(500));
    clock.advance(2_000);
  }
  expect(errors.lately).toEqual([]);
});
