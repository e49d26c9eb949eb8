import { z } from 'zod';
import type { Fields, Values } from './field.ts';

/** Most faults that are told at once. */
const MOST = 10;

/** What is wrong with a request's parameters, all of it in one sentence; never a value, which may be a secret. */
export class InputFault extends Error {
  override readonly name = 'InputFault';
}

/** A path operation's parameters: checks a request's data against its fields. */
export class Input<F extends Fields> {
  readonly #fields: F;
  readonly #create: z.ZodType;
  readonly #update: z.ZodType;

  constructor(fields: F) {
    this.#fields = fields;
    const schema = z.strictObject(fields);
    this.#create = schema;
    this.#update = schema.partial();
  }

  /**
   * @param creating whether required fields must be there
   * @throws {InputFault} unknown, wrong or missing fields
   */
  parse(data: Readonly<Record<string, unknown>>, creating: boolean): Values<F> {
    const names = Object.keys(data);
    if (names.length === 0 && !creating) return {} as Values<F>;
    const isNull = (name: string): boolean => data[name] === null && Object.hasOwn(this.#fields, name);
    const given = Object.fromEntries(names.filter((name) => !isNull(name)).map((name) => [name, data[name]]));
    const parsed = (creating ? this.#create : this.#update).safeParse(given, { error: wordingOf });
    if (!parsed.success) throw new InputFault(this.#sentence(parsed.error.issues, given));
    const nulls = Object.fromEntries(names.filter(isNull).map((name) => [name, null]));
    return { ...(parsed.data as object), ...nulls } as Values<F>;
  }

  /** One fault a field: those that were given in their order, then those that are missing. */
  #sentence(issues: readonly z.core.$ZodIssue[], given: Readonly<Record<string, unknown>>): string {
    const faults = new Map<string, string>();
    for (const issue of issues) {
      const [name, ...below] = issue.path.map(String);
      if (issue.code === 'unrecognized_keys' && name === undefined) {
        const known = Object.keys(this.#fields).join(', ') || 'there is none';
        for (const key of issue.keys) faults.set(key, `${JSON.stringify(key.slice(0, 64))} is not a field here (${known})`);
      } else if (name !== undefined && !faults.has(name)) {
        const missing = below.length === 0 && !Object.hasOwn(given, name);
        faults.set(name, missing ? `${name} is required` : `${[name, ...below].join('.').slice(0, 256)} ${issue.message}`);
      }
    }
    const order = [...new Set([...Object.keys(given), ...faults.keys()])];
    return order
      .flatMap((name) => faults.get(name) ?? [])
      .slice(0, MOST)
      .join('; ');
  }
}

/** For what a schema has no words of its own for. */
function wordingOf(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${KINDS[issue.expected] ?? issue.expected}`;
    case 'too_big':
      return `must have at most ${issue.maximum} ${issue.origin === 'string' ? 'characters' : 'items'}`;
    case 'too_small':
      return `must have at least ${issue.minimum} ${issue.origin === 'string' ? 'characters' : 'items'}`;
    case 'unrecognized_keys':
      return `must not have ${issue.keys.map((key) => JSON.stringify(key.slice(0, 64))).join(', ')}`;
    default:
      return 'is not valid';
  }
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};
