import { z } from 'zod';

/*
 * `vault kv put` and `vault kv patch` write every value as text. Where a text can mean one thing only it is read as that; all else is a
 * fault of the document, which the broker answers with 503 and `postern doctor` names.
 */

const reading = <Schema extends z.ZodType>(read: (text: string) => unknown, schema: Schema) =>
  z.preprocess((value) => (typeof value === 'string' ? read(value.trim()) : value), schema);

/** `3600` */
export const wholeNumber = <Schema extends z.ZodType>(schema: Schema) =>
  reading((text) => (/^(0|[1-9]\d{0,9})$/.test(text) ? Number(text) : text), schema);

/** `true` or `false` */
export const flag = <Schema extends z.ZodType>(schema: Schema) =>
  reading((text) => (text === 'true' || text === 'false' ? text === 'true' : text), schema);

/** `["a","b"]`, or words with spaces between as in a scope parameter. A comma can be a part of a scope, so it separates nothing. */
export const words = <Schema extends z.ZodType>(schema: Schema) =>
  reading((text) => {
    if (text.startsWith('[')) return fromJson(text);
    return text.includes(',') ? text : text.split(/\s+/).filter((word) => word !== '');
  }, schema);

/** The same where no word has a comma: `a,b`. */
export const names = <Schema extends z.ZodType>(schema: Schema) =>
  reading((text) => (text.startsWith('[') ? fromJson(text) : text.split(/[\s,]+/).filter((name) => name !== '')), schema);

/** A list or an object written as JSON. */
export const structure = <Schema extends z.ZodType>(schema: Schema) => reading(fromJson, schema);

/** Nothing, where the text is empty. */
export const orNothing = <Schema extends z.ZodType>(schema: Schema) => reading((text) => (text === '' ? null : text), schema);

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
