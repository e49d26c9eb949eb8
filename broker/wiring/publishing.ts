import { Authorization } from '#broker/authorization/authorization.ts';
import type { AuthorizationOptions, AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Config } from '#broker/config.ts';
import { PosternError } from '#broker/error.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import type { Identity } from '#broker/credential/identity.ts';
import type { Logger } from '#broker/log.ts';
import { Leadership } from '#broker/token/leadership.ts';
import type { Publication } from '#broker/token/publications.ts';
import { FreshTokens } from '#broker/token/fresh-tokens.ts';
import { Publisher } from '#broker/token/publisher.ts';
import { Servable } from '#broker/token/servable.ts';
import type { ServableOptions } from '#broker/token/servable.ts';
import type { TokenSource } from '#broker/token/source.ts';
import type { TokenWork } from '#broker/token/work.ts';
import { Kv } from '#broker/vault/kv.ts';
import { VaultPublications } from '#broker/vault/publications.ts';
import type { Generations } from '#broker/credential/generations.ts';
import type { ConnectedVault } from './vault.ts';

/** How long a replica that died keeps the others from publishing, ms: far less than any lead. */
const LEASE = 10_000;

export interface Issuing {
  readonly authorization: Omit<AuthorizationOptions, 'grants'>;
  readonly sources: Readonly<Record<string, TokenSource | undefined>>;
  /** Names of those whose issuer counts its tokens. */
  readonly metered: ReadonlySet<string>;
  readonly servable: ServableOptions;
  readonly generations: Generations;
  readonly onWork?: ((work: TokenWork) => void) | undefined;
}

/** What keeps marked tenants' tokens in KV; undefined where tokens lie in the plugin, which needs nobody for it. */
export function publishing(
  config: Config,
  log: Logger,
  { client, session, documents, troubles, clock }: ConnectedVault,
  { authorization: options, sources, metered, servable: servableOptions, generations, onWork }: Issuing,
): Publisher | undefined {
  if (config.POSTERN_TOKEN_STORE === 'plugin') return undefined;
  const store = new VaultPublications({ client, documents, tokens: new Kv(client, config.POSTERN_TOKENS_MOUNT), session });
  const authorization = new Authorization({ ...options, grants: store });
  const servable = new Servable(servableOptions);
  const fresh = new FreshTokens(sources, servable, { ...clock, storeNow: () => client.clock.theirs });
  return new Publisher({
    ...clock,
    store,
    leadership: new Leadership({ ...clock, store, leaseMs: LEASE, ...(onWork === undefined ? {} : { onHandover: onWork }) }),
    authorize: (publication, api) => authorize(authorization, options, publication, api),
    admit: (grant) => fresh.admit(grant),
    issue: (grant) => fresh.issue(grant),
    generations,
    isRevoked: (published, tenant) => servable.isRevoked(published, tenant),
    isServable: (token, tenant) => servable.includes(token, tenant),
    nowOf: (published) => servable.now(published),
    isMetered: (source) => metered.has(source),
    lead: config.POSTERN_PUBLISH_LEAD,
    ...(onWork === undefined ? {} : { onWork }),
    onError: (tenant, err) => {
      if (tenant === undefined) return troubles.fails('nothing can be published now', err);
      const message = 'a token could not be published; the one that lies there stays';
      // That Vault or Auth0 is away is the same for all of them.
      if (err instanceof PosternError && err.code === 'temporarily_unavailable') troubles.fails(message, err);
      else log.warn({ err, tenant }, message);
    },
  });
}

/** Nobody logged in: the operators' mark stands for it, and the token is the tenant's own, with all that is published of its grants. */
async function authorize(
  authorization: Authorization,
  { apis }: Pick<AuthorizationOptions, 'apis'>,
  { tenant, clientId, marked }: Publication,
  api: string,
): Promise<AuthorizedGrant> {
  const identity: Identity = {
    tenant,
    clientId,
    token: new VaultToken(''),
    forwardedFor: undefined,
    expiresAt: Infinity,
    endsAt: Infinity,
  };
  const found = await apis.byName(api);
  // The mark of an API may have been taken back since the tenant was written.
  if (found?.publish !== true && !marked.includes(api)) throw new PosternError('unauthorized_client', `${api} is not published`);
  const audience = found?.audience ?? `the API ${api}, which there is not`;
  return authorization.authorize(identity, { audience, scope: undefined, organization: undefined });
}
