import { z } from 'zod';
import { PosternError } from '#broker/error.ts';
import { upstreamPath } from '#broker/mounts.ts';
import type { UpstreamCredential, UpstreamReader } from '#broker/token/upstream.ts';
import type { Kv, KvDocument } from './kv.ts';
import type { VaultSession } from './session.ts';
import { asUnavailable } from './unavailable.ts';

const document = z.object({
  client_id: z.string().min(1),
  client_secret: z.string().min(1),
  previous_client_secret: z.string().min(1).optional(),
});

/** Reads a source's shared credential with the broker's own token. */
export class VaultUpstream implements UpstreamReader {
  readonly #kv: Kv;
  readonly #session: VaultSession;

  readonly #path: string;

  /** @param source whose credential it is */
  constructor(kv: Kv, session: VaultSession, source: string) {
    this.#path = upstreamPath(source);
    this.#kv = kv;
    this.#session = session;
  }

  async readUpstream(): Promise<UpstreamCredential> {
    const newest = await this.#read(undefined);
    const credential = document.safeParse(newest.data);
    if (!credential.success) {
      throw new PosternError('misconfigured', 'Service temporarily unavailable', {
        detail: `${this.#path} in Vault holds no client_id and client_secret: write them with \`postern upstream set\``,
        retryAfter: 10,
      });
    }
    const { client_id: clientId, client_secret: secret, previous_client_secret: named } = credential.data;
    const previous = named ?? (await this.#secretBefore(clientId, newest.version));
    return { clientId, clientSecrets: previous === undefined || previous === secret ? [secret] : [secret, previous] };
  }

  /** Who sets the credential may not read it, and so can't carry the old secret over: KV v2 has kept it as the version before. */
  async #secretBefore(clientId: string, version: number): Promise<string | undefined> {
    if (version < 2) return undefined;
    const before = document.safeParse((await this.#read(version - 1)).data);
    return before.success && before.data.client_id === clientId ? before.data.client_secret : undefined;
  }

  #read(version: number | undefined): Promise<KvDocument> {
    return this.#session
      .use((token) => this.#kv.read(this.#path, { token, ...(version === undefined ? {} : { version }) }))
      .catch((error: unknown) => {
        throw asUnavailable(error);
      });
  }
}
