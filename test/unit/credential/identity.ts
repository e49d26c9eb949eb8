import { VaultToken } from '#broker/credential/identity.ts';
import type { Identity } from '#broker/credential/identity.ts';

/** An identity as a login makes it; what is left out is acme's. */
export function identityOf(over: Partial<Identity> = {}): Identity {
  return {
    tenant: 'acme',
    clientId: 'acme-role-id',
    token: new VaultToken(`hvb.${over.tenant ?? 'acme'}`),
    forwardedFor: undefined,
    expiresAt: Number.MAX_SAFE_INTEGER,
    endsAt: Infinity,
    ...over,
  };
}
