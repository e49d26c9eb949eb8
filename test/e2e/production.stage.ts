import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import { startAuth0 } from '#dev/auth0.ts';
import type { Auth0StandIn } from '#dev/auth0.ts';
import { freePort } from '#dev/port.ts';
import { makeCertificates } from '#test/conformance/certificate.ts';
import { auth0Account } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startNginx } from '#test/fixture/nginx.ts';
import { NODES, PRODUCTION_GUIDE, freeNodePorts, nodeAddresses, nodeConfiguration, startNode } from '#test/fixture/raft.ts';
import type { NodeName } from '#test/fixture/raft.ts';
import { startManagement } from '#test/integration/terraform-management.ts';
import type { ManagementStandIn } from '#test/integration/terraform-management.ts';
import { findProviders, findTerraform } from '#tools/part/terraform.ts';
import { findVault } from '#tools/part/vault.ts';
import { checkout } from '#tools/part/version.ts';
import { startLeashed } from '#tools/process/leash.ts';
import type { Leashed } from '#tools/process/leash.ts';
import { startStateServer } from './production.state.ts';

export type { NodeName };

/** The commands of docs/production.md, in order. */
export const COMMANDS = [...PRODUCTION_GUIDE.matchAll(/^ *```sh\n([\s\S]*?)^ *```/gm)].map(([, text = '']) => text);

