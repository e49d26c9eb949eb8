import { z } from 'zod';
import type { Identity } from '#broker/credential/identity.ts';
import type { RefusedAddress } from '#broker/credential/refused-addresses.ts';
import { documentFault } from '#broker/document-fault.ts';
import { PosternError } from '#broker/error.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { KEY_ID } from './key-metadata.ts';
import type { Kv } from './kv.ts';
import { tokenElsewhere } from './token-elsewhere.ts';
import { asUnavailable, unavailable } from './unavailable.ts';

/** `keys/<tenant>`: the API keys that are being replaced. A tenant that rotates none has no such document. */
export const rotationsDocument = z.object({
  rotations: z
    .array(
      z.object({
        /** The key that ends. */
        key_id: z.string().regex(KEY_ID),
        accessor: z.string(),
        /** The key in its place; while `until` is null, the one that the latest run issues. */
        new_key_id: z.string().regex(KEY_ID),
        /** Seconds since 1970 at which the old key ends; null until the new one was shown. */
        until: z.number().positive().nullable(),
      }),
    )
    .default([]),
  /** Key id -> the name that its owner gave it later; Vault can't change what lies with a secret_id. */
  names: z.record(z.string().regex(KEY_ID), z.string()).default({}),
  /** The secret_ids that are being replaced and aren't keys. Brokers look at the keys' alone. */
  secrets: z
    .array(
      z.object({
        accessor: z.string(),
        /** `credential_id` of the one in its place; while `until` is null, the one that the latest run issues. */
        new_id: z.string(),
        /** Seconds since 1970 from which on an operator's next command revokes the old one; null until the new one was shown. */
        until: z.number().positive().nullable(),
      }),
    )
    .default([]),
});

export type SecretReplacement = z.infer<typeof rotationsDocument>['secrets'][number];
export type Rotations = z.infer<typeof rotationsDocument>['rotations'];

export function rotationsPath(tenant: string): string {
  return `keys/${tenant}`;
}

/** Who has just logged in with a key, or lends their token. */
export type KeyHolder = Pick<Identity, 'tenant' | 'clientId' | 'token' | 'forwardedFor' | 'lent'>;

/** When a rotation ends a key. Read with the tenant's own token at each verification of an API key, and of nothing else. */
export class KeyEnds {
  readonly #kv: Kv;

  readonly #onRefusedAddress: (refused: RefusedAddress) => void;

  /** @param onRefusedAddress told where the address of a client that has just logged in is refused */
  constructor(kv: Kv, onRefusedAddress: (refused: RefusedAddress) => void = () => {}) {
    this.#kv = kv;
    this.#onRefusedAddress = onRefusedAddress;
  }

  /**
   * @returns seconds since 1970; undefined where no rotation ends it
   * @throws {PosternError} invalid_client; temporarily_unavailable, misconfigured: a key whose end is not known is not served
   */
  async of(keyId: string, holder: KeyHolder): Promise<number | undefined> {
    const { tenant, token, forwardedFor, lent } = holder;
    const path = rotationsPath(tenant);
    const { data } = await this.#kv
      .read(path, { token: token.reveal(), forwardedFor, part: 'tenants', behind: lent !== true })
      .catch((error: unknown) => {
        const elsewhere = tokenElsewhere(error, holder, this.#onRefusedAddress);
        if (elsewhere !== undefined) throw elsewhere;
        if (error instanceof VaultFault && error.reason === 'denied')
          throw unavailable(`${error.message}: API keys need the policy postern-tenant of this version (terraform apply)`);
        throw asUnavailable(error);
      });
    if (data === undefined) return undefined;
    const parsed = rotationsDocument.safeParse(data);
    if (!parsed.success)
      throw new PosternError('misconfigured', 'Client is not set up', {
        detail: `${path} in Vault is not valid: ${documentFault(parsed.error)}`,
      });
    return parsed.data.rotations.find((rotation) => rotation.key_id === keyId)?.until ?? undefined;
  }
}
