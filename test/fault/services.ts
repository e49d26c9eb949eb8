import { createRemoteJWKSet, errors, jwtVerify } from 'jose';

const TENANT_CLAIM = 'https://postern.dev/tenant';

/** What services do with each token that clients are given: their issuer's keys, audience, end; and whose it is. */
export class Services {
  readonly #issuers: Readonly<Record<string, string>>;
  #keys: ReadonlyMap<string, ReturnType<typeof createRemoteJWKSet>>;
  /** Verified before: only the end is looked at again. */
  readonly #known = new Map<string, { tenant: unknown; audience: unknown; exp: number }>();

  /** @param issuers whose tokens they take, by audience */
  constructor(issuers: Readonly<Record<string, string>>) {
    this.#issuers = issuers;
    this.#keys = keysOf(issuers);
  }

  /** As if all had started anew: keys are fetched again. */
  forget(): void {
    this.#keys = keysOf(this.#issuers);
    this.#known.clear();
  }

  /** @returns what is wrong with it; undefined: nothing */
  async fault(token: string, tenant: string, audience: string): Promise<string | undefined> {
    let known = this.#known.get(token);
    if (known === undefined) {
      try {
        const { payload } = await jwtVerify(token, this.#keys.get(audience)!, { audience });
        known = { tenant: payload[TENANT_CLAIM], audience, exp: payload.exp ?? 0 };
      } catch (error) {
        return `a service refuses it: ${error instanceof errors.JOSEError ? error.code : (error as Error).message}`;
      }
      if (this.#known.size > 10_000) this.#known.clear();
      this.#known.set(token, known);
    }
    if (known.tenant !== tenant) return `it is ${String(known.tenant)}'s, and ${tenant} has it`;
    if (known.audience !== audience) return `it is for ${String(known.audience)}, not ${audience}`;
    return known.exp * 1000 > Date.now() ? undefined : 'it has ended';
  }
}

function keysOf(issuers: Readonly<Record<string, string>>): ReadonlyMap<string, ReturnType<typeof createRemoteJWKSet>> {
  // Fetched again for an unknown key only, which is looked for at once.
  const options = { cacheMaxAge: Number.POSITIVE_INFINITY, cooldownDuration: 200, timeoutDuration: 20_000 };
  const entries = Object.entries(issuers);
  return new Map(entries.map(([audience, issuer]) => [audience, createRemoteJWKSet(new URL('.well-known/jwks.json', issuer), options)]));
}
