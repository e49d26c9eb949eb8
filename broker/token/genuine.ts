import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { PosternError } from '#broker/error.ts';
import type { IssuedToken, IssuedTokens } from './issued-tokens.ts';
import type { Token } from './token.ts';

/**
 * Whether what lies in the replicas' shared store is a token that its source made for this grant: whoever can write there doesn't decide
 * what a tenant is served. Where its issuer's keys can't be had, its claims alone are judged: services verify its signature.
 */
export async function isGenuine(issued: Pick<IssuedTokens, 'read' | 'unverified'>, grant: AuthorizedGrant, token: Token): Promise<boolean> {
  const said = issued.unverified(token.reveal());
  if (said === undefined || !matches(said, grant, token)) return false;
  try {
    return (await issued.read(token.reveal())) !== undefined;
  } catch (error) {
    if (error instanceof PosternError && error.code === 'temporarily_unavailable') return true;
    throw error;
  }
}

function matches(said: IssuedToken, grant: AuthorizedGrant, token: Token): boolean {
  const { permissions = [] } = said.claims;
  const scopes = [...said.scope.split(' '), ...(Array.isArray(permissions) ? (permissions as unknown[]) : [undefined])];
  return (
    said.claims.iss === grant.issuer &&
    said.audience === grant.audience &&
    (said.tenant === undefined
      ? said.organization !== undefined && said.organization === grant.organization
      : said.tenant === grant.tenant) &&
    (said.sharedClient || said.clientId === grant.clientId) &&
    said.owner?.id === grant.owner?.id &&
    said.owner?.keyId === grant.owner?.keyId &&
    scopes.every((scope) => scope === '' || grant.scopes.includes(scope as string)) &&
    // What clients are told of it beside the token itself.
    said.scope === token.scope &&
    said.iat === token.issuedAt &&
    said.exp === token.expiresAt
  );
}
