import { readFileSync } from 'node:fs';
import proxyAddr from 'proxy-addr';
import { z } from 'zod';
import { PosternError } from './error.ts';
import { httpsOrLoopback } from './loopback.ts';

/** Written in digits: Number() would take white space for 0. */
const digits = z.string().regex(/^\d+(\.\d+)?$/, 'is no number').transform(Number);
const seconds = (fallback: number, min: number, max: number) => digits.pipe(z.number().min(min).max(max)).default(fallback);
const count = (fallback: number, min: number, max: number) => digits.pipe(z.number().int().min(min).max(max)).default(fallback);
const mount = (fallback: string) => z.string().regex(/^[A-Za-z0-9_-]+(\/[A-Za-z0-9_-]+)*$/, 'is no mount path (no slash at either end)').default(fallback);
const flag = z.enum(['true', 'false']).default('false').transform((v) => v === 'true');
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

const schema = z.object({
  POSTERN_ISSUER: issuer,
  POSTERN_LISTEN: z.string().regex(/^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/, 'must be host:port').refine((v) => !(Number(v.slice(v.lastIndexOf(':') + 1)) > 65_535), 'has no port from 0 to 65535').default('127.0.0.1:8080'),
  POSTERN_TLS_CERT_FILE: z.string().optional(),
  POSTERN_TLS_KEY_FILE: z.string().optional(),
  POSTERN_TRUSTED_PROXIES: z.string().default('').transform((v) => Object.freeze(v.split(',').map((p) => p.trim()).filter((p) => p !== ''))).refine(areProxies, 'must be addresses or ranges such as 10.0.0.0/8, with commas between'),
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
  POSTERN_TRANSIT_MOUNT: mount('transit'),
  POSTERN_TRANSIT_KEY: mount('postern'),
  POSTERN_AUTH0_ISSUER: secureIssuer.optional(),
  POSTERN_AUTH0_BINDING: z.enum(['organization', 'action']).default('action'),
  POSTERN_AUTH0_TIMEOUT: seconds(5, 0.1, 60),
  POSTERN_TENANT_CLAIM: z.string().regex(/^https?:\/\/\S+$/, 'must be a URI, as Auth0 demands of custom claims').default('https://postern.dev/tenant'),
  POSTERN_VERIFY_TTL: seconds(30, 0, 30),
  POSTERN_MIN_REMAINING: seconds(60, 0, 3600),
  POSTERN_JWKS_MAX_AGE: seconds(300, 1, 86_400),
  POSTERN_CACHE_CREDENTIALS: count(100_000, 1, 10_000_000),
  POSTERN_CACHE_TOKENS: count(100_000, 1, 10_000_000),
  POSTERN_THROTTLE_CLIENT: count(10, 1, 1_000_000),
  POSTERN_THROTTLE_ADDRESS: count(100, 1, 1_000_000),
  POSTERN_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  POSTERN_AUDIT_FILE: z.string().optional(),
});

type Settings = z.infer<typeof schema>;

export interface Config extends Omit<Settings, 'POSTERN_SECRET_ID' | 'POSTERN_SECRET_ID_FILE' | 'POSTERN_WRAPPED_SECRET_ID' | 'POSTERN_WRAPPED_SECRET_ID_FILE' | 'POSTERN_TLS_CERT_FILE' | 'POSTERN_TLS_KEY_FILE'> {
  readonly host: string;
  readonly port: number;
  readonly secretId: Readonly<{ value: string; wrapped: boolean }>;
  readonly tls: Readonly<{ cert: string; key: string }> | undefined;
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
  const set = Object.fromEntries(Object.entries(env).filter(([name, value]) => value !== undefined && value !== '' && name in schema.shape));
  const parsed = schema.safeParse(set);
  if (!parsed.success) for (const issue of parsed.error.issues) faults.push(`${String(issue.path[0])} ${set[String(issue.path[0])] === undefined ? 'is missing' : issue.message}`);
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
  if (given.length !== 1) faults.push(`exactly one of ${SECRET_IDS.join(', ')} must be set${given.length > 1 ? `, not ${given.join(' and ')}` : ''}`);
  const from = given[0];
  const secretId = { value: from === undefined ? '' : (from.endsWith('_FILE') ? file(from) : set[from]!).trim(), wrapped: from?.includes('WRAPPED') ?? false };
  if (from !== undefined && secretId.value === '' && !faults.some((f) => f.startsWith(from))) faults.push(`${from} is empty`);

  const certFile = set['POSTERN_TLS_CERT_FILE'];
  const keyFile = set['POSTERN_TLS_KEY_FILE'];
  if ((certFile === undefined) !== (keyFile === undefined)) faults.push('POSTERN_TLS_CERT_FILE and POSTERN_TLS_KEY_FILE must be set together');
  const tls = certFile !== undefined && keyFile !== undefined ? { cert: file('POSTERN_TLS_CERT_FILE'), key: file('POSTERN_TLS_KEY_FILE') } : undefined;

  if (faults.length > 0 || !parsed.success) {
    throw new PosternError('misconfigured', `The configuration has ${faults.length} fault${faults.length === 1 ? '' : 's'}:\n${faults.map((f) => `  ${f}`).join('\n')}`);
  }
  const listen = parsed.data.POSTERN_LISTEN;
  const colon = listen.lastIndexOf(':');
  return Object.freeze({
    ...parsed.data,
    host: listen.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(listen.slice(colon + 1)),
    secretId: Object.freeze(secretId),
    tls,
    unknown: Object.freeze(Object.keys(env).filter((name) => name.startsWith('POSTERN_') && !(name in schema.shape))),
  });
}
