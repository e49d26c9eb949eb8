import type { VaultAccess } from './access.ts';
import type { Duty } from './duties.ts';
import { personOf } from './whoami.ts';

/** Whose token this is, and what it is good for. */
export interface OwnToken {
  /** Vault's display name, e.g. `oidc-auth0|olivia`. */
  display_name: string;
  /** What the login says about the person: their mail, else their name. */
  person: string | null;
  entity_id: string | null;
  /** e.g. `auth/oidc/oidc/callback` */
  path: string | null;
  /** Of the auth method: `operator`. */
  role: string | null;
  policies: string[];
  type: string;
  renewable: boolean;
  /** Seconds left; null: it doesn't end. */
  ttl: number | null;
  /** ISO 8601. */
  expires_at: string | null;
  root: boolean;
  allowed: Duty['name'][];
  refused: Duty['name'][];
}

/**
 * `auth/token/lookup-self` ("Token auth method", HTTP API) and `sys/capabilities-self`: what Vault itself says of this token.
 * @throws {PosternError} access_denied where the token is dead, or may not look at itself
 */
export async function ownToken(access: VaultAccess, duties: readonly Duty[]): Promise<OwnToken> {
  const paths = [...new Set(duties.flatMap(({ needs }) => needs.map(([path]) => path)))];
  const [own, able] = await access.call('tell whose token this is', ({ client, as }) =>
    Promise.all([client.read('auth/token/lookup-self', as), client.write('sys/capabilities-self', { paths }, { ...as, attempts: 3 })]),
  );
  const { display_name: displayName, meta, entity_id: entity, path, type, renewable, ttl, expire_time: end } = own?.data ?? {};
  const policies = [...texts(own?.data?.['policies']), ...texts(own?.data?.['identity_policies'])];
  const said = (meta ?? {}) as Record<string, unknown>;
  const may = ({ needs }: Duty): boolean => needs.every(([at, capability]) => has(texts(able.data?.[at]), capability));
  return {
    display_name: text(displayName) ?? 'unknown',
    person: personOf(meta),
    entity_id: text(entity),
    path: text(path),
    role: text(said['role']),
    policies: [...new Set(policies)].toSorted((one, other) => one.localeCompare(other)),
    type: text(type) ?? 'unknown',
    renewable: renewable === true,
    ttl: typeof end === 'string' && typeof ttl === 'number' ? ttl : null,
    expires_at: text(end),
    root: policies.includes('root'),
    allowed: duties.filter(may).map(({ name }) => name),
    refused: duties.filter((duty) => !may(duty)).map(({ name }) => name),
  };
}

function has(capabilities: readonly string[], wanted: string): boolean {
  return capabilities.includes(wanted) || capabilities.includes('root');
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}
