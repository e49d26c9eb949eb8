import { BearerVerifier } from '#broker/admin/bearer.ts';
import type { AuditLog } from '#broker/audit/exchange-event.ts';
import { BoundedMap } from '#broker/bounded-map.ts';
import { departuresOf } from '#broker/self/log-events.ts';
import type { Config } from '#broker/config.ts';
import type { Endings } from '#broker/credential/endings.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import type { Route } from '#broker/http/route.ts';
import { ofNode } from '#broker/http/route.ts';
import type { Logger } from '#broker/log.ts';
import { mountsFrom } from '#broker/mounts.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { announceDepartures, ownAnnouncer } from '#broker/operator/departure.ts';
import { readLastUse } from '#broker/operator/last-use.ts';
import type { StoredSecretId } from '#broker/operator/secret/secret-id.ts';
import { People } from '#broker/self/caller.ts';
import { LogStream } from '#broker/self/log-stream.ts';
import { SelfServer } from '#broker/self/self-server.ts';
import { OperatorLogin } from '#broker/vault/operator-login.ts';
import { version } from '#broker/version.ts';
import { levelOf } from './level.ts';
import { LIST_PATIENCE, vaultClient } from './vault.ts';
import type { ConnectedVault } from './vault.ts';

/** Most sockets to Vault. They are apart from the customers' workloads, so that many people keep none of those waiting. */
const CONNECTIONS = 16;

export interface SelfDoor {
  readonly route: Route;
  ready(): Promise<void>;
  /** Vault's certificate is from one of these from now on. @param pem of authorities */
  trustVault(pem: string): void;
  close(): Promise<void>;
}

export interface SelfDoorOptions {
  readonly audit: AuditLog;
  readonly departures: Endings;
  /** Whether the end of this key was announced. */
  readonly hasEnded: (keyId: string) => boolean;
  readonly isDisabled: (tenant: string) => boolean;
}

/** What people do themselves, below `/self/` of the customers' listener; undefined where neither it nor the log stream is set up. */
export function selfDoor(
  config: Config,
  log: Logger,
  { client: vault, session, clock }: ConnectedVault,
  { audit, departures, hasEnded, isDisabled }: SelfDoorOptions,
): SelfDoor | undefined {
  const { POSTERN_SELF_AUDIENCE: audience, POSTERN_AUTH0_ISSUER: issuer, logStreamSecret } = config;
  if ((audience === undefined || issuer === undefined) && logStreamSecret === undefined) return undefined;
  const client = vaultClient(config, { connections: CONNECTIONS, listTimeoutMs: LIST_PATIENCE });
  const settings: Readonly<Record<string, unknown>> = { ...config };
  const mounts = mountsFrom((variable) => settings[variable]);
  /** With the broker's own token; one that has died is noticed and replaced. */
  const asBroker = async <T>(work: (access: VaultAccess) => Promise<T>): Promise<T> => {
    const attempt = () => session.use((token) => work(new VaultAccess({ client, token: new VaultToken(token), mounts })));
    return attempt().catch(async (error: unknown) => {
      if (!(error instanceof PosternError && error.code === 'access_denied')) throw error;
      await session.use((token) => client.read('auth/token/lookup-self', { token }));
      return attempt();
    });
  };
  const announcer = ownAnnouncer(asBroker, () => vault.clock.theirs);
  // Many people of one organization list many keys. That these are there, and that this person may see them, Vault says each time.
  const secretIds = new BoundedMap<string, StoredSecretId>(50_000);
  const server = new SelfServer({
    people:
      audience === undefined || issuer === undefined
        ? undefined
        : new People({
            bearer: new BearerVerifier({
              ...clock,
              now: () => vault.clock.latest,
              issuer,
              audience,
              timeoutMs: config.POSTERN_AUTH0_TIMEOUT * 1000,
            }),
            login: new OperatorLogin({ client, mount: config.POSTERN_SELF_MOUNT }),
            accessOf: (token) => new VaultAccess({ client, token, mounts, announcer, hasEnded, secretIds }),
            isDisabled,
            departed: departures,
          }),
    logStream:
      logStreamSecret === undefined
        ? undefined
        : new LogStream({
            secret: logStreamSecret,
            departuresOf,
            now: () => vault.clock.theirs,
            announce: (those) => asBroker((access) => announceDepartures(access, departures, those, vault.clock.theirs)),
          }),
    audit,
    version,
    lastUse: (keyIds) => asBroker((access) => readLastUse(access, 'key', keyIds)).catch(() => new Map<string, string>()),
    rate: config.POSTERN_SELF_RATE,
    onError: (err, request) =>
      log[request.status >= 500 ? levelOf(err) : request.problem === 'access-denied' ? 'warn' : 'debug'](
        { err, ...request },
        'a request to the self-service API ended with an error',
      ),
  });
  return {
    route: { path: '/self/', method: 'any', prefix: true, handle: (call) => server.handle({ ...call, ...ofNode(call) }) },
    ready: () => server.ready(),
    trustVault: (pem) => client.trust(pem),
    async close() {
      await server.close();
      await client.close();
    },
  };
}
