import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from './access.ts';

export interface Operator {
  /** Vault's display name, e.g. `oidc-auth0|olivia`; behind the person whom the login names: `olivia@example.com (oidc-auth0|olivia)`. */
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
  const { display_name: name, meta, expire_time: end, ttl } = answer?.data ?? {};
  const known = typeof name === 'string' && name !== '' ? name : 'unknown';
  const person = personOf(meta);
  return { name: person === null ? known : `${person} (${known})`, now: clock(end, ttl) };
}

/**
 * Whom a login's metadata names: Terraform has Auth0's `email` and `name` carried over. What a person may choose themselves, so never by
 * itself: the subject stands beside it.
 */
export function personOf(metadata: unknown): string | null {
  const { email, name } = (metadata ?? {}) as Record<string, unknown>;
  const text = [email, name].find((one): one is string => typeof one === 'string' && one !== '');
  // A name may hold what moves the cursor, or turns the direction of writing.
  return text?.replaceAll(/[\p{C}()]/gu, '').slice(0, 100) || null;
}

function clock(end: unknown, ttl: unknown): number {
  const at = typeof end === 'string' ? Date.parse(end) : Number.NaN;
  // Vault rounds the rest of the life down to seconds, so this is up to a second late.
  if (Number.isFinite(at) && typeof ttl === 'number' && ttl > 0) return at - ttl * 1000 - 1000;
  return Date.now();
}
