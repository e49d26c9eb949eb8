import { z } from 'zod';

/**
 * The parameters of the engine's paths, as zod schemas: what Vault's CLI and API send (text, or JSON) becomes a typed value, as Vault's
 * own `framework.FieldSchema` would make it. Messages end a sentence that begins with the field's name, and never hold the value,
 * which may be a secret. A field that isn't `.optional()` is required when an entry is created.
 */
export type Fields = Readonly<Record<string, z.ZodType>>;

/** What a request gave: undefined where a field was left out, null where it is to go back to its default. */
export type Values<F extends Fields> = { readonly [Name in keyof F]: z.output<F[Name]> | null | undefined };

interface TextOptions {
  /** Least and most characters. Default 1 and 1024. */
  readonly min?: 0 | 1;
  readonly max?: number;
  /** With what it asks for, in words. */
  readonly pattern?: readonly [RegExp, string];
}

export function text(description: string, { min = 1, max = 1024, pattern }: TextOptions = {}): z.ZodString {
  const schema = z
    .string({ error: ({ input }) => (Array.isArray(input) ? 'must be given once' : 'must be text') })
    .min(min, 'must not be empty')
    .max(max, `must have at most ${max} characters`)
    // eslint-disable-next-line no-control-regex
    .refine((value) => !/[\u0000-\u001f\u007f]/.test(value), 'must have no control characters');
  return (pattern === undefined ? schema : schema.regex(...pattern)).describe(description);
}

export function choice<const Choice extends string>(description: string, among: readonly [Choice, ...Choice[]]): z.ZodType<Choice> {
  return z.enum(among, { error: `must be one of ${among.join(', ')}` }).describe(`${description} One of ${among.join(', ')}.`);
}

/** What Go's strconv.ParseBool takes: the CLI sends every value as text. */
const BOOLEANS: Readonly<Record<string, boolean>> = { true: true, t: true, '1': true, false: false, f: false, '0': false };

export function flag(description: string): z.ZodType<boolean> {
  const given = (value: unknown): unknown =>
    typeof value === 'string' || typeof value === 'number' ? (BOOLEANS[String(value).toLowerCase()] ?? value) : value;
  return z.preprocess(given, z.boolean({ error: 'must be true or false' })).describe(description);
}

interface Range {
  readonly min?: number;
  readonly max?: number;
}

export function integer(description: string, range: Range = {}): z.ZodType<number> {
  const given = (value: unknown): unknown => (typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : value);
  return z.preprocess(given, whole('must be a whole number', range)).describe(description);
}

const UNITS: Readonly<Record<string, number>> = { d: 86_400, h: 3600, m: 60, s: 1 };

/** Seconds, as a number or as `90`, `15m`, `1h30m`. */
export function duration(description: string, range: Range = {}): z.ZodType<number> {
  return z
    .preprocess(secondsOf, whole('must be a duration: seconds, or for example 15m or 1h30m', range).meta({ format: 'seconds' }))
    .describe(description);
}

function secondsOf(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  if (/^\d{1,10}$/.test(value)) return Number(value);
  if (!/^(\d{1,10}[dhms]){1,4}$/.test(value)) return value;
  return value.matchAll(/(\d+)([dhms])/g).reduce((seconds, [, count, unit]) => seconds + Number(count) * (UNITS[unit ?? ''] ?? 0), 0);
}

function whole(otherwise: string, { min = 0, max = Number.MAX_SAFE_INTEGER }: Range): z.ZodNumber {
  const outside = `must be from ${min} to ${max}`;
  return z.int({ error: otherwise }).min(min, outside).max(max, outside);
}

/** A JSON list, or text: comma-separated, or JSON again as the CLI sends it. Each item once. */
export function list(description: string, { item }: { readonly item: readonly [RegExp, string] }): z.ZodType<string[]> {
  const [pattern, rule] = item;
  return z
    .preprocess(
      itemsOf,
      z
        .array(z.string().regex(pattern, rule), {
          error: 'must be a list, or text separated by commas',
        })
        .max(500, 'must have at most 500 items'),
    )
    .describe(description);
}

function itemsOf(value: unknown): unknown {
  if (typeof value !== 'string') return Array.isArray(value) ? [...new Set<unknown>(value)] : value;
  if (value.trimStart().startsWith('[')) return itemsOf(parsed(value) ?? null);
  const items = value.split(',').map((one) => one.trim());
  return [...new Set(items.filter((one) => one !== ''))];
}

/** A JSON object, the same as text, or `key=value` once or several times, as the CLI sends it; for a schema of an object. */
export function map<Schema extends z.ZodType>(description: string, schema: Schema): z.ZodPreprocess<Schema> {
  return z
    .preprocess((value, context) => {
      const object = objectOf(value);
      if (object === undefined) context.addIssue('must be an object, or key=value');
      return object;
    }, schema)
    .describe(description);
}

/** JSON, also as text; for a schema of an object or a list. */
export function json<Schema extends z.ZodType>(description: string, schema: Schema): z.ZodPreprocess<Schema> {
  return z.preprocess((value, context) => jsonOf(value, context), schema).describe(description);
}

/** A JSON object or list where text holds one, else what was given. */
export function jsonOf(value: unknown, context: z.RefinementCtx): unknown {
  if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) return value;
  const json = parsed(value);
  if (json === undefined) context.addIssue('is not JSON');
  return json;
}

/** @returns undefined for anything but an object, its JSON, or `key=value` once or several times */
export function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const given = typeof value === 'string' && value.trimStart().startsWith('{') ? parsed(value) : value;
  const pairs: unknown = typeof given === 'string' ? [given] : given;
  if (!Array.isArray(pairs)) return typeof pairs === 'object' && pairs !== null ? (pairs as Record<string, unknown>) : undefined;
  const entries = pairs.map((pair: unknown) => {
    const at = typeof pair === 'string' ? pair.indexOf('=') : -1;
    return at < 1 ? undefined : ([(pair as string).slice(0, at), (pair as string).slice(at + 1)] as const);
  });
  return entries.every((entry) => entry !== undefined) ? Object.fromEntries(entries) : undefined;
}

function parsed(value: string): unknown {
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return undefined;
  }
}
