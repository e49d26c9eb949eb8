import { z } from 'zod';

const MAX_LIMIT = 100;

/** Query parameters of every list. */
export const pageQuery = z.strictObject({
  limit: z
    .string()
    .regex(/^([1-9]|[1-9][0-9]|100)$/, 'must be a whole number from 1 to 100')
    .default('50')
    .meta({ description: 'Most items in the answer.', wire: { type: 'integer', minimum: 1, maximum: MAX_LIMIT, default: 50 } }),
  cursor: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,256}$/, 'is not one of our cursors')
    .optional()
    .meta({ description: 'From `next_cursor` of the page before; without it the first page. It has no meaning of its own.' }),
});

export interface Page {
  readonly limit: number;
  /** The last item of the page before; undefined at the beginning. */
  readonly after: string | undefined;
}

/** A cursor is a position: whatever it holds is compared with the items' names, and never becomes a part of a path. */
export function pageOf(query: z.output<typeof pageQuery>): Page {
  return {
    limit: Number(query.limit),
    after: query.cursor === undefined ? undefined : Buffer.from(query.cursor, 'base64url').toString('utf8'),
  };
}

export function cursorOf(last: string): string {
  return Buffer.from(last, 'utf8').toString('base64url');
}

/** The next page's address (RFC 8288), relative to the list's own. */
export function nextLink(path: string, limit: number, cursor: string, more: Readonly<Record<string, string>> = {}): string {
  return `<${path}?${new URLSearchParams({ ...more, limit: String(limit), cursor }).toString()}>; rel="next"`;
}
