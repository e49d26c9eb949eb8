import type { ApiCatalog } from '#broker/authorization/documents.ts';
import type { Authorization } from '#broker/authorization/authorization.ts';
import { ApiKey } from '#broker/credential/api-key.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import { isOwn } from './introspection.ts';
import type { TokenTrace } from './introspection.ts';
import type { IssuedToken, IssuedTokens } from './issued-tokens.ts';
import type { Revocations } from './revocations.ts';
import type { TokenStore } from './store.ts';

export interface WithdrawalOptions {
  authorization: Pick<Authorization, 'tenantOf' | 'authorize'>;
  apis: Pick<ApiCatalog, 'byAudience'>;
  issued: Pick<IssuedTokens, 'read'>;
  revocations: Pick<Revocations, 'revoke'>;
  store: Pick<TokenStore, 'discard'>;
}

/** What became of it: for the audit, never for the caller. */
export type Withdrawn = 'revoked' | 'again' | 'unknown' | 'foreign';

/** How Vault's own tokens begin. */
const VAULT_TOKEN = /^(hv[sbr]|[sbr])\.[\w-]{20,}/;

/** RFC 7009: a tenant takes one of its own tokens back. */
export class Withdrawal {
  readonly #options: WithdrawalOptions;

  constructor(options: WithdrawalOptions) {
    this.#options = options;
  }

  /**
   * First every replica is told, then the shared store is cleared; whoever is refused in between repeats the call.
   * @throws {PosternError} unsupported_token_type; unauthorized_client where the caller is disabled; too_many_requests;
   * temporarily_unavailable
   */
  async run(identity: Identity, accessToken: string, trace: TokenTrace): Promise<Withdrawn> {
    refuseOtherSecrets(accessToken);
    const { authorization, issued, revocations } = this.#options;
    const grants = await authorization.tenantOf(identity);
    const token = await issued.read(accessToken);
    if (token === undefined) return 'unknown';
    trace.token = token;
    if (!isOwn(token, identity, grants)) return 'foreign';
    const { sha256, exp } = token;
    const first = await revocations.revoke({ sha256, exp, tenant: identity.tenant });
    await this.#clearStore(identity, token, grants.organization ?? '', trace);
    return first ? 'revoked' : 'again';
  }

  async #clearStore(identity: Identity, token: IssuedToken, organization: string, trace: TokenTrace): Promise<void> {
    const { apis, authorization, store } = this.#options;
    const api = await apis.byAudience(token.audience);
    // An API that is gone: nothing of it is served any more.
    if (api === undefined) return;
    trace.api = api.name;
    const digests = new Set<string>();
    // Only to find the place; a key may be narrower than the token that it takes back.
    const { owner } = token;
    const person = owner === undefined ? undefined : { id: owner.id, organization, since: 0 };
    const unlimited =
      identity.limit === undefined && owner === undefined
        ? identity
        : { ...identity, limit: undefined, owner: person, keyId: owner?.keyId ?? identity.keyId };
    // Without `scope` for the grant as a whole, which may hold more than its token says.
    for (const scope of new Set([undefined, token.scope === '' ? undefined : token.scope])) {
      try {
        digests.add((await authorization.authorize(unlimited, { audience: token.audience, scope, organization: undefined })).digest);
      } catch (error) {
        // No longer granted: then that place belongs to no grant any more.
        if (!(error instanceof PosternError) || error.status >= 500) throw error;
      }
    }
    await store.discard(token.sha256, { api: api.name, digests: [...digests] }, identity);
  }
}

/**
 * RFC 7009 §2.2.1. A token that we don't know is not an error; but whoever presents an API key or a Vault token here would take
 * a 200 for its revocation.
 */
function refuseOtherSecrets(text: string): void {
  if (ApiKey.parse(text) !== undefined)
    throw new PosternError(
      'unsupported_token_type',
      'This is an API key, not an access token: an operator ends it with `postern key revoke`',
    );
  if (VAULT_TOKEN.test(text)) throw new PosternError('unsupported_token_type', 'This is not an access token of this issuer');
}
