import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { BearerVerifier } from './admin/bearer.ts';
import { Callers } from './admin/caller.ts';
import { AdminServer } from './admin/admin-server.ts';
import type { AuditLog } from './audit/exchange-event.ts';
import { Auth0Judge } from './auth0/judge.ts';
import { Auth0Source } from './auth0/source.ts';
import { Authorization } from './authorization/authorization.ts';
import { readConfig } from './config.ts';
import type { Config } from './config.ts';
import { Assertions } from './credential/assertions.ts';
import { AnnouncementWatch } from './credential/announcements.ts';
import { VerifiedCredentials } from './credential/verified-credentials.ts';
import { SubjectTokens } from './credential/subject-tokens.ts';
import { Throttle } from './credential/throttle.ts';
import { KeyUsage } from './credential/key-usage.ts';
import { Verifiers } from './credential/verifiers.ts';
import { PosternError } from './error.ts';
import { healthRoutes } from './http/health.ts';
import { introspectionEndpoint } from './http/introspection-endpoint.ts';
import { metadataRoutes, tokenEndpointOf } from './http/metadata.ts';
import { openApiRoute } from './http/openapi.ts';
import { revocationEndpoint } from './http/revocation-endpoint.ts';
import { HttpServer } from './http/http-server.ts';
import { tokenEndpoint } from './http/token-endpoint.ts';
import { verifyRoutes } from './http/verify.ts';
import { httpsOrLoopback } from './loopback.ts';
import { BatchedLines, createDestination, createLog } from './log.ts';
import type { Logger } from './log.ts';
import { VaultAccess } from './operator/access.ts';
import { TokenCache } from './token/cache.ts';
import { Exchange } from './token/exchange.ts';
import { Introspection } from './token/introspection.ts';
import { IssuedTokens } from './token/issued-tokens.ts';
import { Revocations } from './token/revocations.ts';
import { Withdrawal } from './token/withdrawal.ts';
import { VaultAssertionLogin } from './vault/assertion-login.ts';
import { VaultApis } from './vault/apis.ts';
import { VaultClientKeys } from './vault/client-keys.ts';
import { VaultClient } from './vault/client.ts';
import { EngineTokenPlaces } from './vault/plugin-tokens.ts';
import { VaultAnnouncements } from './vault/announcements.ts';
import { VaultGrants } from './vault/grants.ts';
import { Kv } from './vault/kv.ts';
import { AppRoleLogin } from './vault/approle-login.ts';
import { KeyEnds } from './vault/key-ends.ts';
import { VaultRevocations } from './vault/revocations.ts';
import { OperatorLogin } from './vault/operator-login.ts';
import { VaultReplay } from './vault/replay.ts';
import { VaultSession } from './vault/session.ts';
import { VaultSubjects } from './vault/subject-lookup.ts';
import { VaultTokens } from './vault/tokens.ts';
import { TransitJudge } from './transit/judge.ts';
import { TransitKeys } from './transit/keys.ts';
import { TransitSource } from './transit/source.ts';
import { VaultUpstream } from './vault/upstream-credential.ts';
import { VaultUsage } from './vault/key-usage.ts';

/** A broker that listens. */
export interface Broker {
  readonly port: number;
  /** Of the admin API; undefined where it is off. */
  readonly adminPort: number | undefined;
  /** Requests sent to Vault, and to Auth0's token endpoint, since the start. */
  calls(): { vault: number; auth0: number };
  missing(): readonly string[];
  /** Finishes what is in flight, then stops. Twice is harmless. */
  close(): Promise<void>;
}

