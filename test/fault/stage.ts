import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync, copyFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { Agent } from 'undici';
import { VaultClient } from '#broker/vault/client.ts';
import { startAuth0 } from '#dev/auth0.ts';
import type { Auth0StandIn } from '#dev/auth0.ts';
import { freePort } from '#dev/port.ts';
import { APIS, M2M_CLIENT } from '#dev/scenario.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { applyTerraform } from '#dev/terraform.ts';
import { makeCertificates, trustHere } from '#test/conformance/certificate.ts';
import { auth0Account } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startNginx } from '#test/fixture/nginx.ts';
import { NODES } from '#test/fixture/raft.ts';
import { startToxiproxy } from '#test/fixture/toxiproxy.ts';
import type { ToxicWay } from '#test/fixture/toxiproxy.ts';
import { checkout } from '#tools/part/version.ts';
import { startVaultBalancer } from './balancer.ts';
import { Clients } from './clients.ts';
import { Cluster } from './cluster.ts';
import { Customers } from './customers.ts';
import type { Customer } from './customers.ts';
import { SmallDisk } from './disk.ts';
import { Replica } from './replica.ts';
import { Services } from './services.ts';

/**
 * Three Vaults on Raft with TLS behind a balancer, Auth0's stand-in, three broker processes each with a way to Vault that can be made bad,
 * and nginx before them.
 */
