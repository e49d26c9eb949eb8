import type { House } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';

/** A tenant `scale-<n>`, made as Terraform makes them, with a credential. */
export async function customer(
  { root }: House,
  n: number,
  scopes: readonly string[],
): Promise<{ client_id: string; client_secret: string }> {
  const tenant = `scale-${n}`;
  const role = `auth/approle/role/${tenant}`;
  await root.write(role, { token_type: 'batch', token_policies: ['postern-tenant'], token_ttl: '300s', token_no_default_policy: true });
  await root.write(`postern/data/tenants/${tenant}`, { data: { grants: [{ api: 'scale', scopes }] } });
  const id = (await root.read(`${role}/role-id`))?.data?.['role_id'];
  const secret = String((await root.write(`${role}/secret-id`)).data?.['secret_id']);
  registerSecret('secret_id', secret);
  return { client_id: String(id), client_secret: secret };
}
