import { join } from 'node:path';
import { expect, it } from 'vitest';
import { VaultClient } from '#broker/vault/client.ts';
import { applyTerraform, planTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { startPluginVault } from '#test/fixture/plugin.ts';

/* What is OpenBao's own. On Raft, as in production: there a new KV mount refuses to be written to for a while. */

it('OpenBao is known by its health, Terraform says what to do about the audit device, and applies at the first try', async () => {
  await using openbao = await startPluginVault();
  const client = new VaultClient({ address: openbao.address });
  expect(await client.health()).toMatchObject({ product: 'OpenBao', sealed: false });
  await client.close();

  const vaultToken = await terraformToken(openbao);
  const terraform = (audit: object | null) => ({
    vaultAddress: openbao.address,
    vaultToken,
    variables: {
      apis: { orders: { audience: 'https://orders.example.com', source: 'transit', scopes: ['read:orders'] } },
      tenants: { acme: { grants: [{ api: 'orders', scopes: ['read:orders'] }] } },
      audit,
    },
    stateDirectory: join(openbao.folder, 'terraform'),
  });
  await expect(applyTerraform(terraform({}))).rejects.toThrow(/This is OpenBao[\s\S]*Set audit\s+= null/);
  await expect(applyTerraform(terraform(null))).resolves.toMatchObject({ outputs: { tenants: { acme: {} } } });
  expect(await planTerraform(terraform(null))).toMatchObject({ changes: false });
});
