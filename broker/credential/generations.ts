import { PosternError } from '#broker/error.ts';

/** Most tenants whose latest change is remembered; beyond it all are taken for changed once, which costs a look-up each. */
const MAX = 10_000;

/**
 * Counts what changed, by tenant, so that whoever waited can tell whether to decide again. It only grows: a number read before a wait is
 * compared
 * after it.
 */
export class Generations {
  #count = 0;
  /** The latest change of everybody. */
  #all = 0;
  readonly #tenants = new Map<string, number>();

  /** To be remembered before a decision begins. */
  get now(): number {
    return this.#count;
  }

  changed(tenant: string): void {
    if (this.#tenants.size >= MAX && !this.#tenants.has(tenant)) return this.allChanged();
    this.#tenants.set(tenant, ++this.#count);
  }

  allChanged(): void {
    this.#all = ++this.#count;
    this.#tenants.clear();
  }

  /** Whether anything about this tenant changed after `begun`, which was {@link now} then. */
  since(tenant: string, begun: number): boolean {
    return this.#count > begun && Math.max(this.#all, this.#tenants.get(tenant) ?? 0) > begun;
  }
}

/** Something changed while a decision waited: it is made again from the start. Never leaves the broker. */
export class Changed extends Error {
  override readonly name = 'Changed';
}

/** Most decisions of one request. More changes than that, each while it waits, are not a normal day for any tenant. */
const ATTEMPTS = 4;

/**
 * Decides, and again where something changed about the tenant while it waited: what was announced before the answer counts in the answer.
 * @param attempt `again`: the credential was verified before for this very request; it throws {@link Changed} where it noticed itself
 * @param tenantOf whose the decision is
 * @throws {PosternError} temporarily_unavailable after four attempts
 */
export async function decide<T>(
  generations: Pick<Generations, 'now' | 'since'>,
  attempt: (again: boolean) => T | Promise<T>,
  tenantOf: (decided: T) => string,
  first?: { readonly begun: number; readonly running: Promise<T> },
): Promise<T> {
  for (let count = 1; count <= ATTEMPTS; count++) {
    const { begun, running } = count === 1 && first !== undefined ? first : { begun: generations.now, running: attempt(count > 1) };
    try {
      const decided = await running;
      if (!generations.since(tenantOf(decided), begun)) return decided;
    } catch (error) {
      if (!(error instanceof Changed)) throw error;
    }
  }
  throw new PosternError('temporarily_unavailable', 'Service temporarily unavailable', {
    detail: 'something was announced about this tenant each time while this was decided',
    retryAfter: 1,
  });
}
