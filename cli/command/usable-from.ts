/**
 * Where a credential may be used from: its own blocks lie within its tenant's, which count for one that names none.
 * @param own of the credential
 * @param bound of its tenant; undefined where they could not be read
 */
export function usableFrom(own: readonly string[], bound: readonly string[] | undefined, separator = ', '): string {
  if (own.length > 0) return own.join(separator);
  if (bound === undefined) return "where its tenant's cidrs allow";
  return bound.join(separator) || 'anywhere';
}
