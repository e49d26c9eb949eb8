import { X509Certificate } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { DockerComposeEnvironment, getContainerRuntimeClient, StartupCheckStrategy } from 'testcontainers';
import type { StartedDockerComposeEnvironment, StartupStatus } from 'testcontainers';
import { Agent, fetch } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { freePort } from '#dev/port.ts';
import { commandsOf } from '#test/fixture/documentation.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { findComposeImages } from '#test/part/compose-images.ts';
import { findCompose } from '#test/part/compose.ts';
import type { Compose } from '#test/part/compose.ts';
import { findPosternImage } from '#test/part/postern-image.ts';
import { checkout, packageVersion, versions } from '#tools/part/version.ts';
import { deployArchive } from '#tools/release/deploy.ts';

const AUDIENCE = 'https://orders.example.com';
const FOLDER = join(checkout, 'deploy/compose');

/** Without what somebody tried in this checkout. */
const clean = (source: string): boolean => !/\/(state|\.env|\.terraform.*|[^/]*\.tfstate.*)$/.test(source);

interface Service {
  image: string;
  user: string;
  read_only: boolean;
  cap_drop: string[];
  cap_add?: string[];
  security_opt: string[];
  restart: string;
  privileged?: boolean;
  entrypoint?: string[];
  environment?: Record<string, string>;
  volumes?: string[];
  ports?: string[];
  profiles?: string[];
  healthcheck?: object;
}

describe('compose.yaml', () => {
  const { services, volumes } = parse(readFileSync(join(FOLDER, 'compose.yaml'), 'utf8'), { merge: true }) as {
    services: Record<string, Service>;
    volumes: Record<string, { driver_opts: { type: string } }>;
  };
  const ONCE = ['initialize', 'terraform', 'credentials', 'workload'];

  test.each(Object.entries(services))('%s has no right that it does not need', (name, service) => {
    expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] });
    expect(service.user).toMatch(/^\$\{POSTERN_USER:\?/);
    expect(service.privileged).toBeUndefined();
    expect(service.cap_add ?? []).toEqual(service.image.includes('vault') ? ['IPC_LOCK'] : []);
    expect(['unless-stopped', ...(ONCE.includes(name) ? ['no', 'on-failure'] : [])]).toContain(service.restart);
    for (const volume of service.volumes ?? []) expect(volume).not.toContain('docker.sock');
    // Beyond this machine only nginx, and only where it was told so.
    for (const port of service.ports ?? []) expect(port).toMatch(/^(127\.0\.0\.1|\$\{POSTERN_BIND:-127\.0\.0\.1\}):/);
  });

  test('names no secret in an environment or a command, and keeps tokens in memory', () => {
    for (const { environment = {}, entrypoint = [] } of Object.values(services)) {
      for (const name of Object.keys(environment)) expect(name).not.toMatch(/(^|_)(TOKEN|SECRET|SECRET_ID|PASSWORD|KEY)$/);
      expect(entrypoint.join(' ')).not.toMatch(/-token=|key=[^@]/);
    }
    expect(Object.values(volumes).map(({ driver_opts: { type } }) => type)).toEqual(['tmpfs', 'tmpfs']);
  });

  test('takes the versions that everything else is tried with', async () => {
    const defaults = Object.fromEntries(Object.entries(services).map(([name, { image }]) => [name, /:-(.*)\}$/.exec(image)?.[1]]));
    expect(defaults).toMatchObject({ ...versions.image, broker: `postern:${await packageVersion()}` });
    expect(versions.image.terraform).toBe(`hashicorp/terraform:${versions.terraform.version}`);
  });
});

