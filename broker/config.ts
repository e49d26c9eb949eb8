import { adminFaults, clearTextFaults, isSameFile, portFaults, selfFaults } from './config-faults.ts';
import { RENAMED, schema } from './config-schema.ts';
import type { Settings } from './config-schema.ts';
import { PosternError } from './error.ts';
import type { LimitsStore } from './limits-store.ts';
import { readTraceSettings } from './trace-settings.ts';
import type { TraceSettings } from './trace-settings.ts';
import { attempt, readCertificates, readText, readTlsPair } from './tls-pair.ts';
import type { TlsFiles, TlsPair } from './tls-pair.ts';
import { readProxies } from './trusted-proxies.ts';
import { vaultAuthOf } from './vault-auth.ts';
import type { VaultAuth } from './vault-auth.ts';

/** A certificate with its key as they were at the start, and the files that have them. */
export type Tls = TlsPair & Readonly<{ files: TlsFiles }>;

export interface Config extends Omit<
  Settings,
  | 'POSTERN_VAULT_AUTH'
  | 'POSTERN_VAULT_TOKEN_FILE'
  | 'POSTERN_BROKER_ROLE'
  | 'POSTERN_BROKER_JWT_FILE'
  | 'POSTERN_BROKER_APPROLE_MOUNT'
  | 'POSTERN_BROKER_KUBERNETES_MOUNT'
  | 'POSTERN_BROKER_JWT_MOUNT'
  | 'POSTERN_ROLE_ID'
  | 'POSTERN_SECRET_ID'
  | 'POSTERN_SECRET_ID_FILE'
  | 'POSTERN_WRAPPED_SECRET_ID'
  | 'POSTERN_WRAPPED_SECRET_ID_FILE'
  | 'POSTERN_TLS_CERT_FILE'
  | 'POSTERN_TLS_KEY_FILE'
  | 'POSTERN_ADMIN_TLS_CERT_FILE'
  | 'POSTERN_ADMIN_TLS_KEY_FILE'
  | 'POSTERN_TRUSTED_PROXIES'
  | 'POSTERN_LOG_STREAM_SECRET_FILE'
  | 'POSTERN_LIMITS_STORE'
> {
  readonly host: string;
  readonly port: number;
  /** How it logs in to Vault itself. */
  readonly vaultAuth: VaultAuth;
  readonly tls: Tls | undefined;
  /** What Auth0's log stream shows; undefined: none is taken. */
  readonly logStreamSecret: string | undefined;
  /** Where limits are counted for all brokers together; undefined: each counts for itself. */
  readonly limitsStore: LimitsStore | undefined;
  /** Where metrics are told; undefined: nowhere but on the admin API's listener. */
  readonly metrics: Readonly<{ host: string; port: number }> | undefined;
  /** Where the admin API listens; undefined: nowhere. */
  readonly admin: Readonly<{ host: string; port: number; tls: Tls | undefined }> | undefined;
  /** Addresses and ranges: those of POSTERN_TRUSTED_PROXIES, and of POSTERN_TRUSTED_PROXIES_FILE as it was at the start. */
  readonly trustedProxies: Readonly<{ given: readonly string[]; inFile: readonly string[] }>;
  /** undefined: nothing is traced. */
  readonly traces: TraceSettings | undefined;
  /** POSTERN_ variables that aren't settings, so that a misspelt one is noticed. */
  readonly unknown: readonly string[];
  /** Variables under an old name -> the name that they have now. */
  readonly renamed: Readonly<Record<string, string>>;
}

