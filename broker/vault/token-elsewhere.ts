import type { Identity } from '#broker/credential/identity.ts';
import type { RefusedAddress } from '#broker/credential/refused-addresses.ts';
import { wrongCredential } from '#broker/credential/verified-credentials.ts';
import { PosternError } from '#broker/error.ts';
import { VaultFault } from '#broker/vault-fault.ts';

/**
 * The token of a login just made isn't good from the address that its client has (`vault_cidrs`): the client sees what a wrong secret is
 * answered, else a right one could be told from it there.
 * @param tell not the client
 * @returns undefined: Vault says something else
 */
export function tokenElsewhere(
  error: unknown,
  { clientId, forwardedFor, lent }: Pick<Identity, 'clientId' | 'forwardedFor' | 'lent'>,
  tell: (refused: RefusedAddress) => void,
): PosternError | undefined {
  if (!(error instanceof VaultFault && error.isOfTokenElsewhere) || forwardedFor === undefined || lent) return undefined;
  tell({ clientId, address: forwardedFor, forwarded: forwardedFor, seen: undefined });
  return new PosternError('invalid_client', wrongCredential().message, {
    detail: `${error.message}: the CIDRs that this client's Vault tokens are bound to leave out ${forwardedFor}`,
  });
}
