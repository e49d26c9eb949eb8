import { once } from 'node:events';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { get as getOverTls } from 'node:https';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import type { Config } from '#broker/config.ts';
import type { LineSink } from '#broker/batched-lines.ts';
import { PosternError } from '#broker/error.ts';
import type { Finding } from '#broker/finding.ts';
import { SyslogDestination } from '#broker/syslog.ts';
import type { SyslogTarget } from '#broker/syslog-target.ts';
import { outOfTime } from '#broker/tls-pair.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import { isRefusal } from '#broker/vault/own/login.ts';
import { ownLogin } from '#broker/vault/own/own-login.ts';
import { openAudit, openLog } from './open-destination.ts';
import { vaultClient } from './vault.ts';

/** How long something that has our port is waited for, ms, and what is read of its answer, characters. */
const ASK_MS = 2_000;
const MAX_DOCUMENT = 1_000_000;

export interface CheckOptions {
  /** Log in by AppRole, too, which spends one use of a secret_id whose uses are limited. */
  readonly login?: boolean | undefined;
}

/**
 * What a broker with this configuration would meet at its start: files, ports, certificates, Vault and the broker's own login. Nothing is
 * used up unless `login` allows it: no wrapping token is opened, no use of a secret_id spent, and a token that a login gave is given back.
 */
export async function checkStart(config: Config, options: CheckOptions = {}): Promise<Finding[]> {
  return [
    { what: 'configuration', state: 'ok', detail: `${config.POSTERN_ISSUER}, Vault at ${config.VAULT_ADDR}` },
    ...config.unknown.map((name): Finding => ({ what: name, state: 'fault', detail: 'is no setting of the broker: is it misspelt?' })),
    ...(config.POSTERN_AUDIT_SYSLOG === undefined
      ? [outputFile('audit', 'stdout', config.POSTERN_AUDIT_FILE, () => openAudit(config))]
      : [await receiver(config.POSTERN_AUDIT_SYSLOG)]),
    outputFile('log', 'stderr', config.POSTERN_LOG_FILE, () => openLog(config)),
    await port('POSTERN_LISTEN', config),
    ...(config.admin === undefined ? [] : [await port('POSTERN_ADMIN_LISTEN', config.admin)]),
    ...(config.metrics === undefined ? [] : [await port('POSTERN_METRICS_LISTEN', { ...config.metrics, tls: undefined })]),
    ...(config.traces === undefined ? [] : [await traceReceiver(config.traces.endpoint)]),
    ...certificates(config),
    await login(config, options),
  ];
}

/** Whether a syslog receiver takes connections; without one a broker starts all the same. */
async function receiver(target: SyslogTarget): Promise<Finding> {
  const ended = Promise.withResolvers<unknown>();
  const syslog = new SyslogDestination(target, { onError: ended.resolve, onConnect: () => ended.resolve(undefined) });
  const patience = setTimeout(() => ended.resolve(new Error('nobody answers')), ASK_MS);
  const error = await ended.promise;
  clearTimeout(patience);
  syslog.flushSync();
  const what = 'audit';
  if (error === undefined) return { what, state: 'ok', detail: `${target.name} takes connections` };
  const { code = (error as Error).message } = error as NodeJS.ErrnoException;
  return { what, state: 'unknown', detail: `${target.name} can't be reached now (${code}); lines would be held back` };
}

/** Whether anything takes connections where traces go; without it a broker starts all the same. */
async function traceReceiver(endpoint: string): Promise<Finding> {
  const what = 'traces';
  try {
    await fetch(endpoint, { method: 'HEAD', redirect: 'manual', signal: AbortSignal.timeout(ASK_MS) });
    return { what, state: 'ok', detail: `${endpoint} answers` };
  } catch {
    return { what, state: 'unknown', detail: `${endpoint} can't be reached now; traces would be dropped` };
  }
}

function outputFile(what: string, otherwise: string, file: string | undefined, open: () => LineSink): Finding {
  if (file === undefined) return { what, state: 'ok', detail: `goes to ${otherwise}` };
  try {
    // The account that looks may be another than the broker's: a file of root's would keep that from starting.
    if (existsSync(file)) open().flushSync();
    else accessSync(nearestFolder(file), constants.W_OK | constants.X_OK);
    return { what, state: 'ok', detail: `${file} can be appended to` };
  } catch (error) {
    const detail = error instanceof PosternError ? error.message : `${file} cannot be made (${(error as NodeJS.ErrnoException).code})`;
    return { what, state: 'fault', detail };
  }
}