/** The composition root: every part is made and wired here, and nowhere else. */
export async function startBroker(config: Config, log: Logger, audit: AuditLog): Promise<Broker> {
  const vault = connectVault(config, log);
  const { client, session, apis, keys } = vault;
  const { verified, verifier, usage, replay } = verification(config, log, vault);
  const revocations = new Revocations({
    log: new VaultRevocations(vault.documents, session),
    perMinute: config.POSTERN_REVOCATIONS_PER_MINUTE,
  });
  const epoch = new AnnouncementWatch({
    reader: new VaultAnnouncements(vault.documents, session),
    revocations,
    verified,
    onError: (err) => log.warn({ err }, 'state/epoch or state/revocations could not be read'),
  });
  const { auth0, exchange, introspection, withdrawal } = issuance(config, log, vault, {
    verifier,
    revocations,
    isDisabled: (tenant) => epoch.isDisabled(tenant),
  });

  let draining = false;
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    draining = true;
    epoch.stop();
    await Promise.all([server.close(config.POSTERN_SHUTDOWN_GRACE * 1000), admin?.close()]);
    replay.stop();
    await usage.stop();
    await session.stop();
    await client.close();
    log.info('postern has stopped');
  };
  const missing = (): string[] => [
    ...(session.ready ? [] : ['login to Vault']),
    ...(epoch.known ? [] : ['state/epoch and state/revocations']),
    ...(apis.known ? [] : ['the APIs']),
    ...(draining ? ['shutting down'] : []),
  ];
  // Once ready, only the end makes it unready: see healthRoutes.
  let wasReady = false;
  const readiness = { missing: () => (draining ? ['shutting down'] : wasReady ? [] : track(missing())) };
  const track = (now: string[]): string[] => {
    wasReady ||= now.length === 0;
    return now;
  };

  const server = new HttpServer({
    routes: [
      tokenEndpoint({ exchange, audit }),
      ...verifyRoutes({ exchange, audit }),
      introspectionEndpoint({ verifier, introspection, tenantClaim: config.POSTERN_TENANT_CLAIM, audit }),
      revocationEndpoint({ verifier, withdrawal, audit }),
      ...metadataRoutes({ issuer: config.POSTERN_ISSUER, keys, jwksMaxAge: config.POSTERN_JWKS_MAX_AGE }),
      ...healthRoutes(readiness),
      openApiRoute({ version, maxAge: config.POSTERN_JWKS_MAX_AGE }),
    ],
    errors: config.POSTERN_ERROR_DIALECT,
    tls: config.tls,
    trustedProxies: config.POSTERN_TRUSTED_PROXIES,
    onUntrustedProxy: (address) =>
      log.warn(
        { address },
        'X-Forwarded-For is not believed; if this is a proxy of yours, name it in POSTERN_TRUSTED_PROXIES: until then all behind it share one allowance of wrong credentials',
      ),
    maxConnections: config.POSTERN_MAX_CONNECTIONS,
    onError: (err, request) => log[levelOf(err)]({ err, ...request }, 'a request ended with an error'),
  });
  const admin = adminDoor(config, log, audit);
  const port = await server.listen(config.host, config.port);
  const adminPort = await admin?.listen();
  void session.run();
  usage.start();
  void replay.run();
  // The catalogue is read before the first request where Vault is there; where it is not, the broker is alive and not ready.
  void epoch.start().then(() => keepLoading(apis, () => draining));
  log.info({ host: config.host, port, issuer: config.POSTERN_ISSUER, vault: config.VAULT_ADDR }, 'postern listens');

  return {
    port,
    adminPort,
    calls: () => ({ vault: client.calls, auth0: auth0?.calls ?? 0 }),
    missing,
    close: () => (closing ??= close()),
  };
}

interface Vault {
  client: VaultClient;
  /** The broker's own login. */
  session: VaultSession;
  documents: Kv;
  apis: VaultApis;
  keys: TransitKeys;
}

