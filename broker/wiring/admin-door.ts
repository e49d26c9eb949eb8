import { AdminServer } from '#broker/admin/admin-server.ts';
import type { AdminServerOptions } from '#broker/admin/admin-server.ts';
import { BearerVerifier } from '#broker/admin/bearer.ts';
import { Callers } from '#broker/admin/caller.ts';
import type { AuditLog } from '#broker/audit/exchange-event.ts';
import type { Config } from '#broker/config.ts';
import type { Exposition } from '#broker/metrics/exposition.ts';
import type { Logger } from '#broker/log.ts';
import { mountsFrom } from '#broker/mounts.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { OperatorLogin } from '#broker/vault/operator-login.ts';
import { levelOf } from './level.ts';
import { LIST_PATIENCE, vaultClient } from './vault.ts';
import type { TrustedProxies } from '#broker/trusted-proxies.ts';
import { version } from '#broker/version.ts';

/** Most sockets to Vault. They are apart from the customers', so that many operators keep no customer waiting. */
const CONNECTIONS = 16;

export interface AdminDoor extends Pick<AdminServer, 'useTls' | 'leave'> {
  /** @returns the port */
  listen(): Promise<number>;
  close(): Promise<void>;
  /** See {@link VaultClient.trust}. */
  trustVault(pem: string): void;
}

/** The admin API on a listener of its own; undefined where it is off. */
export function adminDoor(
  config: Config,
  log: Logger,
  audit: AuditLog,
  trustedProxies: TrustedProxies,
  hasEnded: (keyId: string) => boolean,
  exposed?: Exposition,
): AdminDoor | undefined {
  const { admin } = config;
  if (admin === undefined) return undefined;
  const client = vaultClient(config, { connections: CONNECTIONS, listTimeoutMs: LIST_PATIENCE });
  const settings: Readonly<Record<string, unknown>> = { ...config };
  const mounts = mountsFrom((variable) => settings[variable]);
  const bearer = bearerVerifier(config);
  const server = new AdminServer({
    callers: new Callers({
      bearer,
      login: new OperatorLogin({ client, mount: config.POSTERN_ADMIN_MOUNT }),
      accessOf: (token) => new VaultAccess({ client, token, mounts, hasEnded }),
    }),
    audit,
    version,
    metrics: exposed,
    tls: admin.tls,
    trustedProxies,
    onUnreadableProxy: (address) =>
      log.warn({ address }, 'the X-Forwarded-For of this trusted proxy names no address: all behind it count as the proxy itself'),
    console: consoleOf(config),
    rate: config.POSTERN_ADMIN_RATE,
    // A refusal by Vault may be a fault in the set-up; the rest is the caller's mistake, and told to the caller.
    onError: (err, request) =>
      log[request.status >= 500 ? levelOf(err) : request.problem === 'access-denied' ? 'warn' : 'debug'](
        { err, ...request },
        'a request to the admin API ended with an error',
      ),
  });
  return {
    async listen() {
      const port = await server.listen(admin.host, admin.port);
      const takes = bearer === undefined ? 'Vault tokens' : 'Auth0 JWTs and Vault tokens';
      log.info({ host: admin.host, port, takes }, 'the admin API listens');
      return port;
    },
    useTls: (pair) => server.useTls(pair),
    leave: (ms) => server.leave(ms),
    trustVault: (pem) => client.trust(pem),
    async close() {
      await server.close(config.POSTERN_SHUTDOWN_GRACE * 1000);
      await client.close();
    },
  };
}

function consoleOf(config: Config): AdminServerOptions['console'] {
  const { POSTERN_CONSOLE_CLIENT_ID: clientId, POSTERN_ADMIN_AUDIENCE: audience, POSTERN_AUTH0_ISSUER: issuer } = config;
  return clientId === undefined || audience === undefined || issuer === undefined ? undefined : { issuer, clientId, audience };
}

/** undefined where the settings don't name an API for the JWTs of back ends. */
function bearerVerifier(config: Config): BearerVerifier | undefined {
  const { POSTERN_ADMIN_AUDIENCE: audience, POSTERN_AUTH0_ISSUER: issuer, POSTERN_AUTH0_TIMEOUT: timeout } = config;
  return audience === undefined || issuer === undefined ? undefined : new BearerVerifier({ issuer, audience, timeoutMs: timeout * 1000 });
}
