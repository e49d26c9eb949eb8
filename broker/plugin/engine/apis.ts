import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { apiDocument } from '#broker/authorization/documents.ts';
import type { Api, ApiCatalog } from '#broker/authorization/documents.ts';
import { isManagementAudience } from '#broker/authorization/management-audience.ts';
import { NAME } from '#broker/credential/identity.ts';
import type { PluginLog } from '#broker/plugin/backend.ts';
import { Invalid } from './records.ts';
import type { Records } from './records.ts';

const PREFIX = 'apis/';

/** One with a Management API's audience may have been stored by a version that took it. It is left out, and the others stay. */
const storedApi = apiDocument.extend({ audience: z.string().min(1) });

/** All that can be read of one that isn't valid: whoever asks for this audience is told so. */
const audienceOf = z.looseObject({ audience: z.string() });

/** One that isn't valid is left out: whoever needs it is told, and nobody else. */
interface LeftOut {
  readonly fault: Invalid;
  readonly audience: string | undefined;
}

class Catalog {
  readonly byName: ReadonlyMap<string, Api>;
  readonly byAudience: ReadonlyMap<string, Api>;
  readonly leftOut: ReadonlyMap<string, LeftOut>;

  constructor(apis: Iterable<Api>, leftOut: ReadonlyMap<string, LeftOut>) {
    this.byName = new Map([...apis].map((api) => [api.name, api]));
    this.byAudience = new Map(this.byName.values().map((api) => [api.audience, api]));
    this.leftOut = leftOut;
  }

  /** With this one in place of what has its name, or without it. */
  with(name: string, api: Api | undefined): Catalog {
    const others = this.byName.values().filter((one) => one.name !== name);
    const leftOut = new Map([...this.leftOut].filter(([one]) => one !== name));
    return new Catalog(api === undefined ? others : [...others, api], leftOut);
  }
}

/** `apis/*`, all of them in memory: they are few. */
export class Apis implements ApiCatalog {
  readonly #records: Records;
  readonly #log: PluginLog;
  readonly #onChange: (name: string) => void;
  #catalog: Catalog | undefined;
  #reading: Promise<Catalog> | undefined;

  /** @param onChange grants are made from APIs: what was made from this one is to be made anew */
  constructor(records: Records, log: PluginLog, onChange: (name: string) => void) {
    this.#records = records;
    this.#log = log;
    this.#onChange = onChange;
  }

  byAudience(audience: string): Api | undefined | Promise<Api | undefined> {
    return this.#catalog === undefined
      ? this.#read().then(({ byAudience }) => byAudience.get(audience))
      : this.#catalog.byAudience.get(audience);
  }

  byName(name: string): Api | undefined | Promise<Api | undefined> {
    return this.#catalog === undefined ? this.#read().then(({ byName }) => byName.get(name)) : this.#catalog.byName.get(name);
  }

  faultOf(api: { readonly name: string } | { readonly audience: string }): string | undefined {
    const leftOut = this.#catalog?.leftOut;
    const found = 'name' in api ? leftOut?.get(api.name) : leftOut?.values().find(({ audience }) => audience === api.audience);
    return found?.fault.detail;
  }

  /** The same as {@link byName}; what is there and isn't valid, too. @throws {BackendError} 503 */
  async look(name: string): Promise<Api | Invalid | undefined> {
    const { byName, leftOut } = this.#catalog ?? (await this.#read());
    return byName.get(name) ?? leftOut.get(name)?.fault;
  }

  /** Whose an audience is, also of an API that isn't valid. @throws {BackendError} 503 */
  async nameOf(audience: string): Promise<string | undefined> {
    const { byAudience, leftOut } = this.#catalog ?? (await this.#read());
    return byAudience.get(audience)?.name ?? [...leftOut].find(([, one]) => one.audience === audience)?.[0];
  }

  /** How many are left out; undefined while none were read. */
  get invalid(): number | undefined {
    return this.#catalog?.leftOut.size;
  }

  /** One after the other, whichever API: no two may have one audience. */
  alone<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#records.alone(PREFIX, work);
  }

  async names(): Promise<readonly string[]> {
    return (await this.#records.list(PREFIX)).filter((name) => NAME.test(name));
  }

  write(api: Api): Promise<void> {
    const { name, ...document } = api;
    return this.#change(name, api, () => this.#records.write(PREFIX + name, document));
  }

  delete(name: string): Promise<void> {
    return this.#change(name, undefined, () => this.#records.delete(PREFIX + name));
  }

  /** Another node changed it, or nobody knows whether it was changed. */
  forget(name: string): void {
    this.#catalog = undefined;
    this.#reading = undefined;
    this.#onChange(name);
  }

  /** The catalogue is kept: a whole estate's APIs, written one by one, would else be read again after each. */
  async #change(name: string, after: Api | undefined, store: () => Promise<void>): Promise<void> {
    try {
      await store();
    } catch (error) {
      this.forget(name);
      throw error;
    }
    const catalog = this.#catalog;
    if (catalog === undefined) return this.forget(name);
    // Nothing was decided by another one since the catalogue was read.
    if (isDeepStrictEqual(catalog.byName.get(name), after) && !catalog.leftOut.has(name)) return;
    this.#catalog = catalog.with(name, after);
    this.#onChange(name);
  }

  #read(): Promise<Catalog> {
    if (this.#reading !== undefined) return this.#reading;
    const reading = this.#readNow();
    this.#reading = reading;
    reading.then(
      (catalog) => {
        // What was read before a change is not kept.
        if (this.#reading === reading) this.#catalog = catalog;
      },
      () => {
        if (this.#reading === reading) this.#reading = undefined;
      },
    );
    return reading;
  }

  async #readNow(): Promise<Catalog> {
    const names = await this.names();
    const documents = await Promise.all(names.map((name) => this.#records.look(PREFIX + name, storedApi)));
    const apis: Api[] = [];
    const leftOut = new Map<string, LeftOut>();
    for (const [index, name] of names.entries()) {
      const found = documents[index];
      if (found instanceof Invalid) {
        const left = await this.#records.look(PREFIX + name, audienceOf);
        leftOut.set(name, { fault: found, audience: left instanceof Invalid ? undefined : left?.audience });
        this.#log.error('this API is left out', { api: name, reason: found.detail });
      } else if (found !== undefined && !isManagementAudience(found.audience)) apis.push({ ...found, name });
    }
    return new Catalog(apis, leftOut);
  }
}
