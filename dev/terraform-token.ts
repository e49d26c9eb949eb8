import { readFile } from 'node:fs/promises';
import { noteSecret } from './secret.ts';

const POLICY = new URL('../vault-policies/terraform.hcl', import.meta.url);
const NAME = 'postern-terraform';

/**
 * What root does once for Terraform: writes its policy and makes a token that has this one and nothing else.
 * @param mounts paths that aren't the defaults, by what stands for them in the policy: `{ auth0: 'platform/auth0' }`
 * @returns a Vault token that lives as long as root's
 * @throws Error where Vault refuses
 */
export async function terraformToken(
  vault: { address: string; rootToken: string },
  mounts: Readonly<Record<string, string>> = {},
): Promise<string> {
  const root = async (path: string, body: object): Promise<{ auth?: { client_token: string } }> => {
    const answer = await fetch(`${vault.address}/v1/${path}`, {
      method: 'POST',
      headers: { 'X-Vault-Token': vault.rootToken, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      redirect: 'error',
      signal: AbortSignal.timeout(10_000),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`Vault answers ${answer.status} to root at ${path}`);
    return text ? (JSON.parse(text) as { auth?: { client_token: string } }) : {};
  };
  let policy = await readFile(POLICY, 'utf8');
  for (const [name, path] of Object.entries(mounts)) policy = policy.replaceAll(new RegExp(`(["/])${name}(?=["/])`, 'g'), `$1${path}`);
  await root(`sys/policies/acl/${NAME}`, { policy });
  // Without Vault's own default policy, so that nothing comes from there.
  const { auth } = await root('auth/token/create', { policies: [NAME], no_default_policy: true, ttl: '24h', display_name: 'terraform' });
  return noteSecret('Vault token', auth?.client_token ?? '');
}
