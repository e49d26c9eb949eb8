import { PosternError } from '#broker/error.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import { loginAnswer } from './answer.ts';
import type { LoginAnswer } from './answer.ts';

export interface UserpassOptions {
  client: VaultClient;
  mount: string;
  username: string;
  password: string;
}

/** Vault's "Userpass auth method", HTTP API. @throws {PosternError} access_denied. @throws {VaultFault} */
export async function userpassLogin({ client, mount, username, password }: UserpassOptions): Promise<LoginAnswer> {
  if (!/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(username))
    throw new PosternError('invalid_request', 'A username of break-glass holds letters, digits and . _ - only');
  try {
    return loginAnswer(await client.write(`auth/${mount}/login/${username}`, { password }), username);
  } catch (error) {
    // A mount that isn't there is a 403 to whoever has no token, too.
    if (error instanceof VaultFault && (error.reason === 'invalid' || error.reason === 'denied'))
      throw new PosternError('access_denied', 'Vault does not let you in', {
        detail:
          'The username or the password is wrong, too many were wrong lately (15 minutes), or break-glass is off: ' +
          "it is Terraform's `break_glass`, which is off by default.",
      });
    throw error;
  }
}
