import { Authorization } from '#broker/authorization/authorization.ts';
import { claimsLayout } from '#broker/authorization/layout.ts';
import type { Config } from '#broker/config.ts';
import type { Endings } from '#broker/credential/endings.ts';
import type { Generations } from '#broker/credential/generations.ts';
import type { Verifiers } from '#broker/credential/verifiers.ts';
import { PosternError } from '#broker/error.ts';
import type { Limiter } from '#broker/rate-limit/admission.ts';
import type { RefusedAddresses } from '#broker/credential/refused-addresses.ts';
import type { Logger } from '#broker/log.ts';
import { SOURCES } from '#broker/sources.ts';
import { TokenCache } from '#broker/token/cache.ts';
import type { TokenCacheOptions } from '#broker/token/cache.ts';
import { Exchange } from '#broker/token/exchange.ts';
import { Introspection } from '#broker/token/introspection.ts';
import { isGenuine } from '#broker/token/genuine.ts';
import { IssuedTokens } from '#broker/token/issued-tokens.ts';
import type { Meter } from '#broker/quota/meter.ts';
import type { Publisher } from '#broker/token/publisher.ts';
import type { Revocations } from '#broker/token/revocations.ts';
import type { ConfiguredSource, TokenSource } from '#broker/token/source.ts';
import { Servable } from '#broker/token/servable.ts';
import { StoredLately } from '#broker/token/stored-lately.ts';
import type { Token } from '#broker/token/token.ts';
import { Withdrawal } from '#broker/token/withdrawal.ts';
import { VaultGrants } from '#broker/vault/grants.ts';
import { Kv } from '#broker/vault/kv.ts';
import { EngineTokenPlaces } from '#broker/vault/plugin-tokens.ts';
import { VaultTokens } from '#broker/vault/tokens.ts';
import { VaultUpstream } from '#broker/vault/upstream-credential.ts';
import { forgeryTold } from './forgery.ts';
import { publishing } from './publishing.ts';
import type { ConnectedVault } from './vault.ts';

/** What stands between a credential and a token. */
export interface Gates {
  readonly verifier: Verifiers;
  readonly revocations: Revocations;
  readonly endings: Endings;
  readonly departures: Endings;
  readonly generations: Generations;
  readonly isDisabled: (tenant: string) => boolean;
  readonly refusedAddresses: RefusedAddresses;
  /** Default: nothing is limited. */
  readonly limiter?: Limiter | undefined;
}

export interface Issuance {
  readonly sources: readonly ConfiguredSource[];
  /** Names of those whose issuer counts its tokens. */
  readonly metered: ReadonlySet<string>;
  readonly cache: TokenCache;
  /** By which the life of a token is told, ms since 1970: Vault's clock where its key signed it, else the later of Vault's and ours. */
  readonly now: (token: Pick<Token, 'signedBy'>) => number;
  readonly exchange: Exchange;
  readonly introspection: Introspection;
  readonly withdrawal: Withdrawal;
  /** Undefined where tokens lie in the plugin. */
  readonly publisher: Publisher | undefined;
  readonly lately: StoredLately;
  /** Those of one tenant leave this replica's memory. */
  forgetTokens(tenant: string): void;
}

