import { NAME } from '#broker/credential/identity.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { listedOr } from '#broker/operator/listed.ts';

/**
 * Tenants some of whose credentials are, or were, being replaced: one list in place of a read of each.
 * @param all every tenant, which is what it says where this token's policy doesn't know the list yet
 */
export async function rotatingTenants(access: VaultAccess, all: readonly string[]): Promise<readonly string[]> {
  const names = await listedOr(access, 'keys', undefined);
  if (names === undefined) return all;
  const there = new Set(all);
  return names.filter((name) => NAME.test(name) && there.has(name));
}
