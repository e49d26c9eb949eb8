import { sharedGrants, tenantDocument } from '#broker/authorization/documents.ts';
import type { TenantGrants } from '#broker/authorization/documents.ts';
import type { GrantReader } from '#broker/authorization/authorization.ts';
import type { Identity } from '#broker/credential/identity.ts';
import type { RefusedAddress } from '#broker/credential/refused-addresses.ts';
import { badSubject } from '#broker/credential/subject-tokens.ts';
import { wrongCredential } from '#broker/credential/verified-credentials.ts';
import { documentFault } from '#broker/document-fault.ts';
import { PosternError } from '#broker/error.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { Kv } from './kv.ts';
import { tokenElsewhere } from './token-elsewhere.ts';
import { asUnavailable, unavailable } from './unavailable.ts';

export interface GrantsOptions {
  /** Told where the address of a client that has just logged in is refused. The client isn't. */
  readonly onRefusedAddress?: (refused: RefusedAddress) => void;
  readonly now?: (() => number) | undefined;
}

/** Reads `tenants/<tenant>` as the tenant: Vault refuses a neighbour's. */
export class VaultGrants implements GrantReader {
  readonly #kv: Kv;
  readonly #options: GrantsOptions;

  constructor(kv: Kv, options: GrantsOptions = {}) {
    this.#kv = kv;
    this.#options = options;
  }

  async readGrants(identity: Identity): Promise<TenantGrants | undefined> {
    const path = `tenants/${identity.tenant}`;
    const { data } = await this.#kv
      .read(path, { token: identity.token.reveal(), forwardedFor: identity.forwardedFor, part: 'tenants', behind: identity.lent !== true })
      .catch((error: unknown) => {
        const { onRefusedAddress = () => {}, now = Date.now } = this.#options;
        // One that is served on while Vault is away may have a token that has ended.
        const elsewhere = now() < identity.expiresAt ? tokenElsewhere(error, identity, onRefusedAddress) : undefined;
        if (elsewhere !== undefined) throw elsewhere;
        if (error instanceof VaultFault && error.reason === 'denied') {
          throw unavailable(
            `${error.message}: does the role "${identity.tenant}" have the policy postern-tenant, and is that ` +
              `policy written for this AppRole mount's accessor? And do its vault_cidrs, if it has any, hold the address that Vault sees: ` +
              `the client's with POSTERN_FORWARD_CLIENT_ADDRESS, else the broker's?`,
          );
        }
        throw asUnavailable(error);
      });
    if (data === undefined) return undefined;
    const parsed = tenantDocument.safeParse(data);
    if (parsed.success) {
      const { client_id: clientId } = parsed.data;
      if (clientId !== undefined && clientId !== null && clientId !== identity.clientId) throw formerTenant(identity);
      return sharedGrants(parsed.data);
    }
    throw new PosternError('misconfigured', 'Client is not set up', {
      detail: `${path} in Vault is not valid: ${documentFault(parsed.error)}`,
    });
  }
}

/** Whoever it was is unknown now: the same words as for somebody who was never known. */
function formerTenant({ lent, tenant }: Identity): PosternError {
  const detail = `the credential is of a former tenant of the name ${tenant}, which has another client_id now`;
  return lent
    ? badSubject('The subject_token maps to no tenant', detail)
    : new PosternError('invalid_client', wrongCredential().message, { detail });
}
