import { z } from 'zod';
import type { UpstreamCredential, UpstreamReader } from '#broker/auth0/source.ts';
import { PosternError } from '#broker/error.ts';
import type { Kv } from './kv.ts';
import type { VaultSession } from './session.ts';
import { asUnavailable } from './unavailable.ts';

export const UPSTREAM_PATH = 'upstream/auth0';

const document = z.object({
  client_id: z.string().min(1),
  client_secret: z.string().min(1),
  previous_client_secret: z.string().min(1).optional(),
});

/** Reads the shared M2M application's credential with the broker's own token. */
export class VaultUpstream implements UpstreamReader {
  readonly #kv: Kv;
  readonly #session: VaultSession;

  constructor(kv: Kv, session: VaultSession) {
    this.#kv = kv;
    this.#session = session;
  }

  async readUpstream(): Promise<UpstreamCredential> {
    const { data } = await this.#session
      .use((token) => this.#kv.read(UPSTREAM_PATH, { token }))
      .catch((error: unknown) => {
        throw asUnavailable(error);
      });
    const parsed = document.safeParse(data);
    if (!parsed.success) {
      throw new PosternError('misconfigured', 'Service temporarily unavailable', {
        detail: `${UPSTREAM_PATH} in Vault holds no client_id and client_secret: write them with \`postern upstream set\``,
        retryAfter: 10,
      });
    }
    const { client_id: clientId, client_secret: secret, previous_client_secret: previous } = parsed.data;
    return { clientId, clientSecrets: previous === undefined ? [secret] : [secret, previous] };
  }
}
