import { PosternError } from '#broker/error.ts';
import type { Identity } from './identity.ts';

/** Whose a refused credential was when it was right, for the audit alone: no client is told. */
export type KnownBefore = Pick<Identity, 'tenant' | 'keyId'>;

export function knownBeforeOf({ tenant, keyId }: KnownBefore): KnownBefore {
  return { tenant, keyId };
}

/** Vault took it and told whose it is, but its end is announced. To the client it is the one answer to every wrong credential. */
export class EndedCredential extends PosternError {
  readonly known: KnownBefore;

  constructor(known: KnownBefore, description: string) {
    super('invalid_client', description);
    this.known = known;
  }
}
