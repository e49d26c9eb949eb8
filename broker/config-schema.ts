import { z } from 'zod';
import { ERROR_DIALECTS } from './error.ts';
import { address, count, flag, hostAndPort, hostNames, issuer, mount, optionalCount, proxy, seconds } from './setting.ts';
import { SOURCES } from './sources.ts';
import { limitsStoreOf } from './limits-store.ts';
import { syslogTarget } from './syslog-target.ts';
import { areProxies } from './trusted-proxies.ts';
import { VAULT_AUTHS } from './vault-auth.ts';

type Both<Union> = (Union extends unknown ? (one: Union) => void : never) extends (all: infer All) => void ? All : never;
type SourceSettings = Both<(typeof SOURCES)[number]['settings']>;

/** The settings of every source. */
function sourceSettings(): SourceSettings {
  return Object.assign({}, ...SOURCES.map(({ settings }) => settings)) as SourceSettings;
}

/** Environment variable -> what it holds; each token source adds its own. */
export const schema = z.object({
  ...sourceSettings(),
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
  POSTERN_TRUSTED_PROXIES_FILE: z.string().optional(),
  POSTERN_FORWARD_CLIENT_ADDRESS: flag,
  POSTERN_ERROR_DIALECT: z.enum(ERROR_DIALECTS).default(ERROR_DIALECTS[0]),
  POSTERN_MAX_CONNECTIONS: count(10_000, 1, 1_000_000),
  POSTERN_MAX_CONNECTIONS_PER_ADDRESS: optionalCount(1, 1_000_000),
  /** How long requests may go on having to wait for their turn; 0: nothing waits, and nothing is shed. */
  POSTERN_SHED_AFTER: seconds(1, 0, 60),
  POSTERN_SHUTDOWN_GRACE: seconds(10, 0, 600),
  POSTERN_LAME_DUCK: seconds(5, 0, 600),
  VAULT_ADDR: address.transform((v) => v.replace(/\/+$/, '')),
  VAULT_NAMESPACE: z.string().optional(),
  VAULT_CACERT: z.string().optional(),
  POSTERN_VAULT_PROXY: proxy.optional(),
  POSTERN_VAULT_TIMEOUT: seconds(2, 0.1, 60),
  /** How the broker logs in to Vault itself. */
  POSTERN_VAULT_AUTH: z.enum(VAULT_AUTHS).default('approle'),
  POSTERN_VAULT_AUTH_GRACE: seconds(300, 0, 86_400),
  POSTERN_VAULT_TOKEN_FILE: z.string().optional(),
  POSTERN_BROKER_ROLE: z
    .string()
    .regex(/^[A-Za-z0-9]([\w.-]{0,126}[A-Za-z0-9])?$/, 'must be the name of a role in Vault')
    .default('broker'),
  POSTERN_BROKER_JWT_FILE: z.string().optional(),
  POSTERN_BROKER_KUBERNETES_MOUNT: mount('brokerKubernetes'),
  POSTERN_BROKER_JWT_MOUNT: mount('brokerJwt'),
  POSTERN_ROLE_ID: z.string().optional(),
  POSTERN_SECRET_ID: z.string().optional(),
  POSTERN_SECRET_ID_FILE: z.string().optional(),
  POSTERN_WRAPPED_SECRET_ID: z.string().optional(),
  POSTERN_WRAPPED_SECRET_ID_FILE: z.string().optional(),
  POSTERN_APPROLE_MOUNT: mount('approle'),
  POSTERN_BROKER_APPROLE_MOUNT: mount('brokerApprole'),
  POSTERN_KV_MOUNT: mount('kv'),
  POSTERN_TOKENS_MOUNT: mount('tokens'),
  POSTERN_ASSERTION_MOUNT: mount('assertion'),
  POSTERN_REPLAY_MOUNT: mount('replay'),
  POSTERN_TRUST_MOUNT: mount('trust'),
  /** Hosts of trusted issuers that may lie at private addresses. */
  POSTERN_TRUST_PRIVATE_HOSTS: hostNames,
  /** Where replicas share tokens: KV v2, or the secrets plugin, which managed Vault offers refuse. */
  POSTERN_TOKEN_STORE: z.enum(['kv', 'plugin']).default('kv'),
  POSTERN_PLUGIN_MOUNT: mount('plugin'),
  POSTERN_TENANT_CLAIM: z
    .string()
    .regex(/^https?:\/\/\S+$/, 'must be a URI, as Auth0 demands of custom claims')
    .default('https://postern.dev/tenant'),
  POSTERN_VERIFY_TTL: seconds(30, 0, 30),
  POSTERN_OUTAGE_GRACE: seconds(3600, 0, 86_400),
  POSTERN_MIN_REMAINING: seconds(60, 0, 3600),
  POSTERN_JWKS_MAX_AGE: seconds(300, 1, 86_400),
  POSTERN_CACHE_CREDENTIALS: count(100_000, 1, 10_000_000),
  POSTERN_CACHE_TOKENS: count(100_000, 1, 10_000_000),
  /** Tokens that Auth0 lets the shared application have in a month. */
  POSTERN_QUOTA_MONTHLY: optionalCount(1, 1_000_000_000),
  /** Of them, those of a tenant that has no cap of its own. */
  POSTERN_QUOTA_TENANT: optionalCount(1, 1_000_000_000),
  POSTERN_USAGE_INTERVAL: seconds(300, 1, 86_400),
  POSTERN_THROTTLE_CLIENT: count(10, 1, 1_000_000),
  POSTERN_THROTTLE_ADDRESS: count(100, 1, 1_000_000),
  POSTERN_METRICS_LISTEN: hostAndPort.optional(),
  POSTERN_METRICS_TENANTS: count(0, 0, 1_000),
  POSTERN_ADMIN_LISTEN: hostAndPort.optional(),
  POSTERN_ADMIN_TLS_CERT_FILE: z.string().optional(),
  POSTERN_ADMIN_TLS_KEY_FILE: z.string().optional(),
  POSTERN_ADMIN_BEHIND_TLS_PROXY: flag,
  POSTERN_ADMIN_AUDIENCE: z
    .string()
    .regex(/^\S{1,600}$/, 'must be the identifier of an Auth0 API, without spaces')
    .optional(),
  /** Of the Auth0 application that stands for the operators' console, which the admin listener then serves. */
  POSTERN_CONSOLE_CLIENT_ID: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,128}$/, 'must be the client ID of an Auth0 application')
    .optional(),
  POSTERN_ADMIN_MOUNT: mount('admin'),
  POSTERN_ADMIN_RATE: count(600, 1, 1_000_000),
  /** Of the Auth0 API that stands for the self-service API. */
  POSTERN_SELF_AUDIENCE: z
    .string()
    .regex(/^\S{1,600}$/, 'must be the identifier of an Auth0 API, without spaces')
    .optional(),
  POSTERN_SELF_MOUNT: mount('self'),
  POSTERN_SELF_RATE: count(60, 1, 1_000_000),
  /** Holds what Auth0's log stream sends as Authorization. */
  POSTERN_LOG_STREAM_SECRET_FILE: z.string().optional(),
  POSTERN_PUBLISH_LEAD: seconds(600, 1, 86_400),
  POSTERN_SCOPE_SETS: count(32, 1, 10_000),
  POSTERN_REVOCATIONS_PER_MINUTE: count(10, 1, 100_000),
  POSTERN_LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  POSTERN_LOG_FILE: z.string().optional(),
  POSTERN_AUDIT_FILE: z.string().optional(),
  POSTERN_AUDIT_SYSLOG: z
    .string()
    .transform((text, context) => {
      const target = syslogTarget(text);
      if (target === undefined) context.addIssue('must be unix:///path, tcp://host:port or tls://host:port');
      return target ?? z.NEVER;
    })
    .optional(),
  /** Counts limits for all brokers together; may hold a password, so it is shown to nobody. */
  POSTERN_LIMITS_STORE: z
    .string()
    .transform((text, context) => {
      const store = limitsStoreOf(text);
      if (store === undefined) context.addIssue('must be redis://host:port or rediss://host:port, with user:password@ before the host');
      return store ?? z.NEVER;
    })
    .optional(),
  POSTERN_LIMITS_STORE_PASSWORD_FILE: z.string().optional(),
  POSTERN_LIMITS_STORE_CA_FILE: z.string().optional(),
  POSTERN_AUDIT_REFUSALS: count(300, 0, 10_000_000),
});

export type Settings = z.infer<typeof schema>;

/** Old name -> the name that it has now. The old one still works, with a warning. */
export const RENAMED: Readonly<Record<string, keyof Settings>> = { TOKEN_STORE: 'POSTERN_TOKEN_STORE' };
