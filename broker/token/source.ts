import type { ClockDifference } from '#broker/clock-difference.ts';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { TokenJudge } from './issued-tokens.ts';
import type { KeySet } from './keyset.ts';
import type { Token } from './token.ts';

/** FROM WHERE: the port to an issuer. What it returns is verified: issuer, audience, signature, scopes, and bound to the grant's tenant. */
export interface TokenSource {
  /** @throws {PosternError} temporarily_unavailable or too_many_requests (with retryAfter), access_denied, misconfigured */
  issue(grant: AuthorizedGrant): Promise<Token>;
  /** Says beforehand, and asks nobody, where it would surely refuse. @throws {PosternError} too_many_requests */
  admit?(grant: AuthorizedGrant): void;
}

/** A source that this broker's settings name, ready for use. */
export interface ConfiguredSource {
  /** As the documents of APIs name it. */
  readonly name: string;
  /** Of its tokens, with its trailing slash. */
  readonly issuer: string;
  readonly source: TokenSource;
  /** Verifies its tokens when somebody presents one. */
  readonly judge: TokenJudge;
  /** The public keys of its tokens; for a source whose issuer is this broker, which then publishes them. */
  readonly keys?: KeySet;
  /** Whether its issuer has taken the key of this kid out of use; undefined where {@link keys} say so. */
  readonly hasWithdrawn?: (kid: string) => boolean;
  /** Requests for a token sent to its issuer since the start; undefined where Vault is the one that is asked. */
  readonly calls?: () => number;
  /** Whether its issuer is asked: not while it doesn't answer; undefined where Vault is the one that is asked. */
  readonly available?: () => boolean;
  /** Its issuer counts its tokens against a quota. */
  readonly metered?: true;
  /** Its issuer's clock beside ours; undefined where Vault is the one that is asked. */
  readonly clock?: ClockDifference;
  /** Has it tell its time, which `clock` learns, by a request that counts for nothing. @throws what a fetch throws */
  readonly askTime?: () => Promise<void>;
}
