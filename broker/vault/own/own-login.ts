import type { VaultAuth } from '#broker/vault-auth.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import { OwnAppRole } from './approle.ts';
import { OwnJwt } from './jwt.ts';
import type { OwnLogin } from './login.ts';
import { OwnTokenSink } from './token-sink.ts';

/** The broker's own identity, as it was configured. */
export function ownLogin(client: VaultClient, auth: VaultAuth): OwnLogin {
  switch (auth.method) {
    case 'approle':
      return new OwnAppRole(client, auth);
    case 'kubernetes':
    case 'jwt':
      return new OwnJwt(client, auth);
    case 'token-file':
      return new OwnTokenSink(client, auth);
  }
}
