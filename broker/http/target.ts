/** Scheme and authority of an absolute request target, which a server must take too (RFC 9112 §3.2.2). */
const ABSOLUTE = /^https?:\/\/[^/?#]+(?=\/)/i;

/** A request target without scheme and authority, otherwise untouched: nothing is decoded, and no `..` or `//` is resolved. */
export function originForm(target: string): string {
  return target.startsWith('/') ? target : target.replace(ABSOLUTE, '');
}

/** The path of a request target, without its query. */
export function pathOf(target: string): string {
  const path = originForm(target);
  const query = path.indexOf('?');
  return query === -1 ? path : path.slice(0, query);
}
