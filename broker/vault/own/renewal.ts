import type { VaultClient } from '#broker/vault/client.ts';
import { ownTokenOf } from './login.ts';
import type { OwnToken } from './login.ts';

/** @throws {VaultFault} denied: the token is dead */
export async function renewSelf(client: VaultClient, token: string): Promise<OwnToken> {
  return ownTokenOf(await client.write('auth/token/renew-self', {}, { token }));
}
