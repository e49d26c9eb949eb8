/** What zod's errors have in common, so that nothing here depends on zod. */
interface Refusal {
  readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[];
}

/**
 * The first faults of a document or form that a schema refused, in one line: `grants.0.api: must be …; lifetime: …`. It names
 * places and rules, never values.
 * @param most how many are told
 */
export function documentFault({ issues }: Refusal, most = 3): string {
  return issues
    .slice(0, most)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`))
    .join('; ');
}
