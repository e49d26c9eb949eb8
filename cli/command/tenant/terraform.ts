import { managerOf } from '#broker/operator/tenant/managed-by.ts';
import type { VaultCall } from '#cli/command/context.ts';

/** A tenant of Terraform's can be changed, in an emergency say, and the next apply undoes it. */
export async function warnOfTerraform({ access, output }: VaultCall, tenant: string): Promise<void> {
  if ((await managerOf(access, tenant)) !== 'terraform') return;
  output.warn(`${tenant} is Terraform's: the next apply undoes this. Change tenants.${tenant} there too.`);
}
