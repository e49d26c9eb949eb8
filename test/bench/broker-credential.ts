import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { noteSecret } from '#dev/secret.ts';
import type { Stack } from '#dev/stack.ts';

/** For one more broker of the stack. @param file in which its wrapped secret_id is put, below `folder` */
export async function brokerCredential(
  { client, vault }: Stack,
  folder: string,
  file: string,
): Promise<{ roleId: string; wrappedSecretIdFile: string }> {
  const as = { token: vault.rootToken };
  const role = 'auth/approle-broker/role/broker';
  const wrapped = await client.write(`${role}/secret-id`, {}, { ...as, wrapTtl: 120 });
  const wrappedSecretIdFile = join(folder, file);
  await writeFile(wrappedSecretIdFile, noteSecret('wrapping token', String(wrapped.wrap_info?.['token'])), { mode: 0o600 });
  return { roleId: String((await client.read(`${role}/role-id`, as))?.data?.['role_id']), wrappedSecretIdFile };
}