describe('prepare.sh', () => {
  let scratch: string;
  let folder: string;
  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), 'postern prepare '));
    folder = join(scratch, 'deploy/compose');
    mkdirSync(folder, { recursive: true });
    cpSync(FOLDER, folder, { recursive: true, filter: clean });
    for (const name of ['terraform', 'vault-policies'])
      cpSync(join(checkout, name), join(scratch, name), { recursive: true, filter: clean });
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));
  const prepare = (env: Record<string, string> = {}) => execa(join(folder, 'prepare.sh'), { env, reject: false, stdin: 'ignore' });

  test.each([
    ['POSTERN_PORT', '80a'],
    ['POSTERN_PORT', '0'],
    ['POSTERN_PORT', '65536'],
    ['POSTERN_PORT', '0443'],
    ['POSTERN_HOST', '10.20.30.40'],
    ['POSTERN_HOST', 'tokens..example.com'],
    ['POSTERN_HOST', 'LOCALHOST'],
    ['POSTERN_HOST', 'https://tokens.example.com'],
    ['POSTERN_HOST', 'a b'],
    ['POSTERN_HOST', 'localhost'],
    ['POSTERN_HOST', 'a\nsubjectAltName=DNS:b'],
  ])('refuses %s=%j, and makes nothing', async (name, value) => {
    const { exitCode, stderr } = await prepare({ [name]: value });
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: expect.stringContaining(name) });
    expect(existsSync(join(folder, 'state'))).toBe(false);
  });

  test('keeps what it made and what is yours, and names the issuer as clients compare it', async () => {
    expect((await prepare()).exitCode).toBe(0);
    const made = (name: string) => readFileSync(join(folder, 'state/tls', name), 'utf8');
    const before = ['ca.crt', 'ca.key', 'nginx.crt', 'vault.crt'].map(made);
    expect(readFileSync(join(folder, '.env'), 'utf8')).toContain('POSTERN_ISSUER=https://postern.localhost:8443/\n');
    writeFileSync(join(folder, '.env'), `VAULT_PORT=18200\n${readFileSync(join(folder, '.env'), 'utf8')}`);
    expect((await prepare()).exitCode).toBe(0);
    expect(['ca.crt', 'ca.key', 'nginx.crt', 'vault.crt'].map(made)).toEqual(before);
    // Another name needs another certificate, of the same CA; what was told once needs not be told again.
    await prepare({ POSTERN_HOST: 'Tokens.example.com', POSTERN_PORT: '443' });
    expect((await prepare()).exitCode).toBe(0);
    const env = readFileSync(join(folder, '.env'), 'utf8');
    expect(env).toMatch(/^VAULT_PORT=18200$/m);
    expect(env).toMatch(/^POSTERN_ISSUER=https:\/\/tokens\.example\.com\/$/m);
    expect(env.match(/POSTERN_ISSUER/g)).toHaveLength(1);
    const certificate = new X509Certificate(made('nginx.crt'));
    expect(certificate.checkHost('tokens.example.com')).toBe('tokens.example.com');
    expect(certificate.verify(new X509Certificate(made('ca.crt')).publicKey)).toBe(true);
    expect(made('ca.crt')).toBe(before[0]);
  });

  test('what it makes is in no release and no commit', async () => {
    const archive = join(scratch, 'deploy.tar.gz');
    await deployArchive(archive, '0.0.0', scratch);
    const { stdout } = await execa('tar', ['--list', '--file', archive]);
    expect(stdout).toContain('deploy/compose/prepare.sh');
    expect(stdout.split('\n').filter((line) => /\/(state|\.env)(\/|$)/.test(line))).toEqual([]);
    const { stdout: ignored } = await execa('git', ['check-ignore', 'deploy/compose/state/keys/root-token', 'deploy/compose/.env'], {
      cwd: checkout,
    });
    expect(ignored.split('\n')).toHaveLength(2);
  });
});

/** A container's root sees files of this machine, and ports are published on its loopback. */
const able = process.env['POSTERN_TEST_DOCKER'] === 'yes' && process.env['POSTERN_TEST_HOST_NETWORK'] === 'yes';

/** Compose itself waits for what is healthy; ports on loopback are not where Testcontainers looks when it runs in a container. */
class AtOnce extends StartupCheckStrategy {
  override async checkStartupState(): Promise<StartupStatus> {
    return 'SUCCESS';
  }
}

