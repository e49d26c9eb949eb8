import { expect, test, vi } from 'vitest';
import { AppRoleCredential } from '#broker/credential/approle.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { Verifiers } from '#broker/credential/verifiers.ts';

test('each verification is told once; one that is remembered, or fails, is not', async () => {
  const identity = { tenant: 'acme' } as Identity;
  const verify = vi.fn<() => Identity | Promise<Identity>>();
  const onVerified = vi.fn();
  const never = { verify: () => Promise.reject(new Error('not asked')) };
  const verifiers = new Verifiers({
    onVerified,
    secrets: { verify, knownBefore: () => undefined, isKnown: () => false },
    assertions: never,
    subjects: never,
    trusts: never,
  });
  const credential = Object.create(AppRoleCredential.prototype) as AppRoleCredential;

  verify.mockReturnValueOnce(Promise.resolve(identity));
  expect(await verifiers.verify(credential, '192.0.2.1')).toBe(identity);
  expect(onVerified.mock.calls).toEqual([[identity]]);

  verify.mockReturnValueOnce(identity);
  expect(verifiers.verify(credential, '192.0.2.1')).toBe(identity);
  verify.mockReturnValueOnce(Promise.reject(new Error('refused')));
  await expect(verifiers.verify(credential, '192.0.2.1')).rejects.toThrow('refused');
  expect(onVerified).toHaveBeenCalledTimes(1);
});
