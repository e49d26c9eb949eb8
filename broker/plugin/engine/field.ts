/** One parameter of a path: what it is called in help and OpenAPI, and how a request's value becomes a typed one. */
export interface Field<Value> {
  readonly type: 'string' | 'boolean' | 'integer' | 'duration' | 'list' | 'object';
  readonly description: string;
  readonly required: boolean;
  /** @throws {FieldFault} */
  parse(value: unknown): Value;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;

/** What a request gave: undefined where a field was left out, null where it is to go back to its default. */
export type Values<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer Value> ? Value | null | undefined : never };

/** Ends a sentence that begins with the field's name; never holds the value, which may be a secret. */
export class FieldFault extends Error {
  override readonly name = 'FieldFault';
}

interface Options {
  readonly required?: boolean;
}

/** @param pattern with what it asks for, in words */
export function text(
  description: string,
  options: Options & { readonly max?: number; readonly pattern?: readonly [RegExp, string]; readonly among?: readonly string[] } = {},
): Field<string> {
  const { max = 1024, pattern, among } = options;
  return field('string', description, options, (value) => {
    if (Array.isArray(value)) throw new FieldFault('must be given once');
    if (typeof value !== 'string') throw new FieldFault('must be text');
    if (value === '') throw new FieldFault('must not be empty');
    if (value.length > max) throw new FieldFault(`must have at most ${max} characters`);
    // eslint-disable-next-line no-control-regex
    if (/[\u0000-\u001f\u007f]/.test(value)) throw new FieldFault('must have no control characters');
    if (among !== undefined && !among.includes(value)) throw new FieldFault(`must be one of ${among.join(', ')}`);
    if (pattern !== undefined && !pattern[0].test(value)) throw new FieldFault(pattern[1]);
    return value;
  });
}

export function choice<Choice extends string>(description: string, among: readonly Choice[], options: Options = {}): Field<Choice> {
  return text(`${description} One of ${among.join(', ')}.`, { ...options, among }) as Field<Choice>;
}

/** The CLI sends every value as text. */
export function flag(description: string, options: Options = {}): Field<boolean> {
  return field('boolean', description, options, (value) => {
    if (value === true || value === 'true' || value === '1') return true;
    if (value === false || value === 'false' || value === '0') return false;
    throw new FieldFault('must be true or false');
  });
}

export function integer(description: string, options: Options & { readonly min?: number; readonly max?: number } = {}): Field<number> {
  return field('integer', description, options, (value) =>
    within(typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : value, options, 'must be a whole number'),
  );
}

const UNITS: Readonly<Record<string, number>> = { d: 86_400, h: 3600, m: 60, s: 1 };

/** Seconds, as a number or as `90`, `15m`, `1h30m`. */
export function duration(description: string, options: Options & { readonly min?: number; readonly max?: number } = {}): Field<number> {
  return field('duration', description, options, (value) => {
    const wrong = 'must be a duration: seconds, or for example 15m or 1h30m';
    if (typeof value !== 'string') return within(value, options, wrong);
    if (/^\d{1,10}$/.test(value)) return within(Number(value), options, wrong);
    if (!/^(\d{1,10}[dhms]){1,4}$/.test(value)) throw new FieldFault(wrong);
    let seconds = 0;
    for (const [, count, unit] of value.matchAll(/(\d+)([dhms])/g)) seconds += Number(count) * (UNITS[unit ?? ''] ?? 0);
    return within(seconds, options, wrong);
  });
}

function within(
  value: unknown,
  { min = 0, max = Number.MAX_SAFE_INTEGER }: { readonly min?: number; readonly max?: number },
  otherwise: string,
): number {
  if (typeof value !== 'number' || !Number.isInteger(value)) throw new FieldFault(otherwise);
  if (value < min || value > max) throw new FieldFault(`must be from ${min} to ${max}`);
  return value;
}

/** A JSON list, or text: comma-separated, or JSON again as the CLI sends it. */
export function list(
  description: string,
  options: Options & { readonly max?: number; readonly item?: readonly [RegExp, string] } = {},
): Field<readonly string[]> {
  const { max = 500, item } = options;
  return field('list', description, options, (value) => {
    const items = Array.isArray(value) ? (value as unknown[]) : typeof value === 'string' ? splitList(value) : undefined;
    if (items === undefined || items.some((one) => typeof one !== 'string'))
      throw new FieldFault('must be a list, or text separated by commas');
    if (items.length > max) throw new FieldFault(`must have at most ${max} items`);
    if (item !== undefined && items.some((one) => !item[0].test(one as string))) throw new FieldFault(item[1]);
    return [...new Set(items as string[])];
  });
}

function splitList(value: string): unknown[] | undefined {
  if (value.trimStart().startsWith('[')) {
    const parsed = parseJson(value);
    return Array.isArray(parsed) ? (parsed as unknown[]) : undefined;
  }
  return value
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
}

/** A JSON object, the same as text, or `key=value` once or several times, as the CLI sends it. */
export function map(description: string, options: Options = {}): Field<Readonly<Record<string, unknown>>> {
  return field('object', description, options, (value) => {
    const parsed = typeof value === 'string' && value.trimStart().startsWith('{') ? parseJson(value) : value;
    const pairs = typeof parsed === 'string' ? [parsed] : parsed;
    if (Array.isArray(pairs)) return fromPairs(pairs);
    if (typeof pairs !== 'object' || pairs === null) throw new FieldFault('must be an object, or key=value');
    return pairs as Readonly<Record<string, unknown>>;
  });
}

/** A JSON object or list, also as text. What it must hold is the path's to say. */
export function json(description: string, options: Options = {}): Field<unknown> {
  return field('object', description, options, (value) => {
    if (typeof value !== 'string') return value;
    if (!/^\s*[[{]/.test(value)) return value;
    const parsed = parseJson(value);
    if (parsed === undefined) throw new FieldFault('is no JSON');
    return parsed;
  });
}

export function fromPairs(pairs: readonly unknown[]): Readonly<Record<string, string>> {
  const entries = pairs.map((pair) => {
    const at = typeof pair === 'string' ? pair.indexOf('=') : -1;
    if (at < 1) throw new FieldFault('must be an object, or key=value');
    return [(pair as string).slice(0, at), (pair as string).slice(at + 1)] as const;
  });
  return Object.fromEntries(entries);
}

function parseJson(value: string): unknown {
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return undefined;
  }
}

function field<Value>(
  type: Field<Value>['type'],
  description: string,
  { required = false }: Options,
  parse: (value: unknown) => Value,
): Field<Value> {
  return { type, description, required, parse };
}

/**
 * A request's parameters as the path's fields say; all faults at once.
 * @throws {FieldFault} with a whole sentence: unknown, wrong or missing fields
 */
export function parseFields<F extends Fields>(fields: F, data: Readonly<Record<string, unknown>>, creating: boolean): Values<F> {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(data)) {
    const known = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (known === undefined)
      faults.push(`${JSON.stringify(name.slice(0, 64))} is no field here (${Object.keys(fields).join(', ') || 'there is none'})`);
    else if (value === null) values[name] = null;
    else {
      try {
        values[name] = known.parse(value);
      } catch (error) {
        if (!(error instanceof FieldFault)) throw error;
        faults.push(`${name} ${error.message}`);
      }
    }
    if (faults.length >= 10) break;
  }
  if (creating && faults.length === 0) {
    for (const [name, { required }] of Object.entries(fields)) {
      if (required && (values[name] === undefined || values[name] === null)) faults.push(`${name} is required`);
    }
  }
  if (faults.length > 0) throw new FieldFault(faults.join('; '));
  return values as Values<F>;
}
