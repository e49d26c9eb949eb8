import { expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { explain } from '#broker/operator/refusal.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultFaultReason } from '#broker/vault-fault.ts';

test.each<[VaultFaultReason, string, RegExp]>([
  ['unreachable', 'temporarily_unavailable', /VAULT_ADDR/],
  ['timeout', 'temporarily_unavailable', /VAULT_ADDR/],
  ['denied', 'access_denied', /postern login/],
  ['unavailable', 'temporarily_unavailable', /sealed/],
  ['throttled', 'too_many_requests', /quota/],
  ['not_found', 'not_found', /terraform apply/],
  ['invalid', 'invalid_request', /said/],
  ['conflict', 'conflict', /repeat/],
  ['redirected', 'misconfigured', /said/],
  ['too_large', 'temporarily_unavailable', /said/],
])('%s is told as %s, with a remedy', (reason, code, remedy) => {
  const told = explain(new VaultFault(reason, 'Vault said'), 'do it', 'http://vault');
  expect(told).toBeInstanceOf(PosternError);
  expect(told).toMatchObject({ code });
  expect((told as PosternError).detail).toMatch(remedy);
});

test('a document without room is told as such, and where to read on', () => {
  const told = explain(new VaultFault('too_large', 'Vault said', { status: 500 }), 'announce it', 'http://vault');
  expect(told).toMatchObject({ code: 'misconfigured', message: expect.stringContaining('no room to announce it') });
  expect((told as PosternError).detail).toMatch(/Vault said.*docs\/scale\.md/);
});

test('what is not a fault of Vault passes', () => {
  const other = new TypeError('x');
  expect(explain(other, 'do it', '')).toBe(other);
});
