import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { QuotaReading } from './terms.ts';

/** The port to what counts tokens against the quota of an issuer. */
export interface Meter {
  /** @throws {PosternError} too_many_requests where this memory knows that the tenant may have no more; asks nobody */
  admit(grant: AuthorizedGrant): void;
  /**
   * Counts a token before it is asked for. Never fails since it can't be written: then it is counted in memory, and written later.
   * @throws {PosternError} too_many_requests where the tenant may have no more
   */
  count(grant: AuthorizedGrant): Promise<Counted>;
  /** What the issuer itself says of its quotas, while it answers for this grant. */
  hear?(of: QuotaOf, readings: readonly QuotaReading[], grant: AuthorizedGrant): void;
}

/** Of whose quota Auth0's headers tell. */
export type QuotaOf = 'client' | 'organization';

/** A token that is counted. */
export interface Counted {
  /** The issuer has surely made none. */
  takeBack(): void;
}
