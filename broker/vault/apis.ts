import { documentFault } from '#broker/document-fault.ts';
import { apiDocument } from '#broker/authorization/documents.ts';
import type { Api, ApiCatalog } from '#broker/authorization/documents.ts';
import { monotonicOf } from '#broker/clock.ts';
import type { Clocks } from '#broker/clock.ts';
import { NAME } from '#broker/credential/identity.ts';
import type { Kv } from './kv.ts';
import type { VaultSession } from './session.ts';
import { asUnavailable } from './unavailable.ts';

export interface ApisOptions extends Clocks {
  kv: Kv;
  session: VaultSession;
  /** Names of the token sources that this version has. */
  sources: readonly string[];
  /** How old the catalogue may get before it is read again in the background, ms. Default 30,000. */
  maxAgeMs?: number;
  /** An unknown audience makes the catalogue be read again, but no more often than this, ms. Default 5000. */
  cooldownMs?: number;
  onError?: (error: unknown) => void;
  /** A document that is not valid is left out, and told here. */
  onInvalid?: (api: string, problem: string) => void;
}

interface Catalog {
  readonly byName: ReadonlyMap<string, Api>;
  readonly byAudience: ReadonlyMap<string, Api>;
  /** Of documents that are left out, what is wrong with them: by name, and by audience where one can be read. */
  readonly faults: { readonly byName: ReadonlyMap<string, string>; readonly byAudience: ReadonlyMap<string, string> };
  readonly readAt: number;
}

/** Default, ms. */
export const CATALOGUE_AGE = 30_000;

/** The catalogue of APIs, read with the broker's own token and kept in memory: it is small, and the same for all tenants. */
export class VaultApis implements ApiCatalog {
  readonly #options: ApisOptions;
  readonly #monotonic: () => number;
  #catalog: Catalog | undefined;
  #reading: Promise<Catalog> | undefined;

  constructor(options: ApisOptions) {
    this.#options = options;
    this.#monotonic = monotonicOf(options);
  }

  get known(): boolean {
    return this.#catalog !== undefined;
  }

  byAudience(audience: string): Api | undefined | Promise<Api | undefined> {
    return this.#find((catalog) => catalog.byAudience.get(audience));
  }

  byName(name: string): Api | undefined | Promise<Api | undefined> {
    return this.#find((catalog) => catalog.byName.get(name));
  }

  faultOf(api: { readonly name: string } | { readonly audience: string }): string | undefined {
    const faults = this.#catalog?.faults;
    return 'name' in api ? faults?.byName.get(api.name) : faults?.byAudience.get(api.audience);
  }

  /** @throws {PosternError} temporarily_unavailable */
  async load(): Promise<void> {
    await this.#read();
  }

  /** Reads it anew, and not what somebody began to read before. @throws {PosternError} temporarily_unavailable */
  async reload(): Promise<void> {
    await this.#reading?.catch(() => {});
    await this.#read();
  }

  #find(pick: (catalog: Catalog) => Api | undefined): Api | undefined | Promise<Api | undefined> {
    const catalog = this.#catalog;
    if (catalog === undefined) return this.#read().then(pick);
    const age = this.#monotonic() - catalog.readAt;
    const found = pick(catalog);
    if (found === undefined && age > (this.#options.cooldownMs ?? 5000)) return this.#read().then(pick);
    if (age > (this.#options.maxAgeMs ?? CATALOGUE_AGE)) this.#read().catch((error: unknown) => this.#options.onError?.(error));
    return found;
  }

  #read(): Promise<Catalog> {
    this.#reading ??= this.#readNow().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #readNow(): Promise<Catalog> {
    const { kv, session, sources } = this.#options;
    try {
      const apis = await session.use(async (token) => {
        const names = (await kv.list('apis', { token, quick: true })).filter((name) => NAME.test(name));
        return Promise.all(names.map(async (name) => ({ name, data: (await kv.read(`apis/${name}`, { token })).data })));
      });
      const byName = new Map<string, Api>();
      const byAudience = new Map<string, Api>();
      const faults = { byName: new Map<string, string>(), byAudience: new Map<string, string>() };
      const leaveOut = (name: string, audience: unknown, problem: string): void => {
        this.#options.onInvalid?.(name, problem);
        faults.byName.set(name, problem);
        if (typeof audience === 'string') faults.byAudience.set(audience, `${name}: ${problem}`);
      };
      for (const { name, data } of apis) {
        if (data === undefined) continue;
        const parsed = apiDocument.safeParse(data);
        if (!parsed.success) {
          leaveOut(name, data['audience'], documentFault(parsed.error));
          continue;
        }
        const api = { ...parsed.data, name };
        if (!sources.includes(api.source)) {
          leaveOut(name, api.audience, `has the source ${api.source}, which this version does not have: it has ${sources.join(', ')}`);
          continue;
        }
        if (byAudience.has(api.audience)) {
          leaveOut(name, undefined, `has the same audience as ${byAudience.get(api.audience)?.name}`);
          continue;
        }
        byName.set(name, api);
        byAudience.set(api.audience, api);
      }
      this.#catalog = { byName, byAudience, faults, readAt: this.#monotonic() };
      return this.#catalog;
    } catch (error) {
      // An old catalogue serves on through an outage; its age is what it is.
      if (this.#catalog !== undefined) this.#catalog = { ...this.#catalog, readAt: this.#monotonic() };
      throw asUnavailable(error);
    }
  }
}
