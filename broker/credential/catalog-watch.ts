import type { Watched } from './announcements.ts';
import type { Generations } from './generations.ts';

/** What Terraform announces: a digest over all that it wrote of APIs, tenants and registered keys, and who is disabled by it. */
export interface Catalog {
  readonly digest: string;
  readonly disabled: readonly string[];
}

/** The port to where it lies; undefined where Terraform wrote none. */
export interface CatalogReader {
  readCatalog(): Promise<Catalog | undefined>;
}

export interface CatalogWatchOptions {
  reader: CatalogReader;
  generations: Generations;
  /** Reads anew what all share: the APIs. Before anybody is told to decide again. */
  reload: () => Promise<void>;
  /** Forgets verifications and registered keys. */
  forget: () => void;
}

/** Looks whether Terraform changed something; if so, everybody is looked up anew. */
export class CatalogWatch implements Watched {
  readonly #options: CatalogWatchOptions;
  /** Undefined: never looked. */
  #digest: string | undefined;
  #disabled: ReadonlySet<string> = new Set();

  constructor(options: CatalogWatchOptions) {
    this.#options = options;
  }

  isDisabled(tenant: string): boolean {
    return this.#disabled.has(tenant);
  }

  /** @throws {PosternError} temporarily_unavailable */
  async look(): Promise<void> {
    const { reader, generations, reload, forget } = this.#options;
    const { digest, disabled } = (await reader.readCatalog()) ?? { digest: '', disabled: [] };
    const before = this.#disabled;
    this.#disabled = new Set(disabled);
    for (const tenant of this.#disabled.symmetricDifference(before)) generations.changed(tenant);
    if (digest === this.#digest) return;
    // At the first look all is read anyway. What fails here is tried again at the next look.
    if (this.#digest !== undefined) await reload();
    this.#digest = digest;
    forget();
    generations.allChanged();
  }
}