/** The folder that the file, and what is missing between them, would be made in. */
function nearestFolder(file: string): string {
  let folder = dirname(file);
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  if (!statSync(folder).isDirectory()) throw Object.assign(new Error('not a directory'), { code: 'ENOTDIR' });
  return folder;
}

async function port(what: string, { host, port: number, tls }: Door): Promise<Finding> {
  const server = createServer();
  try {
    server.listen({ host, port: number });
    await once(server, 'listening');
    return { what, state: 'ok', detail: `${host}:${number} is free` };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE') return { what, state: 'fault', detail: `nobody can listen at ${host}:${number} (${code})` };
    // The broker that this configuration is for, most likely, which has its port until it is stopped.
    return (await isPostern({ host, port: number, tls }))
      ? { what, state: 'ok', detail: `${host}:${number} is in use, by a broker that runs` }
      : { what, state: 'fault', detail: `${host}:${number} is in use, by something other than a broker` };
  } finally {
    server.close();
  }
}

type Door = Pick<Config, 'host' | 'port' | 'tls'>;

/** Whether a broker answers there: by its own document, which both doors have. */
async function isPostern({ host, port, tls }: Door): Promise<boolean> {
  const to = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  const settings = { host: to, port, path: '/openapi.json', agent: false, timeout: ASK_MS, signal: AbortSignal.timeout(ASK_MS) };
  return new Promise((resolve) => {
    const read = (response: IncomingMessage): void => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > MAX_DOCUMENT) response.destroy();
      });
      response.on('close', () => resolve(/"title":"Postern/.test(text)));
    };
    // Nothing is sent that has to be kept secret, and nothing is believed but that this is a broker.
    const request = tls === undefined ? get(settings, read) : getOverTls({ ...settings, rejectUnauthorized: false }, read);
    request.on('error', () => resolve(false));
  });
}

function certificates({ tls, admin }: Config): Finding[] {
  return [tls, admin?.tls].flatMap((one): Finding[] => {
    if (one === undefined) return [];
    const why = outOfTime(one.cert, Date.now());
    const what = one.files.cert.setting;
    return [why === undefined ? { what, state: 'ok', detail: 'fits its key' } : { what, state: 'fault', detail: `the certificate ${why}` }];
  });
}

async function login(config: Config, options: CheckOptions): Promise<Finding> {
  const what = 'login to Vault';
  const { vaultAuth } = config;
  const client = vaultClient(config, { connections: 1 });
  try {
    const { initialized, sealed } = await client.health();
    if (!initialized || sealed) return { what, state: 'unknown', detail: `Vault is ${initialized ? 'sealed' : 'not initialized'}` };
    if (vaultAuth.method === 'approle') {
      const { secretId, mount } = vaultAuth;
      if (secretId.wrapped) return { what, ...(await lookAtWrapping(client, mount, secretId)) };
      if (options.login !== true)
        return { what, state: 'ok', detail: 'Vault answers; the secret_id is not tried, since a login may be its last: --login does' };
    }
    const own = ownLogin(client, vaultAuth);
    const { token, ttl } = await own.login();
    if (own.ownsToken) await client.write('auth/token/revoke-self', {}, { token }).catch(() => {});
    return { what, state: 'ok', detail: `by ${vaultAuth.method}; the token lives ${ttl} s` };
  } catch (error) {
    const away = error instanceof VaultFault && error.transient;
    const detail =
      error instanceof PosternError
        ? [error.message, error.detail].filter(Boolean).join('. ')
        : error instanceof VaultFault
          ? error.message
          : 'it failed';
    return { what, state: away ? 'unknown' : 'fault', detail };
  } finally {
    await client.close();
  }
}

type SecretId = Extract<Config['vaultAuth'], { method: 'approle' }>['secretId'];

/**
 * Looks at a wrapping token without opening it.
 * @throws {VaultFault} Vault can't be asked. @throws {PosternError} misconfigured: its file
 */
async function lookAtWrapping(client: VaultClient, mount: string, { from, variable }: SecretId): Promise<Omit<Finding, 'what'>> {
  const token = typeof from === 'string' ? from : from.read();
  try {
    const { data } = await client.write('sys/wrapping/lookup', { token });
    const path = data?.['creation_path'];
    if (typeof path === 'string' && path.startsWith(`auth/${mount}/role/`) && path.endsWith('/secret-id'))
      return { state: 'ok', detail: 'Vault answers, and the wrapping token is good and unopened' };
    return { state: 'fault', detail: `${variable} holds a wrapping token, but not of a secret_id from auth/${mount}` };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return { state: 'fault', detail: `${variable}: the wrapping token was opened before, or has ended; a start needs a new one` };
  }
}
