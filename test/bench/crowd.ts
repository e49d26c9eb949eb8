import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'undici';
import { freePort } from '#dev/port.ts';
import { startBrokerProcess } from '#dev/broker.ts';
import { startReaper } from '#tools/process/reaper.ts';
import { startServer } from './child.ts';

export const CROWD_API = 'orders';
export const CROWD_AUDIENCE = 'https://orders.example.com';
export const CROWD_CLAIM = 'https://postern.dev/tenant';
const PREFIX = '7c1b2a90-5d1e-4f3a-9b1c-';

/** A UUID, as a role_id is one. */
export function clientIdOf(tenant: string): string {
  return `${PREFIX}${tenant.replace('crowd-', '').padStart(12, '0')}`;
}

export function tenantOf(clientId: string): string {
  return `crowd-${Number(clientId.slice(PREFIX.length))}`;
}

export function formOf(at: number): Record<string, string> {
  const client_id = clientIdOf(`crowd-${at}`);
  // Nobody's: the stand-in takes any.
  return {
    grant_type: 'client_credentials',
    client_id,
    client_secret: `${client_id.slice(24)}${client_id.slice(0, 24)}`,
    audience: CROWD_AUDIENCE,
  };
}

/** A broker before a stand-in for Vault that knows every `crowd-<n>`. */
export interface Crowd extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
  /** Has each of these tenants ask once. */
  ask(tenants: Iterable<number>): Promise<void>;
}

/** @param flags of Node, for the broker */
export async function startCrowd({ flags = '', env = {} }: { flags?: string; env?: Record<string, string> } = {}): Promise<Crowd> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'postern-crowd-'));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const reaper = startReaper();
  undo.defer(() => reaper.close());
  const auth0Issuer = `http://127.0.0.1:${await freePort()}/`;
  const vault = undo.adopt(await startServer('./crowd-vault.ts', { CROWD_AUTH0: auth0Issuer }, { pinned: false }), (one) => one.stop());
  const secretIdFile = join(folder, 'secret-id');
  await writeFile(secretIdFile, 'bench', { mode: 0o600 });
  const { issuer, child } = await startBrokerProcess({
    vaultAddress: `http://127.0.0.1:${vault.port}`,
    roleId: 'bench',
    wrappedSecretIdFile: '',
    auth0Issuer,
    binding: 'action',
    logFile: join(folder, 'broker.log'),
    logLevel: 'info',
    reaper,
    env: {
      POSTERN_SECRET_ID_FILE: secretIdFile,
      POSTERN_AUDIT_FILE: '/dev/null',
      // All come from one address.
      POSTERN_THROTTLE_ADDRESS: '1000000',
      POSTERN_MAX_CONNECTIONS_PER_ADDRESS: '1000',
      ...(flags === '' ? {} : { NODE_OPTIONS: flags }),
      ...env,
    },
  });
  undo.defer(() => child.stop(10_000));
  const owned = undo.move();
  const path = '/oauth/token';
  return {
    pid: child.pid,
    url: new URL(path, issuer).href,
    async ask(tenants) {
      const pool = new Pool(issuer, { connections: 32 });
      const left = tenants[Symbol.iterator]();
      const worker = async (): Promise<void> => {
        for (let next = left.next(); next.done !== true; next = left.next()) {
          const body = new URLSearchParams(formOf(next.value)).toString();
          const reply = await pool.request({
            method: 'POST',
            path,
            headers: { 'content-type': 'application/x-www-form-urlencoded' },
            body,
          });
          const said = await reply.body.text();
          if (reply.statusCode !== 200) throw new Error(`an exchange was answered ${reply.statusCode}: ${said}`);
        }
      };
      await Promise.all(Array.from({ length: 32 }, worker)).finally(() => pool.close());
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
