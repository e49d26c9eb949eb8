import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Logger } from '#broker/log.ts';
import type { IssuedTokens } from '#broker/token/issued-tokens.ts';
import type { Token } from '#broker/token/token.ts';

/** Tells an operator of a token that isn't genuine. @returns as `onForgery` of TokenCacheOptions */
export function forgeryTold(
  issued: Pick<IssuedTokens, 'lacksKey'>,
  log: Pick<Logger, 'error' | 'warn'>,
): (grant: AuthorizedGrant, token: Token, future: boolean) => void {
  return ({ tenant, api }, { sha256, signedBy }, future) => {
    const about = { tenant, api, sha256 };
    if (future)
      log.error(
        about,
        "what lies in the cache is dated in the future: the clock of the replica that made it, or of its issuer, is ahead of Vault's",
      );
    // A key withdrawn a moment ago, or so new that a cache before the issuer doesn't have it.
    else if (issued.lacksKey(signedBy))
      log.warn(about, 'what lies in the cache is signed by a key that its issuer does not publish: it is fetched anew');
    else log.error(about, 'what lies in the cache is not a token that was made for this tenant: it is served to nobody');
  };
}
