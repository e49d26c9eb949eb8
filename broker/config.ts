import { readFileSync } from 'node:fs';
import proxyAddr from 'proxy-addr';
import { z } from 'zod';
import { PosternError } from './error.ts';
import { httpsOrLoopback } from './loopback.ts';

/** Written in digits: Number() would take white space for 0. */
const digits = z
  .string()
  .regex(/^\d+(\.\d+)?$/, 'is no number')
  .transform(Number);
const seconds = (fallback: number, min: number, max: number) => digits.pipe(z.number().min(min).max(max)).default(fallback);
const count = (fallback: number, min: number, max: number) => digits.pipe(z.number().int().min(min).max(max)).default(fallback);
const mount = (fallback: string) =>
  z
    .string()
    .regex(/^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*$/, 'is no mount path (no slash at either end)')
    .default(fallback);
const flag = z
  .enum(['true', 'false'])
  .default('false')
  .transform((v) => v === 'true');
function areProxies(ranges: readonly string[]): boolean {
  try {
    proxyAddr.compile([...ranges]);
    return true;
  } catch {
    return false;
  }
}

/** Addresses are logged and published: nothing secret may stand in them. */
const address = z.url({ protocol: /^https?$/, error: 'is no http or https URL' }).refine((v) => {
  const { username = '', password = '' } = URL.parse(v) ?? {};
  return username === '' && password === '' && !/[?#]/.test(v);
}, 'must have no user name, no query and no fragment');

/** An issuer, with the trailing slash that Auth0's have and verifiers compare. */
const issuer = address.transform((v) => (v.endsWith('/') ? v : `${v}/`));

const secureIssuer = issuer.refine((v) => httpsOrLoopback(new URL(v)), 'must be https (http only on loopback)');

const hostAndPort = z
  .string()
  .regex(/^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/, 'must be host:port')
  .refine((v) => !(Number(v.slice(v.lastIndexOf(':') + 1)) > 65_535), 'has no port from 0 to 65535');

const schema = z.object({
  POSTERN_ISSUER: issuer,
  POSTERN_LISTEN: hostAndPort.default('127.0.0.1:8080'),
  POSTERN_TLS_CERT_FILE: z.string().optional(),
  POSTERN_TLS_KEY_FILE: z.string().optional(),
  POSTERN_BEHIND_TLS_PROXY: flag,
  POSTERN_TRUSTED_PROXIES: z
    .string()
    .default('')
    .transform((v) =>
      Object.freeze(
        v
          .split(',')
          .map((p) => p.trim())
          .filter((p) => p !== ''),
      ),
    )
    .refine(areProxies, 'must be addresses or ranges such as 10.0.0.0/8, with commas between'),
  POSTERN_FORWARD_CLIENT_ADDRESS: flag,
  POSTERN_ERROR_DIALECT: z.enum(['auth0', 'rfc6749']).default('auth0'),
  POSTERN_MAX_CONNECTIONS: count(10_000, 1, 1_000_000),
  POSTERN_SHUTDOWN_GRACE: seconds(10, 0, 600),
  VAULT_ADDR: address.transform((v) => v.replace(/\/+$/, '')),
  VAULT_NAMESPACE: z.string().optional(),
  VAULT_CACERT: z.string().optional(),
  POSTERN_VAULT_TIMEOUT: seconds(2, 0.1, 60),
  POSTERN_ROLE_ID: z.string().min(1),
  POSTERN_SECRET_ID: z.string().optional(),
  POSTERN_SECRET_ID_FILE: z.string().optional(),
  POSTERN_WRAPPED_SECRET_ID: z.string().optional(),
  POSTERN_WRAPPED_SECRET_ID_FILE: z.string().optional(),
  POSTERN_APPROLE_MOUNT: mount('approle'),
  POSTERN_BROKER_APPROLE_MOUNT: mount('approle-broker'),
  POSTERN_KV_MOUNT: mount('postern'),
  POSTERN_TOKENS_MOUNT: mount('postern-tokens'),
  POSTERN_ASSERTION_MOUNT: mount('postern-assertion'),
  POSTERN_REPLAY_MOUNT: mount('postern-replay'),
  /** Where replicas share tokens: KV v2, or the secrets plugin, which managed Vault offers refuse. */
  TOKEN_STORE: z.enum(['kv', 'plugin']).default('kv'),
  POSTERN_PLUGIN_MOUNT: mount('auth0'),
  POSTERN_TRANSIT_MOUNT: mount('transit'),
  POSTERN_TRANSIT_KEY: mount('postern'),
  POSTERN_AUTH0_ISSUER: secureIssuer.optional(),
  POSTERN_AUTH0_BINDING: z.enum(['organization', 'action']).default('action'),
  POSTERN_AUTH0_TIMEOUT: seconds(5, 0.1, 60),
  POSTERN_TENANT_CLAIM: z
    .string()
    .regex(/^https?:\/\/\S+$/, 'must be a URI, as Auth0 demands of custom claims')
    .default('https://postern.dev/tenant'),
  POSTERN_VERIFY_TTL: seconds(30, 0, 30),
  POSTERN_MIN_REMAINING: seconds(60, 0, 3600),
  POSTERN_JWKS_MAX_AGE: seconds(300, 1, 86_400),
  POSTERN_CACHE_CREDENTIALS: count(100_000, 1, 10_000_000),
  POSTERN_CACHE_TOKENS: count(100_000, 1, 10_000_000),
  POSTERN_USAGE_INTERVAL: seconds(300, 1, 86_400),
  POSTERN_THROTTLE_CLIENT: count(10, 1, 1_000_000),
  POSTERN_THROTTLE_ADDRESS: count(100, 1, 1_000_000),
  POSTERN_ADMIN_LISTEN: hostAndPort.optional(),
  POSTERN_ADMIN_TLS_CERT_FILE: z.string().optional(),
  POSTERN_ADMIN_TLS_KEY_FILE: z.string().optional(),
  POSTERN_ADMIN_BEHIND_TLS_PROXY: flag,
  POSTERN_ADMIN_AUDIENCE: z
    .string()
    .regex(/^\S{1,600}$/, 'must be the identifier of an Auth0 API, without spaces')
    .optional(),
  POSTERN_ADMIN_MOUNT: mount('postern-admin'),
  POSTERN_ADMIN_RATE: count(600, 1, 1_000_000),
  POSTERN_SCOPE_SETS: count(32, 1, 10_000),
  POSTERN_REVOCATIONS_PER_MINUTE: count(10, 1, 100_000),
  POSTERN_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  POSTERN_AUDIT_FILE: z.string().optional(),
});

type Settings = z.infer<typeof schema>;

/** PEM. */
export type Tls = Readonly<{ cert: string; key: string }>;

export interface Config extends Omit<
  Settings,
  | 'POSTERN_SECRET_ID'
  | 'POSTERN_SECRET_ID_FILE'
  | 'POSTERN_WRAPPED_SECRET_ID'
  | 'POSTERN_WRAPPED_SECRET_ID_FILE'
  | 'POSTERN_TLS_CERT_FILE'
  | 'POSTERN_TLS_KEY_FILE'
  | 'POSTERN_ADMIN_TLS_CERT_FILE'
  | 'POSTERN_ADMIN_TLS_KEY_FILE'
> {
  readonly host: string;
  readonly port: number;
  readonly secretId: Readonly<{ value: string; wrapped: boolean }>;
  readonly tls: Tls | undefined;
  /** Where the admin API listens; undefined: nowhere. */
  readonly admin: Readonly<{ host: string; port: number; tls: Tls | undefined }> | undefined;
  /** POSTERN_ variables that mean nothing here: a misspelt one would otherwise go unseen. */
  readonly unknown: readonly string[];
}

const SECRET_IDS = ['POSTERN_SECRET_ID', 'POSTERN_SECRET_ID_FILE', 'POSTERN_WRAPPED_SECRET_ID', 'POSTERN_WRAPPED_SECRET_ID_FILE'] as const;

/**
 * Environment -> frozen {@link Config}. Durations are in seconds. An empty variable counts as unset.
 * @throws {PosternError} misconfigured, naming every fault at once and no value (one might be a secret)
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const faults: string[] = [];
  const set = Object.fromEntries(
    Object.entries(env).filter(([name, value]) => value !== undefined && value !== '' && name in schema.shape),
  );
  const parsed = schema.safeParse(set);
  if (!parsed.success)
    for (const issue of parsed.error.issues)
      faults.push(`${String(issue.path[0])} ${set[String(issue.path[0])] === undefined ? 'is missing' : issue.message}`);
  const file = (name: string): string => {
    try {
      return readFileSync(set[name]!, 'utf8');
    } catch (error) {
      faults.push(`${name} cannot be read (${(error as NodeJS.ErrnoException).code})`);
      return '';
    }
  };

  if (set['VAULT_CACERT'] !== undefined) file('VAULT_CACERT');
  const given = SECRET_IDS.filter((name) => set[name] !== undefined);
  if (given.length !== 1)
    faults.push(`exactly one of ${SECRET_IDS.join(', ')} must be set${given.length > 1 ? `, not ${given.join(' and ')}` : ''}`);
  const from = given[0];
  const secretId = {
    value: from === undefined ? '' : (from.endsWith('_FILE') ? file(from) : set[from]!).trim(),
    wrapped: from?.includes('WRAPPED') ?? false,
  };
  if (from !== undefined && secretId.value === '' && !faults.some((f) => f.startsWith(from))) faults.push(`${from} is empty`);

  const tlsOf = (certFile: string, keyFile: string): Tls | undefined => {
    if ((set[certFile] === undefined) !== (set[keyFile] === undefined)) faults.push(`${certFile} and ${keyFile} must be set together`);
    return set[certFile] !== undefined && set[keyFile] !== undefined
      ? Object.freeze({ cert: file(certFile), key: file(keyFile) })
      : undefined;
  };
  const tls = tlsOf('POSTERN_TLS_CERT_FILE', 'POSTERN_TLS_KEY_FILE');
  const adminTls = tlsOf('POSTERN_ADMIN_TLS_CERT_FILE', 'POSTERN_ADMIN_TLS_KEY_FILE');
  if (parsed.success) faults.push(...clearTextFaults(parsed.data, tls));
  const adminListen = parsed.success ? parsed.data.POSTERN_ADMIN_LISTEN : undefined;
  if (parsed.success && adminListen !== undefined) faults.push(...adminFaults(parsed.data, adminTls));

  if (faults.length > 0 || !parsed.success) {
    throw new PosternError(
      'misconfigured',
      `The configuration has ${faults.length} fault${faults.length === 1 ? '' : 's'}:\n${faults.map((f) => `  ${f}`).join('\n')}`,
    );
  }
  return Object.freeze({
    ...parsed.data,
    ...addressOf(parsed.data.POSTERN_LISTEN),
    admin: adminListen === undefined ? undefined : Object.freeze({ ...addressOf(adminListen), tls: adminTls }),
    secretId: Object.freeze(secretId),
    tls,
    unknown: Object.freeze(Object.keys(env).filter((name) => name.startsWith('POSTERN_') && !(name in schema.shape))),
  });
}

function addressOf(listen: string): { host: string; port: number } {
  const colon = listen.lastIndexOf(':');
  return { host: listen.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(listen.slice(colon + 1)) };
}

/** Whether only this machine can reach the address. */
function onLoopback(listen: string): boolean {
  const url = URL.parse(`http://${listen}`);
  return url !== null && httpsOrLoopback(url);
}

/** Customers' secrets and tokens go over no network in the clear, and verifiers fetch their keys over TLS. */
function clearTextFaults(settings: Settings, tls: Tls | undefined): string[] {
  if (settings.POSTERN_BEHIND_TLS_PROXY) return [];
  const faults: string[] = [];
  const unless = 'POSTERN_BEHIND_TLS_PROXY=true where a proxy of yours ends TLS';
  if (tls === undefined && !onLoopback(settings.POSTERN_LISTEN))
    faults.push(`POSTERN_LISTEN is not on loopback, so it needs POSTERN_TLS_CERT_FILE and POSTERN_TLS_KEY_FILE (or ${unless})`);
  if (!httpsOrLoopback(new URL(settings.POSTERN_ISSUER)))
    faults.push(`POSTERN_ISSUER must be https (http only on loopback, or with ${unless})`);
  return faults;
}

/** Every request of an operator carries a credential that may do everything: it goes over no network in the clear. */
function adminFaults(settings: Settings, tls: Tls | undefined): string[] {
  const faults: string[] = [];
  const {
    POSTERN_ADMIN_LISTEN: listen,
    POSTERN_ADMIN_BEHIND_TLS_PROXY: proxied,
    POSTERN_ADMIN_AUDIENCE: audience,
    POSTERN_AUTH0_ISSUER: issuer,
  } = settings;
  if (tls === undefined && !proxied && !onLoopback(listen!)) {
    faults.push(
      'POSTERN_ADMIN_LISTEN is not on loopback, so it needs POSTERN_ADMIN_TLS_CERT_FILE and POSTERN_ADMIN_TLS_KEY_FILE (or POSTERN_ADMIN_BEHIND_TLS_PROXY=true where a proxy of yours ends TLS)',
    );
  }
  if (audience !== undefined && issuer === undefined)
    faults.push('POSTERN_ADMIN_AUDIENCE needs POSTERN_AUTH0_ISSUER, who issues the tokens for it');
  return faults;
}
