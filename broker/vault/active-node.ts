/** Of a state that no storage reaches: the greatest number that OpenBao reads (64 bits, signed). */
const BEYOND = '9223372036854775807';
const NONE: Readonly<Record<string, string>> = {};

/**
 * Has the active node answer, whichever node of a cluster is asked. OpenBao's standbys answer reads themselves, from a storage that may be
 * behind: who was narrowed a moment ago would be read with all that it had. One that is asked for a state beyond what it has passes the
 * request on (`X-Vault-Index` and `X-Vault-Inconsistent`, OpenBao 2.7, <https://openbao.org/community/rfcs/index-headers/>). Vault's
 * standbys pass everything on, and Vault names no such state.
 */
export class ActiveNode {
  #headers = NONE;
  #cluster: string | undefined;

  /** For every request. */
  get headers(): Readonly<Record<string, string>> {
    return this.#headers;
  }

  /** @param index `X-Vault-Index` of an answer: base64 of JSON that names the cluster, without which no state means anything */
  hear(index: unknown): void {
    const cluster = typeof index === 'string' ? clusterOf(index) : undefined;
    if (cluster === undefined || cluster === this.#cluster) return;
    this.#cluster = cluster;
    const beyond = Buffer.from(JSON.stringify({ cluster, value: BEYOND })).toString('base64');
    this.#headers = { 'X-Vault-Index': beyond, 'X-Vault-Inconsistent': 'forward-active-node' };
  }
}

function clusterOf(index: string): string | undefined {
  try {
    const { cluster, value } = JSON.parse(Buffer.from(index, 'base64').toString()) as { cluster?: unknown; value?: unknown };
    return typeof cluster === 'string' && typeof value === 'string' && /^\d+$/.test(value) ? cluster : undefined;
  } catch {
    return undefined;
  }
}
