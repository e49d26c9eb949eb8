/** Where one thing lies in Vault. */
export interface Mount {
  /** The setting of the broker and of the CLI that names it; undefined: it has no setting. */
  readonly variable: string | undefined;
  /** The default of `terraform/` too; test/unit/mounts.test.ts compares them. */
  readonly fallback: string;
  /** For the help of the CLI. */
  readonly holds: string;
  /** What must be mounted there in every installation; undefined: nothing, or only in some. */
  readonly needs?: { readonly type: string; readonly version?: string; readonly auth?: true };
}

/**
 * The names of everything in Vault, each also a variable of `terraform/` (in snake_case): the one list that the broker's
 * settings, the CLI's options and the operators' access are made from.
 */
export const MOUNTS = {
  approle: {
    variable: 'POSTERN_APPROLE_MOUNT',
    fallback: 'approle',
    holds: "mount of the tenants' AppRole",
    needs: { type: 'approle', auth: true },
  },
  brokerApprole: {
    variable: 'POSTERN_BROKER_APPROLE_MOUNT',
    fallback: 'approle-broker',
    holds: "mount of the broker's AppRole",
    needs: { type: 'approle', auth: true },
  },
  brokerKubernetes: {
    variable: 'POSTERN_BROKER_KUBERNETES_MOUNT',
    fallback: 'kubernetes-broker',
    holds: "mount of the broker's Kubernetes auth",
  },
  brokerJwt: { variable: 'POSTERN_BROKER_JWT_MOUNT', fallback: 'jwt-broker', holds: "mount of the broker's JWT auth" },
  oidc: { variable: 'POSTERN_OIDC_MOUNT', fallback: 'oidc', holds: "mount of people's login" },
  userpass: { variable: 'POSTERN_USERPASS_MOUNT', fallback: 'userpass', holds: "mount of people's break-glass login" },
  admin: { variable: 'POSTERN_ADMIN_MOUNT', fallback: 'postern-admin', holds: "mount of the admin API's login" },
  self: { variable: 'POSTERN_SELF_MOUNT', fallback: 'postern-self', holds: "mount of the self-service API's login" },
  assertion: { variable: 'POSTERN_ASSERTION_MOUNT', fallback: 'postern-assertion', holds: "mount of client assertions' login" },
  trust: { variable: 'POSTERN_TRUST_MOUNT', fallback: 'postern-trust', holds: "mount of trusted issuers' login" },
  kv: { variable: 'POSTERN_KV_MOUNT', fallback: 'postern', holds: "mount of Postern's documents", needs: { type: 'kv', version: '2' } },
  tokens: {
    variable: 'POSTERN_TOKENS_MOUNT',
    fallback: 'postern-tokens',
    holds: 'mount of the cached tokens',
    needs: { type: 'kv', version: '2' },
  },
  transit: { variable: 'POSTERN_TRANSIT_MOUNT', fallback: 'transit', holds: 'mount of the signing key', needs: { type: 'transit' } },
  transitKey: { variable: 'POSTERN_TRANSIT_KEY', fallback: 'postern', holds: 'name of the signing key' },
  replay: {
    variable: 'POSTERN_REPLAY_MOUNT',
    fallback: 'postern-replay',
    holds: 'mount of the client assertions used so far',
    needs: { type: 'kv', version: '2' },
  },
  plugin: { variable: 'POSTERN_PLUGIN_MOUNT', fallback: 'auth0', holds: 'mount of the secrets plugin' },
  policyPrefix: { variable: undefined, fallback: 'postern-', holds: "beginning of the policies' names" },
} as const satisfies Record<string, Mount>;

export type MountName = keyof typeof MOUNTS;

/** Names in Vault. */
export type Mounts = Readonly<Record<MountName, string>>;

/** The source, as the documents of APIs name it, whose tokens that key signs. */
export const SIGNING_SOURCE = 'transit';

/** The key that signs tokens, in Vault's transit engine. */
export function signingKeyPath({ transit, transitKey }: Mounts): string {
  return `${transit}/keys/${transitKey}`;
}

/** Where the credential of a source lies in Postern's KV v2 mount. */
export function upstreamPath(source: string): string {
  return `upstream/${source}`;
}

/** Of the one that operators set. */
export const UPSTREAM_PATH = upstreamPath('auth0');

/** A mount's path, or a key's name: no slash at either end. */
export const MOUNT_PATH = /^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*$/;

export const DEFAULT_MOUNTS = mountsFrom(() => undefined);

/** Every name in Vault as a setting says, else its default. @param setting the value of a variable, such as POSTERN_KV_MOUNT */
export function mountsFrom(setting: (variable: string) => unknown): Mounts {
  const names = Object.entries<Mount>(MOUNTS).map(([name, { variable, fallback }]) => {
    const value = variable === undefined ? undefined : setting(variable);
    return [name, typeof value === 'string' ? value : fallback];
  });
  return Object.fromEntries(names) as Mounts;
}