describe.runIf(able)('the deployment of deploy/compose', () => {
  const project = `postern-compose-${process.pid}`;
  let scratch: string;
  let folder: string;
  let compose: Compose;
  let environment: Record<string, string>;
  let started: StartedDockerComposeEnvironment;
  let first: string;
  let firstAfter: number;

  const state = (path: string): string => join(folder, 'state', path);
  const run = (args: readonly string[]) =>
    execa(compose.command[0], [...compose.command.slice(1), ...args], {
      cwd: folder,
      env: { ...environment, COMPOSE_PROJECT_NAME: project },
      stdin: 'ignore',
      all: true,
    });
  /** As its customer runs it; the token alone. */
  const token = async (): Promise<string> => {
    const { stdout } = await run(['run', '--rm', '-T', 'workload', '--audience', AUDIENCE, '--raw']);
    registerSecret('access_token', stdout);
    return stdout;
  };
  const idOf = async (service: string): Promise<string> => (await run(['ps', '--quiet', service])).stdout.split('\n')[0]!;
  const inspect = async (id: string) => (await getContainerRuntimeClient()).container.dockerode.getContainer(id).inspect();

  /** The certificate's host leads to nginx on this machine's loopback. */
  const ask = async (path: string): Promise<{ status: number; body: any }> => {
    const ca = readFileSync(state('tls/ca.crt'), 'utf8');
    const dispatcher = new Agent({ connect: { ca, servername: 'postern.localhost' } });
    try {
      const answer = await fetch(`https://127.0.0.1:${environment['POSTERN_PORT']}${path}`, { dispatcher });
      return { status: answer.status, body: await answer.json().catch(() => undefined) };
    } finally {
      await dispatcher.close();
    }
  };

  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'postern-compose-'));
    folder = join(scratch, 'deploy/compose');
    mkdirSync(folder, { recursive: true });
    for (const [from, to] of [
      [FOLDER, folder],
      [join(checkout, 'terraform'), join(scratch, 'terraform')],
      [join(checkout, 'vault-policies'), join(scratch, 'vault-policies')],
    ] as const)
      cpSync(from, to, { recursive: true, filter: clean });
    compose = await findCompose();
    const [images, postern] = [await findComposeImages(), await findPosternImage(join(scratch, 'image'))];
    process.stderr.write(`compose ${compose.version}: ${compose.origin}; images: ${JSON.stringify(images.origins)}\n`);
    const [port, vaultPort] = [await freePort(), await freePort()];
    environment = { ...images.variables, POSTERN_IMAGE: postern.name, POSTERN_PORT: String(port), VAULT_PORT: String(vaultPort) };
    await execa(join(folder, 'prepare.sh'), { env: environment });
    const begin = performance.now();
    started = await new DockerComposeEnvironment(folder, 'compose.yaml')
      .withProjectName(project)
      .withEnvironment(environment)
      .withDefaultWaitStrategy(new AtOnce())
      .withClientOptions({
        ...(compose.command.length === 1 ? { executable: { executablePath: compose.command[0], standalone: true as const } } : {}),
        commandOptions: ['--quiet-pull'],
      })
      .up();
    first = await token();
    firstAfter = (performance.now() - begin) / 1000;
    process.stderr.write(`compose: first token after ${firstAfter.toFixed(1)} s\n`);
    for (const [kind, file] of [
      ['root token', 'keys/root-token'],
      ['unseal key', 'keys/unseal-key'],
      ['broker secret_id', 'broker/secret-id'],
      ['tenant secret_id', 'acme/secret-id'],
    ] as const)
      registerSecret(kind, readFileSync(state(file), 'utf8').trim());
    // On a machine where Compose must be built first.
  }, 900_000);
  afterAll(async () => {
    if (started === undefined && compose !== undefined) await run(['down', '--volumes', '--timeout=0']).catch(() => {});
    await started?.down({ timeout: 0, removeVolumes: true });
    rmSync(scratch, { recursive: true, force: true });
  }, 120_000);

  test('gives its customer a token within two minutes, which services verify by the keys at nginx', async () => {
    expect(firstAfter).toBeLessThan(120);
    const issuer = `https://postern.localhost:${environment['POSTERN_PORT']}/`;
    const { body: metadata } = await ask('/.well-known/openid-configuration');
    expect(metadata).toMatchObject({ issuer, jwks_uri: `${issuer}.well-known/jwks.json` });
    const { body: keys } = await ask('/.well-known/jwks.json');
    const { payload } = await jwtVerify(first, createLocalJWKSet(keys), { issuer, audience: AUDIENCE });
    expect(payload).toMatchObject({ scope: 'read:orders', gty: 'client-credentials' });
  });

  test('the customer’s own program verifies it as well, by the same name', async () => {
    const { stdout } = await run(['run', '--rm', '-T', 'workload']);
    expect(stdout).toMatch(/signature +verified/);
    registerSecret('access_token', first);
  });

  test('no container is root’s, may write where nothing is mounted, or tells a secret', async () => {
    const secrets = ['keys/root-token', 'keys/unseal-key', 'broker/secret-id', 'acme/secret-id', 'tls/vault.key', 'tls/nginx.key'].map(
      (file) => readFileSync(state(file), 'utf8').trim(),
    );
    const ids = (await run(['ps', '--all', '--quiet'])).stdout.split('\n');
    expect(ids).toHaveLength(10);
    for (const id of ids) {
      const facts = await inspect(id);
      expect(facts.HostConfig).toMatchObject({ ReadonlyRootfs: true, CapDrop: ['ALL'], SecurityOpt: ['no-new-privileges:true'] });
      expect(facts.Config.User).toMatch(/^[1-9]\d*:\d+$/);
      const said = JSON.stringify(facts);
      expect(
        secrets.filter((secret) => said.includes(secret)),
        facts.Name,
      ).toEqual([]);
    }
    const logs = (await run(['logs', '--no-color'])).all;
    expect(secrets.filter((secret) => logs.includes(secret))).toEqual([]);
    expect(logs).toContain('Vault was sealed, and is open now');
    for (const file of ['keys/root-token', 'keys/unseal-key', 'broker/secret-id', 'acme/secret-id', 'tls/vault.key', 'tls/ca.key'])
      expect(statSync(state(file)).mode & 0o077, file).toBe(0);
  });

  test('brokers are reached by nginx alone: neither from this machine nor by a customer', async () => {
    const broker = await inspect(await idOf('broker'));
    expect(Object.keys(broker.HostConfig.PortBindings ?? {})).toEqual([]);
    const networks = (facts: typeof broker) => Object.keys(facts.NetworkSettings.Networks);
    const customer = await inspect(await idOf('acme-agent'));
    expect(networks(customer).filter((network) => networks(broker).includes(network))).toEqual([]);
  });

  /** Its process ends as it does in an accident, and Docker starts it again by itself; elsewhere than as root it is restarted. */
  async function crash(service: string): Promise<void> {
    const id = await idOf(service);
    const { State, HostConfig } = await inspect(id);
    expect(HostConfig.RestartPolicy).toMatchObject({ Name: 'unless-stopped' });
    if (process.getuid?.() === 0) process.kill(State.Pid, 'SIGKILL');
    else await (await getContainerRuntimeClient()).container.dockerode.getContainer(id).restart({ t: 0 });
    const again = async () => {
      const { State: now } = await inspect(id);
      return now.Running && now.Pid !== State.Pid;
    };
    await expect.poll(again, { timeout: 30_000 }).toBe(true);
  }

  test.each(['vault', 'broker', 'nginx', 'acme-agent', 'broker-agent', 'unseal'])(
    'comes back by itself when %s is killed',
    async (service) => {
      await crash(service);
      const served = () =>
        token().then(
          (text) => text.split('.').length,
          () => 0,
        );
      await expect.poll(served, { timeout: 60_000, interval: 500 }).toBe(3);
      const ready = async () => (await ask('/readyz').catch(() => ({ status: 0 }))).status;
      await expect.poll(ready, { timeout: 30_000 }).toBe(200);
      // A broker serves for a while without it: it must be open as well.
      const open = () =>
        run(['exec', '-T', 'vault', 'vault', 'status']).then(
          ({ exitCode }) => exitCode,
          () => 1,
        );
      await expect.poll(open, { timeout: 30_000, interval: 500 }).toBe(0);
    },
    120_000,
  );

  test('a broker that is killed costs no request: nginx asks the other one', async () => {
    let over = false;
    const seen: number[] = [];
    const asking = (async () => {
      while (!over) seen.push((await ask('/.well-known/jwks.json').catch(() => ({ status: 0 }))).status);
    })();
    await crash('broker');
    // How many fit into that time is the machine's affair; one answer each of both brokers, at least, comes after it.
    const since = seen.length;
    await expect.poll(() => seen.length, { timeout: 30_000 }).toBeGreaterThan(since + 2);
    over = true;
    await asking;
    expect(since).toBeGreaterThan(0);
    expect([...new Set(seen)]).toEqual([200]);
  }, 60_000);

  /** With Compose as it was found, and the ports of this run. */
  async function documented(begins: string): Promise<string> {
    const text = commandsOf('docs/compose.md', begins).replaceAll(':8443', `:${environment['POSTERN_PORT']}`);
    const bin = join(scratch, 'bin');
    mkdirSync(bin, { recursive: true });
    const called = compose.command.map((word) => `'${word}'`).join(' ');
    writeFileSync(join(bin, 'docker'), `#!/bin/sh\n[ "$1" = compose ] || exit 64\nshift\nexec ${called} "$@"\n`, { mode: 0o755 });
    const PATH = compose.command.length === 1 ? `${bin}:${process.env['PATH']}` : process.env['PATH'];
    const { stdout } = await execa('bash', ['-euo', 'pipefail', '-c', text], {
      cwd: folder,
      env: { ...environment, COMPOSE_PROJECT_NAME: project, PATH },
      stdin: 'ignore',
    });
    return stdout;
  }

  test('docs/compose.md: another `up` takes new customers and changes nothing else', async () => {
    const before = readFileSync(state('broker/secret-id'), 'utf8');
    const tfvars = await readFile(join(folder, 'customers.tfvars'), 'utf8');
    writeFileSync(join(folder, 'customers.tfvars'), tfvars.replace(/\}\n$/, '  globex = { grants = [{ api = "orders" }] }\n}\n'));
    expect(await documented('# from nothing')).toMatch(/signature +verified/);
    const logs = (await run(['logs', '--no-color', 'terraform'])).all;
    expect(logs).toMatch(/Apply complete! Resources: [1-9]\d* added, [01] changed, 0 destroyed/);
    expect(readFileSync(state('broker/secret-id'), 'utf8')).toBe(before);
  }, 120_000);

  test('docs/compose.md: what an operator does, and from the machine itself', async () => {
    const said = await documented('# as an operator');
    expect(said).toMatch(/acme[\s\S]*globex[\s\S]*hvs\./);
    registerSecret('wrapping token', /hvs\.[\w-]+/.exec(said)?.[0] ?? '');
    expect(statSync(join(folder, 'vault.snapshot')).size).toBeGreaterThan(1000);
    expect(await documented('curl --cacert')).toContain('"jwks_uri"');
  }, 60_000);

  test('docs/compose.md: certificates and credentials are replaced while it runs', async () => {
    const [certificate, secret] = [readFileSync(state('tls/nginx.crt'), 'utf8'), readFileSync(state('broker/secret-id'), 'utf8')];
    // As after 367 days.
    rmSync(state('tls/nginx.crt'));
    rmSync(state('tls/vault.crt'));
    await documented('# renew certificates');
    expect(readFileSync(state('tls/nginx.crt'), 'utf8')).not.toBe(certificate);
    await documented('# another secret_id');
    const another = readFileSync(state('broker/secret-id'), 'utf8').trim();
    registerSecret('broker secret_id', another);
    expect(another).not.toBe(secret.trim());
    const ready = async () => (await ask('/readyz').catch(() => ({ status: 0 }))).status;
    await expect.poll(ready, { timeout: 30_000 }).toBe(200);
    expect((await token()).split('.')).toHaveLength(3);
  }, 120_000);
});
