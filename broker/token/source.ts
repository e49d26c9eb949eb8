import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Token } from './token.ts';

/** FROM WHERE: the port to an issuer. What it returns is verified: issuer, audience, signature, scopes, and bound to the grant's tenant. */
export interface TokenSource {
  /** @throws {PosternError} temporarily_unavailable or too_many_requests (with retryAfter), access_denied, misconfigured */
  issue(grant: AuthorizedGrant): Promise<Token>;
}