/** Everything that docs/production.md has on several machines, on this one. */
export interface Stage {
  /** A checkout's files, where the commands are typed. */
  readonly folder: string;
  /** https, of whoever ends the clients' TLS. */
  readonly url: string;
  readonly caFile: string;
  readonly management: ManagementStandIn;
  /** Runs the block of commands that begins so, once; what it exports is there for those after it. @returns what it printed */
  run(begins: string): Promise<string>;
  /** Blocks that were not run. */
  left(): string[];
  /** As {@link run}, of a test's own. */
  shell(text: string): Promise<string>;
  startNode(node: NodeName): Promise<void>;
  stopNode(node: NodeName): Promise<void>;
  /** Ports of a node: of its API. */
  node(node: NodeName): { address: string };
  /** `postern serve` with /etc/postern/postern.env and what is added. @returns its log */
  startBroker(name: string, more?: Record<string, string>): Promise<{ url: string; log: () => string; stop: () => Promise<void> }>;
  startNginx(brokers: readonly string[]): Promise<void>;
  startAuth0(): Promise<void>;
  /** What the state server holds now. */
  state(): string;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function startStage(): Promise<Stage> {
  await using starting = new AsyncDisposableStack();
  const undo = starting.use(new AsyncDisposableStack());
  const home = mkdtempSync(join(tmpdir(), 'postern-production-'));
  undo.defer(() => rmSync(home, { recursive: true, force: true }));
  const logs = process.env['POSTERN_TEST_LOGS'] ?? home;
  const folder = join(home, 'checkout');
  for (const part of ['terraform', 'vault-policies', 'deploy/nginx'])
    cpSync(join(checkout, part), join(folder, part), { recursive: true, filter: (path) => !/\.terraform|\.tfstate/.test(path) });
  for (const part of ['bin', 'etc/postern', 'etc/vault.d', 'log', 'nginx']) mkdirSync(join(home, part), { recursive: true });

  const certificates = undo.use(await makeCertificates(undefined, 'Example company authority'));
  const management = await startManagement();
  undo.defer(() => management.stop());
  // One authority more than the company's own: Auth0's.
  const caFile = join(home, 'ca.pem');
  writeFileSync(caFile, readFileSync(certificates.caFile, 'utf8') + readFileSync(String(management.environment['SSL_CERT_FILE']), 'utf8'));

  const [vault, terraform, providers] = await Promise.all([findVault(), findTerraform(), findProviders()]);
  symlinkSync(vault.path, join(home, 'bin/vault'));
  symlinkSync(terraform.path, join(home, 'bin/terraform'));
  const node = join(checkout, 'node_modules/.bin/node');
  writeFileSync(join(home, 'bin/postern'), `#!/bin/sh\nexec '${node}' '${join(checkout, 'cli/postern.js')}' "$@"\n`);
  chmodSync(join(home, 'bin/postern'), 0o755);

  const stateServer = await startStateServer();
  undo.defer(() => stateServer.stop());

  const ports = await freeNodePorts();
  const front = await freePort();
  const url = `https://localhost:${front}/`;
  let auth0: Auth0StandIn | undefined;
  const auth0Port = await freePort();
  const checkedPort = await freePort();

  /** Names and addresses of the guide, as they are here. */
  const here = (text: string): string => {
    return (
      nodeAddresses(text, ports)
        // A name that the shell makes of a variable.
        .replaceAll('VAULT_ADDR=https://$node.example.com:8200', 'VAULT_ADDR="$(cat "$NODES/$node")"')
        .replaceAll('https://vault.example.com:8200', `https://127.0.0.1:${ports['vault-1'].api}`)
        .replaceAll('https://tokens.example.com/', url)
        .replaceAll('https://state.example.com/postern', `${stateServer.url}/postern`)
        .replaceAll('https://example.eu.auth0.com/', `http://127.0.0.1:${auth0Port}/`)
        .replaceAll('example.eu.auth0.com', management.domain)
        .replaceAll('/etc/vault.d', join(home, 'etc/vault.d'))
        .replaceAll('/etc/postern', join(home, 'etc/postern'))
        .replaceAll('/var/log/vault', join(home, 'log'))
        .replaceAll('/var/log/postern', join(home, 'log'))
        .replaceAll('10.20.0.10,10.20.0.11', '127.0.0.1')
        .replaceAll('10.20.0.0/16', '127.0.0.0/8')
        .replaceAll('0.0.0.0:8443', `127.0.0.1:${checkedPort}`)
    );
  };

  for (const name of NODES) writeFileSync(join(home, 'etc', name), `https://127.0.0.1:${ports[name].api}`);
  for (const where of ['etc/vault.d', 'etc/postern']) {
    cpSync(caFile, join(home, where, 'ca.pem'));
    cpSync(certificates.certFile, join(home, where, 'cert.pem'));
    cpSync(certificates.keyFile, join(home, where, 'key.pem'));
  }
  const example = join(folder, 'terraform/examples/production.tfvars');
  writeFileSync(example, here(readFileSync(example, 'utf8')));

  const running = new Map<NodeName, Leashed>();
  undo.defer(async () => void (await Promise.all([...running.values()].map((one) => one.stop()))));
  const startNamed: Stage['startNode'] = async (name) => {
    const data = join(home, `data-${name}`);
    mkdirSync(data, { recursive: true, mode: 0o700 });
    const file = join(home, `${name}.hcl`);
    writeFileSync(file, here(nodeConfiguration(name, ports, data)));
    running.set(name, await startNode(vault.path, { file, home, log: join(logs, `production-${name}.log`) }));
  };

  const env: Record<string, string> = {
    PATH: `${join(home, 'bin')}:${process.env['PATH'] ?? ''}`,
    HOME: home,
    TMPDIR: tmpdir(),
    NO_COLOR: '1',
    CHECKPOINT_DISABLE: '1',
    TF_HTTP_PASSWORD: stateServer.password,
    NODES: join(home, 'etc'),
    NODE_EXTRA_CA_CERTS: caFile,
    CURL_CA_BUNDLE: caFile,
    AUTH0_MGMT_TOKEN: String(management.environment['AUTH0_API_TOKEN']),
    ...management.environment,
    SSL_CERT_FILE: caFile,
    ...providers.env,
  };
  const exported = join(home, 'exported.sh');
  writeFileSync(exported, '');
  const shell: Stage['shell'] = async (text) => {
    const script = `. '${exported}'\n${here(text)}\nexport -p > '${exported}'`;
    const { all, exitCode } = await execa('bash', ['--norc', '-euo', 'pipefail', '-c', script], {
      stdin: 'ignore',
      cwd: folder,
      env,
      extendEnv: false,
      all: true,
      reject: false,
      timeout: 120_000,
    });
    expect(exitCode, `${text}\n${all}`).toBe(0);
    return all;
  };
  const left = new Set(COMMANDS);
  const run: Stage['run'] = async (begins) => {
    const found = COMMANDS.filter((text) => text.trimStart().startsWith(begins));
    expect(found, begins).toHaveLength(1);
    const [text = ''] = found;
    expect(left.delete(text), `${begins} was run already`).toBe(true);
    return shell(text);
  };

  const startBroker: Stage['startBroker'] = async (name, more = {}) => {
    const port = await freePort();
    const log = join(logs, `production-${name}.log`);
    const settings = readFileSync(join(home, 'etc/postern/postern.env'), 'utf8')
      .split('\n')
      .filter((line) => line.includes('='))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const);
    const child = await startLeashed(join(home, 'bin/postern'), ['serve'], {
      env: {
        PATH: env['PATH'],
        HOME: home,
        NODE_EXTRA_CA_CERTS: caFile,
        ...Object.fromEntries(settings),
        POSTERN_LISTEN: `127.0.0.1:${port}`,
        POSTERN_AUDIT_FILE: join(home, `log/${name}.jsonl`),
        POSTERN_LAME_DUCK: '0',
        ...more,
      },
      log,
    });
    undo.defer(() => child.stop());
    const address = `https://localhost:${port}/`;
    const ready = `curl -fsS ${address}readyz`;
    await shell(`for i in $(seq 150); do ${ready} > /dev/null 2>&1 && break; sleep 0.1; done; ${ready} || { tail -5 '${log}'; exit 1; }`);
    return { url: address, log: () => readFileSync(log, 'utf8'), stop: () => child.stop() };
  };