/**
 * Environment -> frozen {@link Config}. Durations are in seconds. An empty variable counts as unset.
 * @throws {PosternError} misconfigured, naming every fault at once and no value (one might be a secret)
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const faults: string[] = [];
  const { set, renamed } = variablesOf(env, faults);
  const parsed = schema.safeParse(set);
  if (!parsed.success)
    for (const issue of parsed.error.issues)
      faults.push(`${String(issue.path[0])} ${set[String(issue.path[0])] === undefined ? 'is missing' : issue.message}`);
  const { VAULT_CACERT: caFile, POSTERN_TRUSTED_PROXIES_FILE: proxiesFile } = set;
  if (caFile !== undefined) attempt(faults, () => readCertificates('VAULT_CACERT', caFile));
  const inFile = proxiesFile === undefined ? [] : attempt(faults, () => readProxies('POSTERN_TRUSTED_PROXIES_FILE', proxiesFile));
  const { POSTERN_LOG_FILE: logFile, POSTERN_AUDIT_FILE: auditFile } = set;
  if (logFile !== undefined && auditFile !== undefined && isSameFile(logFile, auditFile))
    faults.push('POSTERN_LOG_FILE and POSTERN_AUDIT_FILE must be two files');
  if (set['POSTERN_AUDIT_FILE'] !== undefined && set['POSTERN_AUDIT_SYSLOG'] !== undefined)
    faults.push('POSTERN_AUDIT_FILE and POSTERN_AUDIT_SYSLOG: the audit goes to one of them');
  const limitsStore = limitsStoreOf(set, parsed.data?.POSTERN_LIMITS_STORE, faults);
  const vaultAuth = vaultAuthOf(set, parsed.data, faults);

  const tlsOf = (certFile: string, keyFile: string): Tls | undefined => {
    if ((set[certFile] === undefined) !== (set[keyFile] === undefined)) faults.push(`${certFile} and ${keyFile} must be set together`);
    if (set[certFile] === undefined || set[keyFile] === undefined) return undefined;
    const files = { cert: { setting: certFile, path: set[certFile] }, key: { setting: keyFile, path: set[keyFile] } };
    return attempt(faults, () => Object.freeze({ ...readTlsPair(files), files }));
  };
  // A certificate that can't be read is told as such, and not as one that is missing.
  const given = (name: string): object | undefined => (set[name] === undefined ? undefined : {});
  const tls = tlsOf('POSTERN_TLS_CERT_FILE', 'POSTERN_TLS_KEY_FILE');
  const adminTls = tlsOf('POSTERN_ADMIN_TLS_CERT_FILE', 'POSTERN_ADMIN_TLS_KEY_FILE');
  const logStreamSecret = logStreamSecretOf(set['POSTERN_LOG_STREAM_SECRET_FILE'], faults);
  const traces = readTraceSettings(env, faults);
  if (parsed.success) faults.push(...portFaults(parsed.data), ...selfFaults(parsed.data));
  if (parsed.success) faults.push(...clearTextFaults(parsed.data, tls ?? given('POSTERN_TLS_CERT_FILE')));
  const adminListen = parsed.success ? parsed.data.POSTERN_ADMIN_LISTEN : undefined;
  if (parsed.success && adminListen !== undefined)
    faults.push(...adminFaults(parsed.data, adminTls ?? given('POSTERN_ADMIN_TLS_CERT_FILE')));
  else if (set['POSTERN_CONSOLE_CLIENT_ID'] !== undefined && set['POSTERN_ADMIN_LISTEN'] === undefined)
    faults.push('POSTERN_CONSOLE_CLIENT_ID needs POSTERN_ADMIN_LISTEN, which serves the console');

  if (faults.length > 0 || !parsed.success || vaultAuth === undefined) {
    throw new PosternError(
      'misconfigured',
      `The configuration has ${faults.length} fault${faults.length === 1 ? '' : 's'}:\n${faults.map((f) => `  ${f}`).join('\n')}`,
    );
  }
  const { POSTERN_TRUSTED_PROXIES: proxies, POSTERN_LIMITS_STORE: _store, ...settings } = parsed.data;
  return Object.freeze({
    ...settings,
    ...addressOf(parsed.data.POSTERN_LISTEN),
    metrics: parsed.data.POSTERN_METRICS_LISTEN === undefined ? undefined : addressOf(parsed.data.POSTERN_METRICS_LISTEN),
    admin: adminListen === undefined ? undefined : Object.freeze({ ...addressOf(adminListen), tls: adminTls }),
    logStreamSecret,
    limitsStore,
    vaultAuth,
    traces,
    trustedProxies: Object.freeze({ given: proxies, inFile: inFile ?? [] }),
    tls,
    renamed: Object.freeze(renamed),
    unknown: Object.freeze(
      Object.keys(env).filter((name) => name.startsWith('POSTERN_') && !(name in schema.shape) && !isOthers(name, env)),
    ),
  });
}

/** What Postern's other programs read, which may share a shell or a container with this one. */
const OF_OTHER_PROGRAMS = /^POSTERN_(URL|CLIENT_ID|CLIENT_SECRET|AUDIENCE|SCOPE|DEBUG|(OIDC|USERPASS)_MOUNT)$/;
/** What Kubernetes tells each pod of a Service whose name begins with `postern` ("Environment variables" of its page on Services). */
const OF_A_SERVICE = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;