/** WHAT and HOW: what a tenant may have, tokens and where they come from, and what becomes of them. */
export function issuance(
  config: Config,
  log: Logger,
  vault: ConnectedVault,
  { verifier, revocations, endings, departures, generations, isDisabled, refusedAddresses, limiter }: Gates,
  { onIssue, onWork, meter }: { readonly onIssue?: OnIssue; readonly onWork?: TokenCacheOptions['onWork']; readonly meter?: Meter } = {},
): Issuance {
  const { client, session, documents, apis, clock } = vault;
  const sources = configuredSources(config, vault, meter);
  const may = {
    apis,
    issuers: Object.fromEntries(sources.map(({ name, issuer }) => [name, issuer])),
    layout: claimsLayout({ binding: config.POSTERN_AUTH0_BINDING, tenantClaim: config.POSTERN_TENANT_CLAIM }),
    isDisabled,
  };
  const grants = new VaultGrants(documents, { now: clock.now, onRefusedAddress: (refused) => refusedAddresses.refused(refused) });
  const authorization = new Authorization({ ...may, grants, kept: (grant) => cache.kept(grant) });
  // What is signed by Vault's key is dated by Vault's clock; of what another issuer dated, the later clock counts.
  const own = sources.flatMap(({ issuer, keys }) => (keys === undefined ? [] : [issuer]));
  const nowOf = (ours: boolean): number => (ours ? client.clock.theirsAtLatest : client.clock.latest);
  const signers = own.map((issuer) => `${issuer} `);
  const tokenNow = (signedBy: string): number => nowOf(signers.some((signer) => signedBy.startsWith(signer)));
  const storeNow = (): number => client.clock.theirs;
  const inPlugin = config.POSTERN_TOKEN_STORE === 'plugin';
  const store = new VaultTokens(
    inPlugin ? new EngineTokenPlaces(client, config.POSTERN_PLUGIN_MOUNT) : new Kv(client, config.POSTERN_TOKENS_MOUNT),
    session,
    { ...clock, onStored: (grant, token, version) => lately.add(grant, token, version) },
  );
  const metered = new Set(sources.flatMap(({ name, metered }) => (metered ? [name] : [])));
  const asked = Object.fromEntries(sources.map(({ name, source }) => [name, timed(name, source, onIssue)]));
  const servable = { revocations, endings, minRemaining: config.POSTERN_MIN_REMAINING, isRetired: retired(sources, log), tokenNow };
  const voids = new Servable(servable);
  const lately = new StoredLately({
    ...clock,
    store,
    changes: () => generations.now + revocations.heard,
    isVoid: (tenant, token) => isDisabled(tenant) || voids.isRevoked(token, tenant),
    onError: (err) => vault.troubles.fails('a token that was ended meanwhile can not be taken out of the shared store', err),
  });
  const issued = new IssuedTokens({
    judges: sources.map(({ judge }) => judge),
    tenantClaim: config.POSTERN_TENANT_CLAIM,
    now: (issuer) => nowOf(own.includes(issuer)),
  });
  const cache = new TokenCache({
    ...clock,
    ...servable,
    isGenuine: (grant, token) => isGenuine(issued, grant, token),
    onForgery: forgeryTold(issued, log),
    store,
    storeNow,
    sources: asked,
    generations,
    scopeSets: config.POSTERN_SCOPE_SETS,
    max: config.POSTERN_CACHE_TOKENS,
    ...(onWork === undefined ? {} : { onWork }),
    onRefreshError: (grant, err) => {
      const message = 'a token could not be refreshed or stored; the one at hand is served while it lives';
      // That Vault or Auth0 is away is the same for all of them.
      if (err instanceof PosternError && err.code === 'temporarily_unavailable') vault.troubles.fails(message, err);
      else log.warn({ err, tenant: grant.tenant, api: grant.api }, message);
    },
  });
  return {
    sources,
    metered,
    cache,
    now: ({ signedBy }) => tokenNow(signedBy),
    lately,
    forgetTokens: (tenant) => cache.forget((grant) => grant.tenant === tenant),
    exchange: new Exchange({ verified: verifier, authorization, cache, apis, store, generations, limiter }),
    introspection: new Introspection({ authorization, apis, issued, revocations, endings, departures, isDisabled }),
    publisher: publishing(config, log, vault, { authorization: may, sources: asked, metered, servable, generations, onWork }),
    withdrawal: new Withdrawal({ authorization, apis, issued, revocations, store }),
  };
}

/** Whether a token names a key that its issuer has taken out of use: no service takes it. */
function retired(sources: readonly ConfiguredSource[], log: Logger): (signedBy: string) => boolean {
  const told = new Set<string>();
  const issuers = sources.flatMap(({ issuer, keys, hasWithdrawn }) => {
    const isOut = keys?.has === undefined ? hasWithdrawn : (kid: string) => keys.has?.(kid) === false;
    return isOut === undefined ? [] : [{ prefix: `${issuer} `, isOut }];
  });
  return (signedBy) => {
    const out = issuers.some(({ prefix, isOut }) => signedBy.startsWith(prefix) && isOut(signedBy.slice(prefix.length)));
    if (out && !told.has(signedBy)) {
      told.add(signedBy);
      log.warn({ key: signedBy }, 'the issuer has taken this key out of use: tokens that it signed are fetched anew');
    }
    return out;
  };
}

/** Told of each token that was asked of a source, how long that took, ms, and how it ended; undefined: well. */
export type OnIssue = (source: string, ms: number, error: unknown) => void;

function timed(name: string, source: TokenSource, onIssue: OnIssue | undefined): TokenSource {
  if (onIssue === undefined) return source;
  return {
    admit: (grant) => source.admit?.(grant),
    async issue(grant) {
      const begun = performance.now();
      try {
        const token = await source.issue(grant);
        onIssue(name, performance.now() - begun, undefined);
        return token;
      } catch (error) {
        onIssue(name, performance.now() - begun, error);
        throw error;
      }
    },
  };
}

/** Those of the registry that the settings name. */
function configuredSources(
  config: Config,
  { client, session, documents, troubles, clock, fetch: by }: ConnectedVault,
  meter: Meter | undefined,
): readonly ConfiguredSource[] {
  const surroundings = {
    client,
    session,
    issuer: config.POSTERN_ISSUER,
    tenantClaim: config.POSTERN_TENANT_CLAIM,
    jwksMaxAgeMs: config.POSTERN_JWKS_MAX_AGE * 1000,
    upstream: (source: string) => new VaultUpstream(documents, session, source),
    meter,
    clock,
    latest: () => client.clock.latest,
    fetch: by,
    warn: (err: unknown, message: string) => troubles.fails(message, err),
  };
  return SOURCES.flatMap((source) => source.configure(config, surroundings) ?? []);
}