  const startFront: Stage['startNginx'] = async (brokers) => {
    const child = await startNginx({
      folder: join(home, 'nginx'),
      site: join(folder, 'deploy/nginx/postern-tls.conf'),
      port: front,
      brokers,
      certificates,
      caFile,
      log: join(logs, 'production-nginx.log'),
      // The test is the balancer before it: it says where a client is.
      edit: (site) => site.replace('X-Forwarded-For $remote_addr', 'X-Forwarded-For $proxy_add_x_forwarded_for'),
    });
    undo.defer(() => child.stop());
    await shell(`for i in $(seq 100); do curl -fsS ${url}livez > /dev/null 2>&1 && break; sleep 0.1; done; curl -fsS ${url}livez`);
  };

  starting.move();
  return {
    folder,
    url,
    caFile,
    management,
    run,
    left: () => [...left],
    shell,
    startNode: startNamed,
    async stopNode(name) {
      await running.get(name)?.stop();
      running.delete(name);
    },
    node: (name) => ({ address: `https://127.0.0.1:${ports[name].api}` }),
    startBroker,
    startNginx: startFront,
    async startAuth0() {
      // Auth0's other half: tokens for the application that Terraform made at its Management API.
      const [application] = [...management.clients.values()].filter((one) => one['app_type'] === 'non_interactive');
      const apis = [...management.apis.values()].map(({ identifier, scopes }) => ({
        audience: identifier as string,
        scopes: (scopes as { value: string }[]).map(({ value }) => value),
      }));
      const account = auth0Account(
        {
          apis: Object.fromEntries(
            apis.map((api) => [api.audience, { ...api, source: 'auth0' as const, dialect: 'access_token_authz' as const }]),
          ),
          tenants: {},
        },
        'action',
        String(application?.['client_secret']),
        String(application?.['client_id']),
      );
      for (const secret of management.secrets) registerSecret('Auth0 secret', secret);
      auth0 = await startAuth0({ account, port: auth0Port });
      undo.defer(() => auth0?.stop());
    },
    state: stateServer.state,
    [Symbol.asyncDispose]: () => undo.disposeAsync(),
  };
}
