import { z } from 'zod';
import { apiDocument } from '#broker/authorization/documents.ts';
import type { Api, ApiCatalog } from '#broker/authorization/documents.ts';
import { isManagementAudience } from '#broker/authorization/management-audience.ts';
import { NAME } from '#broker/credential/identity.ts';
import type { Records } from './records.ts';

const PREFIX = 'apis/';

/** One with a Management API's audience may have been stored by a version that took it. It is left out, and the others stay. */
const storedApi = apiDocument.extend({ audience: z.string().min(1) });

interface Catalog {
  readonly byName: ReadonlyMap<string, Api>;
  readonly byAudience: ReadonlyMap<string, Api>;
}

/** `apis/*`, all of them in memory: they are few. */
export class Apis implements ApiCatalog {
  readonly #records: Records;
  readonly #onChange: () => void;
  #catalog: Catalog | undefined;
  #reading: Promise<Catalog> | undefined;

  constructor(records: Records, onChange: () => void) {
    this.#records = records;
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

  /** One after the other, whichever API: no two may have one audience. */
  alone<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#records.alone(PREFIX, work);
  }

  async names(): Promise<readonly string[]> {
    return (await this.#records.list(PREFIX)).filter((name) => NAME.test(name));
  }

  async write({ name, ...document }: Api): Promise<void> {
    try {
      await this.#records.write(PREFIX + name, document);
    } finally {
      this.forget();
    }
  }

  async delete(name: string): Promise<void> {
    try {
      await this.#records.delete(PREFIX + name);
    } finally {
      this.forget();
    }
  }

  /** Grants are made from APIs, so those go too. */
  forget(): void {
    this.#catalog = undefined;
    this.#reading = undefined;
    this.#onChange();
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
    const found = await Promise.all(names.map(async (name) => ({ name, document: await this.#records.read(PREFIX + name, storedApi) })));
    const apis = found.flatMap(({ name, document }) =>
      document === undefined || isManagementAudience(document.audience) ? [] : [{ ...document, name }],
    );
    return { byName: new Map(apis.map((api) => [api.name, api])), byAudience: new Map(apis.map((api) => [api.audience, api])) };
  }
}
