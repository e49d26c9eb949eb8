import { expect, test } from 'vitest';
import { VaultFault } from '#broker/vault-fault.ts';
import { VaultSilence } from '#broker/wiring/vault-silence.ts';

test.each([
  [new VaultFault('timeout', 'Vault did not answer in time'), 'no answer in time'],
  [new VaultFault('unreachable', 'Vault cannot be reached', { code: 'ECONNREFUSED' }), 'it cannot be reached: ECONNREFUSED'],
  [new VaultFault('unreachable', 'Vault cannot be reached'), 'it cannot be reached'],
  [new VaultFault('unavailable', 'Vault answered 503 to a/b: Vault is sealed', { status: 503 }), 'it answers 503: it is sealed'],
  [new VaultFault('unavailable', 'Vault answered 500 to a/b: internal error', { status: 500 }), 'it answers 500'],
  [new VaultFault('redirected', 'Vault answered 307 to a/b', { status: 307 }), 'it answers with a redirect'],
  [new VaultFault('unavailable', "This answer is not Vault's"), 'somebody else answers in its place: is VAULT_ADDR right?'],
])('%s is told without paths', (fault, text) => {
  const silence = new VaultSilence();
  expect(silence.last).toBe('why is not known yet');
  silence.observe(fault);
  // What was judged, refused for want of patience or not asked is no silence.
  for (const other of [undefined, new VaultFault('denied', 'no'), new VaultFault('throttled', '429'), new VaultFault('not_asked', 'no')])
    silence.observe(other);
  expect(silence.last).toBe(text);
});
