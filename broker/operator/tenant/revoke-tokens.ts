import type { VaultAccess } from '#broker/operator/access.ts';
import { announce } from '#broker/operator/announcement.ts';
import { readApis } from '#broker/operator/apis.ts';
import { announceEndings } from '#broker/operator/ending.ts';
import { hasPlugin } from '#broker/operator/plugin/mounts.ts';
import { whoIs } from '#broker/operator/whoami.ts';
import { clearCachedTokens } from './cached-tokens.ts';
import { showTenant } from './view.ts';

export interface TokensEnded {
  tenant: string;
  /** Cached tokens thrown away. */
  cached_tokens: number;
  /** Of the announcement. */
  epoch: number;
}

/**
 * Ends every token that a tenant holds, while its credentials stay: introspection says inactive and nothing of it is served within 2 s on
 * every
 * broker, its Vault tokens are not exchanged any more, and the next exchange gets a new token.
 * @throws {PosternError} not_found
 */
export async function revokeTokens(access: VaultAccess, tenant: string): Promise<TokensEnded> {
  await showTenant(access, tenant);
  const withPlugin = await hasPlugin(access);
  await announceEndings(access, (await whoIs(access)).now, [{ kind: 'tokens', id: tenant, tenant, lives: await longestLife(access) }]);
  const { epoch } = await announce(access, tenant);
  return { tenant, cached_tokens: await clearCachedTokens(access, tenant, withPlugin), epoch };
}

/** Of an access token of any API, seconds: a tenant may have had others before. */
export async function longestLife(access: VaultAccess): Promise<number> {
  const apis = await readApis(access);
  return Math.max(3600, ...[...apis.values()].map((api) => api?.lifetime ?? 0));
}