export interface Stage {
  /** For files of a test's own. */
  readonly home: string;
  /** Of whoever made the certificates. */
  readonly caFile: string;
  readonly cluster: Cluster;
  /** On which one node, {@link SMALL_DISK}, keeps its storage. */
  readonly disk: SmallDisk;
  /** Directory of every node's plugins. */
  readonly plugins: string;
  /** Of the shared application. */
  readonly m2mSecret: string;
  /** As root, at the balancer. */
  readonly root: { client: VaultClient; token: string };
  readonly auth0: Auth0StandIn;
  readonly replicas: readonly Replica[];
  /** Of each replica to Vault. */
  readonly ways: readonly ToxicWay[];
  /** File with the secret_id of each replica. */
  readonly secretFiles: readonly string[];
  readonly customers: Customers;
  readonly services: Services;
  /** Those whose tokens every replica has in memory. */
  readonly hot: readonly Customer[];
  /** At nginx. */
  readonly clients: Clients;
  /** At each replica itself. */
  readonly directly: readonly Clients[];
  /** Asks every replica for everything that the hot customers ask. @throws Error where one isn't served */
  readonly warm: () => Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const HOT = 6;
/** Of the node whose disk can be filled. */
export const SMALL_DISK = 'vault-3';
const SMALL_DISK_MB = 192;

export async function startStage(): Promise<Stage> {
  await using starting = new AsyncDisposableStack();
  const undo = starting.use(new AsyncDisposableStack());
  // Not below the run's own folder where that is long: the paths of sockets are bounded.
  const home = realpathSync(mkdtempSync(join(tmpdir(), 'postern-faults-')));
  undo.defer(() => rmSync(home, { recursive: true, force: true, maxRetries: 3 }));
  const logs = process.env['POSTERN_TEST_LOGS'] ?? home;
  const certificates = undo.use(await makeCertificates());
  const ca = readFileSync(certificates.caFile, 'utf8');
  trustHere(ca);
  const agent = undo.adopt(new Agent({ connect: { ca } }), (one) => one.destroy());
  const tls = join(home, 'tls');
  mkdirSync(tls);
  for (const [name, file] of Object.entries({ ca: certificates.caFile, cert: certificates.certFile, key: certificates.keyFile }))
    copyFileSync(file, join(tls, `${name}.pem`));

  const plugins = join(home, 'plugins');
  mkdirSync(plugins);
  const disk = undo.adopt(await SmallDisk.mount(join(home, `data-${SMALL_DISK}`), SMALL_DISK_MB), (one) => one.unmount());
  const cluster = undo.adopt(await Cluster.start({ home, tls, logs, agent, more: `plugin_directory = "${plugins}"` }), (one) => one.stop());
  const balancer = await startVaultBalancer(
    NODES.map((name) => cluster.port(name)),
    join(home, 'balancer.json'),
    join(logs, 'faults-balancer.log'),
  );
  undo.defer(() => balancer.stop());
  const address = `https://127.0.0.1:${balancer.port}`;
  const token = cluster.rootToken;
  const client = undo.adopt(new VaultClient({ address, caFile: certificates.caFile, timeoutMs: 20_000 }), (one) => one.close());
  await cluster.reachable(address);

  const m2mSecret = randomBytes(32).toString('base64url');
  registerSecret('auth0 client_secret', m2mSecret);
  const auth0 = undo.use(await startAuth0({ account: auth0Account({ apis: APIS, tenants: {} }, 'action', m2mSecret) }));
  const { outputs } = await applyTerraform({
    vaultAddress: address,
    vaultToken: await terraformToken({ address, rootToken: token }),
    stateDirectory: join(home, 'terraform'),
    variables: { apis: APIS, tenants: {} },
    environment: { VAULT_CACERT: certificates.caFile },
  });
  await client.write('postern/data/upstream/auth0', { data: { client_id: M2M_CLIENT, client_secret: m2mSecret } }, { token });

  const front = await freePort();
  const url = `https://localhost:${front}/`;
  const toxiproxy = await startToxiproxy(join(logs, 'faults-toxiproxy.log'));
  undo.defer(() => toxiproxy.stop());
  const names = ['broker-1', 'broker-2', 'broker-3'];
  const ways: ToxicWay[] = [];
  const secretFiles: string[] = [];
  const replicas: Replica[] = [];
  for (const name of names) {
    const way = await toxiproxy.way(name, balancer.port);
    const secretFile = join(home, `${name}-secret-id`);
    ways.push(way);
    secretFiles.push(secretFile);
    const { data } = await client.write('auth/approle-broker/role/broker/secret-id', {}, { token });
    registerSecret('broker secret_id', String(data?.['secret_id']));
    writeFileSync(secretFile, String(data?.['secret_id']), { mode: 0o600 });
    const replica = await Replica.start(name, {
      logs,
      agent,
      env: {
        VAULT_ADDR: `https://127.0.0.1:${way.port}`,
        VAULT_CACERT: certificates.caFile,
        POSTERN_ROLE_ID: String(outputs['broker_role_id']),
        POSTERN_SECRET_ID_FILE: secretFile,
        POSTERN_ISSUER: url,
        POSTERN_TLS_CERT_FILE: certificates.certFile,
        POSTERN_TLS_KEY_FILE: certificates.keyFile,
        POSTERN_AUTH0_ISSUER: auth0.issuer,
        POSTERN_TRUSTED_PROXIES: '127.0.0.1',
        POSTERN_LAME_DUCK: '0',
        // A crowd of 10,000, and nginx.
        POSTERN_MAX_CONNECTIONS: '12000',
      },
    });
    undo.defer(() => replica.stop());
    replicas.push(replica);
  }
  const nginx = await startNginx({
    folder: join(home, 'nginx'),
    site: join(checkout, 'deploy/nginx/postern-tls.conf'),
    port: front,
    brokers: replicas.map((replica) => replica.url),
    certificates,
    caFile: certificates.caFile,
    log: join(logs, 'faults-nginx.log'),
    connections: 2_048,
  });
  undo.defer(() => nginx.stop());

  const services = new Services({ [APIS.orders.audience]: auth0.issuer, [APIS.reports.audience]: url });
  const customers = new Customers(client, token);
  const hot = await customers.fresh(HOT);
  const clientsAt = (where: string): Clients => undo.adopt(new Clients(where, { ca, services }), (one) => one.close());
  const clients = clientsAt(url);
  const directly = replicas.map((replica) => clientsAt(replica.url));
  const warm = async (): Promise<void> => {
    for (const one of directly) await one.serveAll(hot);
    await clients.serveAll(hot);
  };
  await warm();
  starting.move();
  return {
    home,
    caFile: certificates.caFile,
    cluster,
    disk,
    plugins,
    m2mSecret,
    root: { client, token },
    auth0,
    replicas,
    ways,
    secretFiles,
    customers,
    services,
    hot,
    clients,
    directly,
    warm,
    [Symbol.asyncDispose]: () => undo.disposeAsync(),
  };
}
