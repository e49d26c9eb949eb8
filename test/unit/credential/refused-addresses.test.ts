import { expect, test } from 'vitest';
import { RefusedAddresses } from '#broker/credential/refused-addresses.ts';
import type { RefusedAddress } from '#broker/credential/refused-addresses.ts';

function stage() {
  const told: string[] = [];
  const addresses = new RefusedAddresses(({ clientId }, cause) => told.push(`${clientId}: ${cause}`));
  const refused = (more: Partial<RefusedAddress>): void =>
    addresses.refused({ clientId: 'acme', address: '10.20.0.7', forwarded: '10.20.0.7', seen: '10.20.0.7', ...more });
  return { told, addresses, refused };
}

test.each<[string, Partial<RefusedAddress>, string]>([
  ['nothing is forwarded', { forwarded: undefined, seen: '10.0.0.1' }, 'POSTERN_FORWARD_CLIENT_ADDRESS=true'],
  ['Vault sees another address than was forwarded', { seen: '10.0.0.1' }, 'x_forwarded_for_authorized_addrs'],
  ['the client is outside', {}, 'outside the CIDRs'],
  ['its token is not good there', { seen: undefined }, 'vault_cidrs'],
  ['the same address in another spelling', { forwarded: '2001:db8::7', seen: '2001:DB8:0:0::7' }, 'outside the CIDRs'],
])('why: %s', (_, more, words) => {
  const { told, refused } = stage();
  refused(more);
  expect(told).toEqual([expect.stringContaining(words)]);
});

test('why: what is taken for the client is a proxy that is not believed', () => {
  const { told, addresses, refused } = stage();
  addresses.unbelieved('10.20.0.7');
  refused({});
  expect(told).toEqual([expect.stringContaining('POSTERN_TRUSTED_PROXIES: if it is a proxy of yours')]);
});

test('once a client and cause, however often and from wherever', () => {
  const { told, refused } = stage();
  for (let i = 0; i < 50; i += 1) refused({ address: `192.0.2.${i}`, forwarded: `192.0.2.${i}`, seen: `192.0.2.${i}` });
  expect(told).toHaveLength(1);
  refused({ seen: '10.0.0.1' });
  refused({ clientId: 'globex' });
  expect(told).toHaveLength(3);
});
