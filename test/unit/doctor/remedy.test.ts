import { expect, it } from 'vitest';
import { failed } from '#broker/doctor/check.ts';
import { inWordsOf } from '#broker/doctor/remedy.ts';
import { audit } from '#broker/doctor/vault/audit.ts';
import { version } from '#broker/doctor/vault/version.ts';
import type { View } from '#broker/doctor/view.ts';

const view = (product: 'Vault' | 'OpenBao', found = '2.7.2') =>
  ({ health: async () => ({ product, version: found }), read: async () => ({}) }) as unknown as View;

it('remedies name the commands of the product, and nothing else of them changes', () => {
  const check = failed('x', 'vault auth', 'Run terraform apply. Or: vault auth tune -x approle/. See vault-policies/ and your vault.');
  expect(inWordsOf('Vault', check)).toEqual(check);
  expect(inWordsOf('OpenBao', check)).toEqual({
    ...check,
    remedy: 'Run terraform apply. Or: bao auth tune -x approle/. See vault-policies/ and your vault.',
  });
});

it('a server without an audit device gets one by API on Vault, in its configuration on OpenBao', async () => {
  expect((await audit.inspect(view('Vault')))[0]).toMatchObject({
    status: 'failed',
    remedy: expect.stringContaining('vault audit enable'),
  });
  const [onOpenBao] = await audit.inspect(view('OpenBao'));
  expect(onOpenBao).toMatchObject({ status: 'failed', seen: 'OpenBao records nothing', remedy: expect.stringContaining('audit "file"') });
  expect(onOpenBao?.remedy).not.toContain('terraform apply');
});

it.each([
  ['OpenBao', '2.7.2', 'ok'],
  ['OpenBao', '2.6.1', 'warning'],
  ['Vault', '1.20.9', 'failed'],
  ['Vault', '1.21.2', 'warning'],
  ['Vault', '2.1.2', 'ok'],
] as const)('%s %s is %s', async (product, found, status) => {
  expect((await version.inspect(view(product, found)))[0]).toMatchObject({ status, seen: `${product} ${found}` });
});
