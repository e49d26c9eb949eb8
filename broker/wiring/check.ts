import { once } from 'node:events';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import type { Config } from '#broker/config.ts';
import { PosternError } from '#broker/error.ts';
import type { Finding } from '#broker/finding.ts';
import { outOfTime } from '#broker/tls-pair.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { ownLogin } from '#broker/vault/own/own-login.ts';
import { openAudit } from './open-destination.ts';
import { vaultClient } from './vault.ts';

/**
 * What a broker with this configuration would meet at its start: files, ports, certificates, Vault and the broker's own login. Nothing is
 * used up: a wrapping token is not opened, and a token that a login gave is given back.
 */
export async function checkStart(config: Config): Promise<Finding[]> {
  return [
    { what: 'configuration', state: 'ok', detail: `${config.POSTERN_ISSUER}, Vault at ${config.VAULT_ADDR}` },
    ...config.unknown.map((name): Finding => ({ what: name, state: 'fault', detail: 'is no setting of the broker: is it misspelt?' })),
    auditFile(config),
    await port('POSTERN_LISTEN', config),
    ...(config.admin === undefined ? [] : [await port('POSTERN_ADMIN_LISTEN', config.admin)]),
    ...certificates(config),
    await login(config),
  ];
}

function auditFile(config: Config): Finding {
  const what = 'audit';
  const file = config.POSTERN_AUDIT_FILE;
  if (file === undefined) return { what, state: 'ok', detail: 'goes to stdout' };
  try {
    // The account that looks may be another than the broker's: a file of root's would keep that from starting.
    if (existsSync(file)) openAudit(config).flushSync();
    else accessSync(nearestFolder(file), constants.W_OK | constants.X_OK);
    return { what, state: 'ok', detail: `${file} can be appended to` };
  } catch (error) {
    const detail =
      error instanceof PosternError ? error.message : `POSTERN_AUDIT_FILE cannot be opened (${(error as NodeJS.ErrnoException).code})`;
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

async function port(what: string, { host, port: number }: { readonly host: string; readonly port: number }): Promise<Finding> {
  const server = createServer();
  try {
    server.listen({ host, port: number });
    await once(server, 'listening');
    return { what, state: 'ok', detail: `${host}:${number} is free` };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { what, state: 'fault', detail: `nobody can listen at ${host}:${number} (${code}); a broker that runs has its port` };
  } finally {
    server.close();
  }
}

function certificates({ tls, admin }: Config): Finding[] {
  return [tls, admin?.tls].flatMap((one): Finding[] => {
    if (one === undefined) return [];
    const why = outOfTime(one.cert, Date.now());
    const what = one.files.cert.setting;
    return [why === undefined ? { what, state: 'ok', detail: 'fits its key' } : { what, state: 'fault', detail: `the certificate ${why}` }];
  });
}

async function login(config: Config): Promise<Finding> {
  const what = 'login to Vault';
  const { vaultAuth } = config;
  const client = vaultClient(config, { connections: 1 });
  try {
    const { initialized, sealed } = await client.health();
    if (!initialized || sealed) return { what, state: 'unknown', detail: `Vault is ${initialized ? 'sealed' : 'not initialized'}` };
    if (vaultAuth.method === 'approle' && vaultAuth.secretId.wrapped)
      return { what, state: 'ok', detail: 'Vault answers; not tried, since a wrapping token can be opened once only' };
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
