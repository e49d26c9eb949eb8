import { trustIndex } from '#broker/credential/trust.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { announce } from '#broker/operator/announcement.ts';
import { trustMount } from '#broker/vault/trust-login.ts';
import { indexEntry } from '#broker/vault/trusts.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { findTrust, readTrust, textOf, trustNames, viewOf } from './view.ts';

export interface TrustRemoval {
  tenant: string;
  name: string;
  /** `terraform`: its next apply brings it back. */
  managed_by: string | null;
  epoch: number;
}

/** Vault takes no token by it any more when this returns. @throws {PosternError} not_found */
export async function removeTrust(access: VaultAccess, tenant: string, name: string): Promise<TrustRemoval> {
  const { clientId, data } = await findTrust(access, tenant, name);
  await endTrust(access, tenant, name, data);
  // Before it is forgotten: whoever is interrupted finds it once more, and tells brokers.
  const { epoch } = await announce(access, tenant);
  await forgetTrust(access, tenant, clientId, name, data);
  return { tenant, name, managed_by: viewOf(tenant, clientId, name, data).managed_by, epoch };
}

/** All of a tenant that is deleted. @returns how many there were */
export async function eraseTrusts(access: VaultAccess, tenant: string, clientId: string): Promise<number> {
  const names = await trustNames(access, clientId);
  for (const name of names) {
    const { data } = await readTrust(access, clientId, name);
    if (data !== undefined) await eraseTrust(access, tenant, clientId, name, data);
  }
  return names.length;
}

/** At Vault first, which decides; the document last, so that whoever is interrupted can go on. */
export async function eraseTrust(access: VaultAccess, tenant: string, clientId: string, name: string, data: Stored): Promise<void> {
  await endTrust(access, tenant, name, data);
  await forgetTrust(access, tenant, clientId, name, data);
}

type Stored = Readonly<Record<string, unknown>>;

async function endTrust(access: VaultAccess, tenant: string, name: string, data: Stored): Promise<void> {
  const role = `${trustMount(access.mounts.trust, tenant, textOf(data['issuer']))}/role/${name}`;
  await access.call(`remove the trust ${name} of ${tenant}`, async ({ client, as }) => {
    await client.delete(role, as).catch((error: unknown) => {
      // Terraform took the issuer away, and every role of it.
      if (!(error instanceof VaultFault && error.reason === 'not_found')) throw error;
    });
  });
}

async function forgetTrust(access: VaultAccess, tenant: string, clientId: string, name: string, data: Stored): Promise<void> {
  const index = trustIndex(textOf(data['issuer']), textOf(data['audience']));
  await access.call(`remove the trust ${name} of ${tenant}`, async ({ documents, as }) => {
    await documents.remove(`trust-index/${index}/${indexEntry(clientId, name)}`, as);
    await documents.remove(`trusts/${clientId}/${name}`, as);
  });
}