/** Whether a variable that isn't the broker's is somebody's all the same, and so not misspelt. */
function isOthers(name: string, env: Readonly<Record<string, string | undefined>>): boolean {
  return OF_OTHER_PROGRAMS.test(name) || (env['KUBERNETES_SERVICE_HOST'] !== undefined && OF_A_SERVICE.test(name));
}

/** The store with what its files hold. */
function limitsStoreOf(
  {
    POSTERN_LIMITS_STORE: given,
    POSTERN_LIMITS_STORE_PASSWORD_FILE: passwordFile,
    POSTERN_LIMITS_STORE_CA_FILE: caFile,
  }: Readonly<Record<string, string | undefined>>,
  store: LimitsStore | undefined,
  faults: string[],
): LimitsStore | undefined {
  for (const [name, file] of Object.entries({ PASSWORD_FILE: passwordFile, CA_FILE: caFile }))
    if (file !== undefined && given === undefined) faults.push(`POSTERN_LIMITS_STORE_${name} needs POSTERN_LIMITS_STORE`);
  if (store === undefined) return undefined;
  const text = passwordFile === undefined ? undefined : attempt(faults, () => readText('POSTERN_LIMITS_STORE_PASSWORD_FILE', passwordFile));
  const password = text?.replace(/\r?\n$/, '');
  if (password === '') faults.push('POSTERN_LIMITS_STORE_PASSWORD_FILE holds no password');
  if (password !== undefined && store.password !== undefined)
    faults.push('POSTERN_LIMITS_STORE has a password, and POSTERN_LIMITS_STORE_PASSWORD_FILE another: leave one out');
  if (caFile !== undefined && store.tls === undefined)
    faults.push('POSTERN_LIMITS_STORE_CA_FILE is for rediss://, and POSTERN_LIMITS_STORE is redis://');
  const ca = caFile === undefined ? undefined : attempt(faults, () => readCertificates('POSTERN_LIMITS_STORE_CA_FILE', caFile));
  return Object.freeze({ ...store, password: password ?? store.password, tls: store.tls && { ca } });
}

/** @returns undefined where there is none, or a fault was added */
function logStreamSecretOf(path: string | undefined, faults: string[]): string | undefined {
  if (path === undefined) return undefined;
  const setting = 'POSTERN_LOG_STREAM_SECRET_FILE';
  const secret = attempt(faults, () => readText(setting, path).trim());
  if (secret === undefined || /^[\x21-\x7e]{32,256}$/.test(secret)) return secret;
  faults.push(`${setting} holds no secret of 32 to 256 visible ASCII characters: openssl rand -hex 32`);
  return undefined;
}

/** The variables that are set and known, old names as new ones. */
function variablesOf(
  env: Readonly<Record<string, string | undefined>>,
  faults: string[],
): { set: Record<string, string>; renamed: Record<string, string> } {
  const set: Record<string, string> = {};
  const renamed: Record<string, string> = {};
  for (const name of Object.keys(schema.shape)) if (env[name]) set[name] = env[name];
  for (const [old, name] of Object.entries(RENAMED)) {
    const value = env[old];
    if (!value) continue;
    renamed[old] = name;
    if (set[name] !== undefined && set[name] !== value) faults.push(`${old} is the old name of ${name}, and the two differ: unset ${old}`);
    set[name] ??= value;
  }
  return { set, renamed };
}

function addressOf(listen: string): { host: string; port: number } {
  const colon = listen.lastIndexOf(':');
  return { host: listen.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(listen.slice(colon + 1)) };
}
