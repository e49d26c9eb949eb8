import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApiKey } from '#broker/credential/api-key.ts';
import { AppRoleCredential } from '#broker/credential/approle.ts';
import type { Identity } from '#broker/credential/identity.ts';
import type { RefusedAddress } from '#broker/credential/refused-addresses.ts';
import { VerifiedCredentials } from '#broker/credential/verified-credentials.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { issueKey } from '#broker/operator/key/issue.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { VaultGrants } from '#broker/vault/grants.ts';
import { Kv } from '#broker/vault/kv.ts';
import { AppRoleLogin } from '#broker/vault/approle-login.ts';
import { KeyEnds } from '#broker/vault/key-ends.ts';
import { freePort } from '#dev/port.ts';
import { applyTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { startDevVault } from '#dev/vault.ts';
import type { DevVault } from '#dev/vault.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { NO_ENDS } from '#test/unit/vault/ends.ts';

/*
 * Keys bound to addresses, with a Vault that believes this machine's word for where a client is: what POSTERN_FORWARD_CLIENT_ADDRESS
 * is for. The dev listener can't be told to, so there is a second one.
 */

let vault: DevVault;
let client: VaultClient;
let access: VaultAccess;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-address-'));
  const port = await freePort();
  const listener = {
    tcp: {
      address: `127.0.0.1:${port}`,
      tls_disable: true,
      x_forwarded_for_authorized_addrs: '127.0.0.1/32',
      x_forwarded_for_reject_not_present: false,
    },
  };
  await writeFile(join(folder, 'listener.json'), JSON.stringify({ listener: [listener] }));
  vault = await startDevVault({ args: [`-config=${join(folder, 'listener.json')}`] });
  registerSecret('Vault root token', vault.rootToken);
  registerSecret('Vault unseal key', vault.unsealKey);
  await applyTerraform({
    vaultAddress: vault.address,
    vaultToken: await terraformToken(vault),
    stateDirectory: join(folder, 'terraform'),
    variables: {
      apis: { reports: { audience: 'https://reports.example.com', source: 'transit', scopes: ['read:reports'] } },
      tenants: {
        acme: { grants: [{ api: 'reports', scopes: ['read:reports'] }] },
        walled: { grants: [{ api: 'reports', scopes: ['read:reports'] }], vault_cidrs: ['198.51.100.0/24'] },
      },
    },
  });
  client = new VaultClient({ address: `http://127.0.0.1:${port}` });
  access = new VaultAccess({ client, token: new VaultToken(vault.rootToken) });
});
afterAll(async () => {
  await client?.close();
  await vault?.stop();
  await rm(folder, { recursive: true, force: true });
});

test('a key is good from its addresses and nowhere else, also when it was verified from there a moment ago', async () => {
  const { key } = await issueKey(access, { tenant: 'acme', cidrs: ['198.51.100.0/24', '2001:db8::/32'] });
  registerSecret('api key', key);
  const { credential } = ApiKey.parse(key)!;
  registerSecret('secret_id', credential.reveal());
  const documents = new Kv(client, 'postern');
  const verified = new VerifiedCredentials({
    login: new AppRoleLogin({ client, mount: 'approle', forwardAddress: true, ends: { ...NO_ENDS, rotations: new KeyEnds(documents) } }),
    byAddress: true,
  });
  const from = async (address: string): Promise<Identity> => verified.verify(credential, address);
  for (const inside of ['198.51.100.7', '198.51.100.255', '2001:db8::9']) {
    const identity = await from(inside);
    expect(identity).toMatchObject({ tenant: 'acme', forwardedFor: inside });
    expect(await new VaultGrants(documents).readGrants(identity)).toMatchObject({ grants: [{ api: 'reports' }] });
    expect(await from(inside)).toBe(identity);
  }
  for (const outside of ['198.51.101.7', '203.0.113.7', '127.0.0.1', '2001:db9::1'])
    await expect(from(outside)).rejects.toMatchObject({ code: expect.stringMatching(/^(invalid_client|access_denied)$/) as string });
});

test('a broker that does not forward addresses refuses such a key from everywhere', async () => {
  const { key } = await issueKey(access, { tenant: 'acme', cidrs: ['198.51.100.0/24'] });
  registerSecret('api key', key);
  const { credential } = ApiKey.parse(key)!;
  registerSecret('secret_id', credential.reveal());
  const login = new AppRoleLogin({
    client,
    mount: 'approle',
    forwardAddress: false,
    ends: { ...NO_ENDS, rotations: new KeyEnds(new Kv(client, 'postern')) },
  });
  await expect(login.login(credential, '198.51.100.7')).rejects.toMatchObject({ code: 'invalid_client' });
});

/** A secret of `walled`, or a key, and what a broker makes of it. */
async function walled(keyed: boolean) {
  const { key } = await issueKey(access, { tenant: 'walled' });
  registerSecret('api key', key);
  const secret = await client.write('auth/approle/role/walled/secret-id', {}, { token: vault.rootToken });
  const id = await client.read('auth/approle/role/walled/role-id', { token: vault.rootToken });
  registerSecret('secret_id', String(secret.data?.['secret_id']));
  const plain = AppRoleCredential.of(String(id?.data?.['role_id']), String(secret.data?.['secret_id']))!;
  const credential = keyed ? ApiKey.parse(key)!.credential : plain;
  registerSecret('secret_id', credential.reveal());
  const told: RefusedAddress[] = [];
  const tell = (refused: RefusedAddress): void => void told.push(refused);
  const documents = new Kv(client, 'postern');
  const verified = new VerifiedCredentials({
    login: new AppRoleLogin({
      client,
      mount: 'approle',
      forwardAddress: true,
      ends: { ...NO_ENDS, rotations: new KeyEnds(documents, tell) },
    }),
    byAddress: true,
  });
  const grants = new VaultGrants(documents, { onRefusedAddress: tell });
  const from = async (address: string) => grants.readGrants(await verified.verify(credential, address));
  return { from, told, clientId: credential.lastingClientId };
}

test.each([
  ['secret', false],
  ['key', true],
])(
  'a %s whose Vault tokens are bound to addresses is wrong elsewhere, like any wrong one, and operators are told why',
  async (_, keyed) => {
    const { from, told, clientId } = await walled(keyed);
    expect(await from('198.51.100.7')).toMatchObject({ grants: [{ api: 'reports' }] });
    await expect(from('203.0.113.7')).rejects.toMatchObject({ code: 'invalid_client', message: 'Unauthorized', retryAfter: undefined });
    expect(told).toEqual([{ clientId, address: '203.0.113.7', forwarded: '203.0.113.7', seen: undefined }]);
  },
);

test.each([
  ['secret', false],
  ['key', true],
])('a policy that is missing makes no %s wrong, from wherever it may be used', async (_, keyed) => {
  const { from, told } = await walled(keyed);
  const as = { token: vault.rootToken };
  await client.write('auth/approle/role/walled/policies', { token_policies: ['not-applied'] }, as);
  try {
    await expect(from('198.51.100.7')).rejects.toMatchObject({ code: 'temporarily_unavailable' });
    expect(told).toEqual([]);
  } finally {
    await client.write('auth/approle/role/walled/policies', { token_policies: ['postern-tenant'] }, as);
  }
});