/** Vault, and what the broker reads there with its own token whoever asks. */
function connectVault(config: Config, log: Logger): Vault {
  const client = new VaultClient({
    address: config.VAULT_ADDR,
    namespace: config.VAULT_NAMESPACE,
    caFile: config.VAULT_CACERT,
    timeoutMs: config.POSTERN_VAULT_TIMEOUT * 1000,
  });
  const session = new VaultSession({
    client,
    mount: config.POSTERN_BROKER_APPROLE_MOUNT,
    roleId: config.POSTERN_ROLE_ID,
    secretId: config.secretId,
    onEvent: (event) =>
      event.event === 'failed' ? log.warn(event, 'the broker has no good Vault token') : log.info(event, 'vault session'),
  });
  const documents = new Kv(client, config.POSTERN_KV_MOUNT);
  const apis = new VaultApis({
    kv: documents,
    session,
    onError: (err) => log.warn({ err }, 'the APIs could not be read again'),
    onInvalid: (api, problem) => log.error({ api, problem }, 'this API is left out'),
  });
  const keys = new TransitKeys({
    client,
    session,
    mount: config.POSTERN_TRANSIT_MOUNT,
    key: config.POSTERN_TRANSIT_KEY,
    jwksMaxAgeMs: config.POSTERN_JWKS_MAX_AGE * 1000,
    onError: (err) => log.warn({ err }, 'the transit keys could not be read again'),
  });
  return { client, session, documents, apis, keys };
}

/** WHO: every way in which a client proves itself. */
function verification(config: Config, log: Logger, { client, session, documents }: Vault) {
  const usageFailed = (err: unknown): void => log.warn({ err }, 'the last uses of API keys could not be written; they are written later');
  const usage = new KeyUsage({
    store: new VaultUsage({ kv: documents, session, onError: usageFailed }),
    intervalMs: config.POSTERN_USAGE_INTERVAL * 1000,
    onError: usageFailed,
  });
  const forwardAddress = config.POSTERN_FORWARD_CLIENT_ADDRESS;
  const ends = new KeyEnds(documents);
  const throttle = new Throttle({ perClient: config.POSTERN_THROTTLE_CLIENT, perAddress: config.POSTERN_THROTTLE_ADDRESS });
  const verified = new VerifiedCredentials({
    onVerified: ({ keyId }) => {
      if (keyId !== undefined) usage.record(keyId);
    },
    login: new AppRoleLogin({ client, mount: config.POSTERN_APPROLE_MOUNT, forwardAddress, ends }),
    rememberMs: config.POSTERN_VERIFY_TTL * 1000,
    max: config.POSTERN_CACHE_CREDENTIALS,
    byAddress: forwardAddress,
    throttle,
  });
  const replay = new VaultReplay({
    client,
    kv: new Kv(client, config.POSTERN_REPLAY_MOUNT),
    session,
    onError: (err) => log.warn({ err }, 'used assertions could not be tidied up'),
  });
  const verifier = new Verifiers({
    secrets: verified,
    assertions: new Assertions({
      keys: new VaultClientKeys(documents, session),
      login: new VaultAssertionLogin({ client, mount: config.POSTERN_ASSERTION_MOUNT, forwardAddress }),
      used: replay,
      throttle,
      audiences: [config.POSTERN_ISSUER, tokenEndpointOf(config.POSTERN_ISSUER)],
      max: config.POSTERN_CACHE_CREDENTIALS,
    }),
    subjects: new SubjectTokens(
      new VaultSubjects({ client, approle: config.POSTERN_APPROLE_MOUNT, namespace: config.VAULT_NAMESPACE, forwardAddress, ends }),
      new Throttle({ perClient: config.POSTERN_THROTTLE_ADDRESS, perAddress: config.POSTERN_THROTTLE_ADDRESS }),
    ),
  });
  return { verified, verifier, usage, replay };
}

interface Gates {
  verifier: Verifiers;
  revocations: Revocations;
  isDisabled: (tenant: string) => boolean;
}

