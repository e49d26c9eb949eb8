import { PosternError } from '#broker/error.ts';

/**
 * Whether a token holds all the scopes that a service demands.
 * @param held of the token itself, which is what the service will look at
 * @throws {PosternError} insufficient_scope (RFC 6750 §3.1)
 */
export function requireScopes(demanded: readonly string[], held: ReadonlySet<string>): void {
  for (const scope of demanded)
    if (!held.has(scope)) throw new PosternError('insufficient_scope', 'The API key lacks a scope that the gateway requires');
}
