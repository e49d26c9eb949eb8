import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { ClientKeys, Registration } from '#broker/credential/assertions.ts';
import { NAME } from '#broker/credential/identity.ts';
import { documentFault } from '#broker/document-fault.ts';
import { PosternError } from '#broker/error.ts';
import { pemBlocks } from '#broker/pem.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { Kv } from './kv.ts';
import type { VaultSession } from './session.ts';
import { asUnavailable } from './unavailable.ts';

/**
 * `assertions/<client_id>`, as Terraform writes it. PEM rather than JWK: Vault's JWT method takes PEM, and both must hold the same keys.
 */
const document = z.object({
  tenant: z.string().regex(NAME),
  keys: z
    .array(z.object({ kid: z.string().min(1).max(255).nullish(), pem: z.string().max(8192) }))
    .min(1)
    .max(10),
});

/** Clients' public keys, read with the broker's own token: they are public, and no tenant has logged in yet. */
export class VaultClientKeys implements ClientKeys {
  readonly #kv: Kv;
  readonly #session: VaultSession;

  constructor(kv: Kv, session: VaultSession) {
    this.#kv = kv;
    this.#session = session;
  }

  async registrationOf(clientId: string): Promise<Registration | undefined> {
    const data = await this.#read(`assertions/${clientId}`);
    if (data === undefined) return undefined;
    const parsed = document.safeParse(data);
    if (!parsed.success) throw misconfigured(clientId, documentFault(parsed.error));
    const { tenant, keys } = parsed.data;
    return {
      clientId,
      tenant,
      keys: keys.map(({ kid, pem }, index) => ({ kid: kid ?? undefined, key: publicKeyOf(pem) ?? notTaken(clientId, index) })),
    };
  }

  async #read(path: string): Promise<Record<string, unknown> | undefined> {
    try {
      return (await this.#session.use((token) => this.#kv.read(path, { token }))).data;
    } catch (error) {
      // A client_id that cannot be in a path is nobody's; nothing was sent.
      if (error instanceof VaultFault && error.reason === 'invalid' && error.status === undefined) return undefined;
      throw asUnavailable(error);
    }
  }
}

/** @returns undefined for what is not a public key, or one too weak or of a kind that no signature here is made by */
function publicKeyOf(pem: string): KeyObject | undefined {
  const blocks = pemBlocks(pem);
  const [block, ...more] = blocks.filter(({ label }) => label.endsWith('PUBLIC KEY'));
  // A private key has no business here, not even beside a public one.
  if (block === undefined || more.length > 0 || blocks.some(({ label }) => label.endsWith('PRIVATE KEY'))) return undefined;
  try {
    const key = createPublicKey(block.text);
    const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
    if (type === 'rsa' && (details?.modulusLength ?? 0) >= 2048) return key;
    return type === 'ec' && details?.namedCurve === 'prime256v1' ? key : undefined;
  } catch {
    return undefined;
  }
}

function notTaken(clientId: string, index: number): never {
  throw misconfigured(clientId, `keys.${index}.pem is not a public key of RSA (2048 bits and more) or P-256`);
}

function misconfigured(clientId: string, problem: string): PosternError {
  return new PosternError('misconfigured', 'Client is not set up', { detail: `assertions/${clientId} in Vault is not valid: ${problem}` });
}