/** WHAT and HOW: what a tenant may have, tokens and where they come from, and what becomes of them. */
function issuance(
  config: Config,
  log: Logger,
  { client, session, documents, apis, keys }: Vault,
  { verifier, revocations, isDisabled }: Gates,
) {
  const auth0 =
    config.POSTERN_AUTH0_ISSUER === undefined
      ? undefined
      : auth0Source(config, config.POSTERN_AUTH0_ISSUER, new VaultUpstream(documents, session, 'auth0'));
  const transit = new TransitSource({
    client,
    session,
    keys,
    mount: config.POSTERN_TRANSIT_MOUNT,
    key: config.POSTERN_TRANSIT_KEY,
    tenantClaim: config.POSTERN_TENANT_CLAIM,
  });
  const authorization = new Authorization({
    grants: new VaultGrants(documents),
    apis,
    issuers: { transit: config.POSTERN_ISSUER, auth0: config.POSTERN_AUTH0_ISSUER },
    form: `${config.POSTERN_AUTH0_BINDING} ${config.POSTERN_TENANT_CLAIM}`,
    isDisabled,
  });
  const store = new VaultTokens(
    config.TOKEN_STORE === 'plugin'
      ? new EngineTokenPlaces(client, config.POSTERN_PLUGIN_MOUNT)
      : new Kv(client, config.POSTERN_TOKENS_MOUNT),
    session,
  );
  const cache = new TokenCache({
    store,
    sources: { transit, auth0 },
    revocations,
    scopeSets: config.POSTERN_SCOPE_SETS,
    minRemaining: config.POSTERN_MIN_REMAINING,
    max: config.POSTERN_CACHE_TOKENS,
    onRefreshError: (grant, err) =>
      log.warn(
        { err, tenant: grant.tenant, api: grant.api },
        'a token could not be refreshed or stored; the one at hand is served while it lives',
      ),
  });
  const issued = new IssuedTokens({
    judges: [
      new TransitJudge({ issuer: config.POSTERN_ISSUER, keys }),
      ...(auth0 === undefined
        ? []
        : [new Auth0Judge({ issuer: auth0.issuer, clientId: () => auth0.clientId(), timeoutMs: config.POSTERN_AUTH0_TIMEOUT * 1000 })]),
    ],
    tenantClaim: config.POSTERN_TENANT_CLAIM,
  });
  const introspection = new Introspection({ authorization, apis, issued, revocations, isDisabled });
  const withdrawal = new Withdrawal({ authorization, apis, issued, revocations, store });
  return { auth0, exchange: new Exchange({ verified: verifier, authorization, cache, apis, store }), introspection, withdrawal };
}

function auth0Source(config: Config, issuer: string, upstream: VaultUpstream): Auth0Source {
  return new Auth0Source({
    issuer,
    upstream,
    binding: config.POSTERN_AUTH0_BINDING,
    tenantClaim: config.POSTERN_TENANT_CLAIM,
    timeoutMs: config.POSTERN_AUTH0_TIMEOUT * 1000,
  });
}

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };

/** The admin API on a listener of its own, with sockets to Vault of its own: many operators keep no customer waiting. */
function adminDoor(config: Config, log: Logger, audit: AuditLog): { listen(): Promise<number>; close(): Promise<void> } | undefined {
  const { admin } = config;
  if (admin === undefined) return undefined;
  const client = new VaultClient({
    address: config.VAULT_ADDR,
    namespace: config.VAULT_NAMESPACE,
    caFile: config.VAULT_CACERT,
    timeoutMs: config.POSTERN_VAULT_TIMEOUT * 1000,
    connections: 16,
  });
  const mounts = {
    approle: config.POSTERN_APPROLE_MOUNT,
    brokerApprole: config.POSTERN_BROKER_APPROLE_MOUNT,
    kv: config.POSTERN_KV_MOUNT,
    tokens: config.POSTERN_TOKENS_MOUNT,
    transit: config.POSTERN_TRANSIT_MOUNT,
    transitKey: config.POSTERN_TRANSIT_KEY,
  };
  const { POSTERN_ADMIN_AUDIENCE: audience, POSTERN_AUTH0_ISSUER: issuer } = config;
  const server = new AdminServer({
    callers: new Callers({
      bearer:
        audience === undefined || issuer === undefined
          ? undefined
          : new BearerVerifier({ issuer, audience, timeoutMs: config.POSTERN_AUTH0_TIMEOUT * 1000 }),
      login: new OperatorLogin({ client, mount: config.POSTERN_ADMIN_MOUNT }),
      accessOf: (token) => new VaultAccess({ client, token, mounts }),
    }),
    audit,
    version,
    tls: admin.tls,
    trustedProxies: config.POSTERN_TRUSTED_PROXIES,
    rate: config.POSTERN_ADMIN_RATE,
    // What Vault refuses may be a fault of the set-up; what is wrong with a request is told to its sender.
    onError: (err, request) =>
      log[request.status >= 500 ? levelOf(err) : request.problem === 'access-denied' ? 'warn' : 'debug'](
        { err, ...request },
        'a request to the admin API ended with an error',
      ),
  });
  return {
    async listen() {
      const port = await server.listen(admin.host, admin.port);
      log.info(
        { host: admin.host, port, takes: audience === undefined ? 'Vault tokens' : 'Auth0 JWTs and Vault tokens' },
        'the admin API listens',
      );
      return port;
    },
    async close() {
      await server.close(config.POSTERN_SHUTDOWN_GRACE * 1000);
      await client.close();
    },
  };
}

