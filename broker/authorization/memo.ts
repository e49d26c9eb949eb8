import type { Allowance } from '#broker/rate-limit/allowance.ts';
import type { TenantGrants } from './documents.ts';

/** Most different requests remembered for one verified credential. */
const MEMO_MAX = 64;
/** Longest request that is remembered, characters: white space and repeated scopes make one as long as a client likes. */
const MEMO_TEXT = 1024;

/** What of a grant tells it from another of the same identity. */
interface Grant {
  readonly key: string;
  readonly api: string;
  readonly audience: string;
}

/** What is known of one identity: what its tenant may do, and what it was granted by what it asked for. */
export class Memo<G extends Grant> {
  /** To be awaited; once they are read, what was read. */
  grants: Promise<TenantGrants | undefined> | TenantGrants | undefined;
  /** Known once the grants are read. */
  allowances: readonly Allowance[] | undefined;
  /** Most ask for one thing only, and a map for each of 100,000 tenants takes 20 MB. */
  #asked: string | undefined;
  #granted: G | undefined;
  #more: Map<string, G> | undefined;

  constructor(grants: Promise<TenantGrants | undefined>) {
    this.grants = grants;
    const read = (document: TenantGrants | undefined): void => {
      this.grants = document;
    };
    // Of one that failed somebody else hears.
    grants.then(read, () => {});
  }

  granted(asked: string): G | undefined {
    return this.#asked === asked ? this.#granted : this.#more?.get(asked);
  }

  /** @returns the grant that was made before, where it is the same: whichever way it is asked for, it is one, kept as long as its token */
  keep(asked: string, made: G): G {
    const same = ({ key, api }: G): boolean => key === made.key && api === made.api;
    const grant = this.#granted !== undefined && same(this.#granted) ? this.#granted : (this.#more?.values().find(same) ?? made);
    if (asked.length > MEMO_TEXT) return grant;
    if (this.#asked === undefined) {
      // The catalogue's own text where that is all: it is one for all tenants.
      this.#asked = asked === grant.audience ? grant.audience : lasting(asked);
      this.#granted = grant;
    } else {
      this.#more ??= new Map();
      if (this.#more.size >= MEMO_MAX) this.#more.clear();
      this.#more.set(lasting(asked), grant);
    }
    return grant;
  }
}

/** A copy: as parsed, a request's text may be a view of its whole body, which would stay in memory with it, secret and all. */
function lasting(text: string): string {
  return JSON.parse(JSON.stringify(text)) as string;
}
