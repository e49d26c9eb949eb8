import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from './access.ts';

export interface Operator {
  /** Vault's display name, e.g. `oidc-olivia@example.com`. */
  readonly name: string;
  /** Vault's clock, ms since 1970, at most two seconds early. This machine's own clock where Vault's cannot be told. */
  readonly now: number;
}

/** Whose token this is. @throws {PosternError} access_denied where the token is dead */
export async function whoIs(access: VaultAccess): Promise<Operator> {
  const answer = await access
    .call('tell whose token this is', ({ client, as }) => client.read('auth/token/lookup-self', as))
    .catch((error: unknown) => {
      // A token without Vault's `default` policy may not look at itself, and may issue all the same.
      if (error instanceof PosternError && error.code === 'access_denied') return undefined;
      throw error;
    });
  const { display_name: name, expire_time: end, ttl } = answer?.data ?? {};
  return { name: typeof name === 'string' && name !== '' ? name : 'unknown', now: clock(end, ttl) };
}

function clock(end: unknown, ttl: unknown): number {
  const at = typeof end === 'string' ? Date.parse(end) : Number.NaN;
  // Vault rounds the rest of the life down to seconds, so this is up to a second late.
  if (Number.isFinite(at) && typeof ttl === 'number' && ttl > 0) return at - ttl * 1000 - 1000;
  return Date.now();
}