/** Until the catalogue was read once; later readers keep it fresh. */
async function keepLoading(apis: VaultApis, stopped: () => boolean): Promise<void> {
  while (!apis.known && !stopped()) {
    await apis.load().catch(() => {});
    if (!apis.known) await new Promise((resolve) => setTimeout(resolve, 500).unref());
  }
}

/** A client's mistake is told at debug; what an operator must mend, at error. */
function levelOf(error: unknown): 'debug' | 'warn' | 'error' {
  if (!(error instanceof PosternError)) return 'error';
  if (error.code === 'misconfigured') return 'error';
  return error.status >= 500 ? 'warn' : 'debug';
}

const HELP = `Usage: node broker/main.ts

The Postern broker: exchanges AppRole credentials for Auth0-compatible access tokens.
It is configured by its environment; README.md lists the settings. At least:

  POSTERN_ISSUER     the broker's own public address, e.g. https://tokens.example.com/
  VAULT_ADDR         Vault's address
  POSTERN_ROLE_ID    the broker's own AppRole, with one of
  POSTERN_SECRET_ID, POSTERN_SECRET_ID_FILE, POSTERN_WRAPPED_SECRET_ID, POSTERN_WRAPPED_SECRET_ID_FILE

Logs go to stderr, one audit event an exchange to stdout (or POSTERN_AUDIT_FILE).
SIGTERM and SIGINT finish what is in flight, then stop.
`;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { help: { type: 'boolean', short: 'h' } } });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const config = readConfig(process.env);
  const logDestination = createDestination(2);
  const log = createLog(config.POSTERN_LOG_LEVEL, logDestination);
  const audit = new BatchedLines(
    createDestination(config.POSTERN_AUDIT_FILE ?? 1, (err) => log.error({ err }, 'the audit cannot be written; its lines are held back')),
  );
  if (!httpsOrLoopback(new URL(config.VAULT_ADDR))) {
    log.warn({ vault: config.VAULT_ADDR }, 'Vault is reached without TLS: every credential goes over the network in the clear');
  }
  if (config.unknown.length > 0) log.warn({ variables: config.unknown }, 'these variables are no settings of the broker');
  const flush = () => {
    logDestination.flushSync();
    audit.flushSync();
  };
  process.on('exit', flush);
  const broker = await startBroker(config, log, audit);
  const stop = (signal: NodeJS.Signals) => {
    log.info({ signal }, 'stopping');
    void broker.close().then(() => process.exit(0));
    // A second signal does not wait.
    for (const again of ['SIGTERM', 'SIGINT'] as const) process.removeAllListeners(again).once(again, () => process.exit(1));
  };
  process.once('SIGTERM', stop).once('SIGINT', stop);
  process.on('unhandledRejection', (err) => log.error({ err }, 'unhandled rejection'));
}

if (import.meta.main) {
  main().catch((error: unknown) => {
    const known = error instanceof PosternError;
    process.stderr.write(
      `${known ? error.message : `postern could not start: ${(error as NodeJS.ErrnoException).code ?? (error as Error).name}`}\n`,
    );
    process.exit(known ? error.exitCode : 1);
  });
}
