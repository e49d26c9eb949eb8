import { trustIndex } from '#broker/credential/trust.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { announce } from '#broker/operator/announcement.ts';
import { checkTenantId } from '#broker/operator/name.ts';
import { readRoleId } from '#broker/operator/secret/issue.ts';
import { trustMount } from '#broker/vault/trust-login.ts';
import { indexEntry } from '#broker/vault/trusts.ts';
import type { TrustDocument } from '#broker/vault/trusts.ts';
import { checkTrustName, noTrust, readTrust, trustNames } from './view.ts';

export interface TrustRemoval {
  tenant: string;
  name: string;
  epoch: number;
}

/** Vault takes no token by it any more when this returns. @throws {PosternError} not_found */
export async function removeTrust(access: VaultAccess, tenant: string, name: string): Promise<TrustRemoval> {
  checkTenantId(tenant);
  checkTrustName(name);
  const clientId = await readRoleId(access, tenant);
  const document = await readTrust(access, clientId, name);
  if (document === undefined) throw noTrust(tenant, name);
  await eraseTrust(access, tenant, clientId, name, document);
  const { epoch } = await announce(access, tenant);
  return { tenant, name, epoch };
}

/** All of a tenant that is deleted. @returns how many there were */
export async function eraseTrusts(access: VaultAccess, tenant: string, clientId: string): Promise<number> {
  const names = await trustNames(access, clientId);
  for (const name of names) {
    const document = await readTrust(access, clientId, name);
    if (document !== undefined) await eraseTrust(access, tenant, clientId, name, document);
  }
  return names.length;
}

/** At Vault first, which decides; the document last, so that whoever is interrupted can go on. */
export async function eraseTrust(
  access: VaultAccess,
  tenant: string,
  clientId: string,
  name: string,
  { issuer, audience }: Pick<TrustDocument, 'issuer' | 'audience'>,
): Promise<void> {
  await access.call(`remove the trust ${name} of ${tenant}`, async ({ client, documents, as }) => {
    await client.delete(`${trustMount(access.mounts.trust, tenant, issuer)}/role/${name}`, as);
    await documents.remove(`trust-index/${trustIndex(issuer, audience)}/${indexEntry(clientId, name)}`, as);
    await documents.remove(`trusts/${clientId}/${name}`, as);
  });
}
