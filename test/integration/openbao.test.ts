import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { VaultClient } from '#broker/vault/client.ts';
import { applyTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { startDevVault } from '#dev/vault.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { findOpenBao } from '#tools/part/openbao.ts';

it('OpenBao is known by its health, and Terraform says there what to do about the audit device', async () => {
  await using openbao = await startDevVault({ binary: (await findOpenBao()).path });
  registerSecret('Vault root token', openbao.rootToken);
  registerSecret('Vault unseal key', openbao.unsealKey);
  const client = new VaultClient({ address: openbao.address });
  expect(await client.health()).toMatchObject({ product: 'OpenBao', sealed: false });
  await client.close();

  const vaultToken = await terraformToken(openbao);
  const stateDirectory = await mkdtemp(join(tmpdir(), 'postern-openbao-'));
  try {
    const apply = (audit: object | null) =>
      applyTerraform({
        vaultAddress: openbao.address,
        vaultToken,
        variables: { apis: {}, tenants: {}, audit },
        stateDirectory,
      });
    await expect(apply({})).rejects.toThrow(/This is OpenBao[\s\S]*Set audit\s+= null/);
    await expect(apply(null)).resolves.toMatchObject({ outputs: {} });
  } finally {
    await rm(stateDirectory, { recursive: true, force: true });
  }
});
