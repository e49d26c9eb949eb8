import { chmodSync, createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { execa } from 'execa';
import { GenericContainer, Wait, getContainerRuntimeClient } from 'testcontainers';
import type { StartedTestContainer } from 'testcontainers';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '#dev/port.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { House } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { RUN_LABEL } from '#test/fixture/vault.ts';
import { imageOf } from '#test/part/postern-image.ts';
import { findVault } from '#tools/part/vault.ts';
import { packageVersion } from '#tools/part/version.ts';
import { commandsOf } from '#test/fixture/documentation.ts';
import { imageContext } from '#tools/image/image.ts';
import type { ImageContext } from '#tools/image/image.ts';
import { prepareImage } from '#tools/image/root.ts';

const USER = 65_532;

/** Sharing the machine's network is how a container reaches Vault and the stand-in on its loopback. */
const able = process.env['POSTERN_TEST_HOST_NETWORK'] === 'yes';

/** As docs/install.md starts it. */
class Hardened extends GenericContainer {
  constructor(image: string) {
    super(image);
    this.hostConfig.ReadonlyRootfs = true;
    this.withDroppedCapabilities('ALL').withSecurityOpt('no-new-privileges').withNetworkMode('host');
    this.withLabels({ [RUN_LABEL]: process.env['POSTERN_TEST_RUN'] ?? 'alone' });
  }
}

let scratch: string;
let context: ImageContext;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'postern-image-'));
  chmodSync(scratch, 0o755);
  if (process.platform === 'linux') context = await imageContext(join(scratch, 'build'), () => {});
}, 180_000);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test.runIf(process.platform === 'linux')(
  'the same executable gives the same files, modes and times, whatever the umask',
  async () => {
    const layers = [];
    const before = process.umask();
    for (const mask of [0o022, 0o077, 0o002]) {
      process.umask(mask);
      try {
        const folder = join(scratch, `mask-${mask}`);
        await prepareImage(context.executable, folder);
        const tar = ['--sort=name', '--numeric-owner', '--owner=0', '--group=0', '-C', folder, '-c', 'rootfs'];
        layers.push((await execa('sh', ['-c', 'tar "$@" | sha256sum', 'sh', ...tar])).stdout);
        rmSync(folder, { recursive: true });
      } finally {
        process.umask(before);
      }
    }
    expect(new Set(layers).size).toBe(1);
    expect(layers[0]).toMatch(/^[0-9a-f]{64}/);
  },
  120_000,
);

describe.runIf(able)('the image', () => {
  let house: House;
  let image: string;
  let container: StartedTestContainer;
  let issuer: string;

  beforeAll(async () => {
    [house, image] = await Promise.all([startHouse(), imageOf(context)]);
    const port = await freePort();
    issuer = `http://127.0.0.1:${port}/`;
    const roleId = String((await house.root.read('auth/approle-broker/role/broker/role-id'))?.data?.['role_id']);
    const secretId = String((await house.root.write('auth/approle-broker/role/broker/secret-id')).data?.['secret_id']);
    registerSecret('broker secret_id', secretId);
    writeFileSync(join(scratch, 'secret-id'), secretId, { mode: 0o644 });
    container = await new Hardened(image)
      .withBindMounts([{ source: join(scratch, 'secret-id'), target: '/run/secrets/secret-id', mode: 'ro' }])
      .withEnvironment({
        VAULT_ADDR: house.vault.address,
        POSTERN_ISSUER: issuer,
        POSTERN_LISTEN: `127.0.0.1:${port}`,
        POSTERN_ROLE_ID: roleId,
        POSTERN_SECRET_ID_FILE: '/run/secrets/secret-id',
        POSTERN_AUTH0_ISSUER: house.auth0.issuer,
      })
      .withWaitStrategy(Wait.forLogMessage(/postern listens/))
      .start();
  }, 300_000);
  afterAll(async () => {
    await container?.stop();
    await house?.stop();
  });

  test('exchanges on a read-only root, without a capability, as a user without rights', async () => {
    const healthy = async () => (await container.exec(['/postern', 'health'])).exitCode;
    await expect.poll(healthy, { timeout: 20_000 }).toBe(0);
    const credential = await house.issueSecret('acme');
    for (const audience of ['https://orders.example.com', 'https://reports.example.com'])
      expect(await exchange({ issuer }, credential, { audience })).toMatchObject({ status: 200, body: { token_type: 'Bearer' } });
    const { container: engine } = await getContainerRuntimeClient();
    const { HostConfig, State } = await engine.getById(container.getId()).inspect();
    expect(HostConfig).toMatchObject({ ReadonlyRootfs: true, CapDrop: ['ALL'], SecurityOpt: ['no-new-privileges'] });
    const status = readFileSync(`/proc/${State.Pid}/status`, 'utf8');
    expect(status).toMatch(new RegExp(`^Uid:\\t${USER}\\t${USER}\\t${USER}\\t${USER}$`, 'm'));
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  });

  test('the operators’ commands run in it', async () => {
    const { exitCode, output } = await container.exec(['/postern', 'tenant', 'list', '--json'], {
      env: { VAULT_TOKEN: house.vault.rootToken },
    });
    expect({ exitCode, tenants: JSON.parse(output).tenants.map(({ tenant }: { tenant: string }) => tenant) }).toEqual({
      exitCode: 0,
      tenants: ['acme', 'globex'],
    });
  });

  test('has no shell, nothing that its user may write to, and no program but one', async () => {
    for (const shell of ['/bin/sh', 'sh', 'bash', 'busybox']) {
      const tried = await container.exec([shell, '-c', 'true']).catch(() => ({ exitCode: 126 }));
      expect([126, 127]).toContain(tried.exitCode);
    }
    const { container: engine } = await getContainerRuntimeClient();
    const tar = join(scratch, 'root.tar');
    // Before a container has run: what the engine mounts into one isn't the image's.
    const created = await engine.dockerode.createContainer({ Image: image });
    try {
      await pipeline(await created.export(), createWriteStream(tar));
    } finally {
      await created.remove();
    }
    const { stdout } = await execa('tar', ['--list', '--verbose', '--numeric-owner', '--file', tar]);
    const entries = stdout.split('\n').map((line) => {
      const [mode = '', owner = '', , , , name = ''] = line.split(/\s+/);
      return { mode, owner, name };
    });
    expect(entries.some(({ name }) => name === 'postern')).toBe(true);
    const engines = /^(dev|proc|sys|etc\/(hosts|hostname|resolv\.conf|mtab)|\.dockerenv)/;
    const own = entries.filter(({ name }) => !engines.test(name));
    expect(own.filter(({ mode, owner }) => owner !== '0/0' || (mode[0] !== 'l' && mode[8] === 'w') || /s/i.test(mode))).toEqual([]);
    const programs = own.filter(({ mode, name }) => mode[0] === '-' && mode.includes('x') && !/\.so\b/.test(name));
    expect(programs.map(({ name }) => name)).toEqual(['postern']);
    expect(own.filter(({ name }) => name.startsWith('usr/share/doc/') && name.endsWith('copyright')).length).toBeGreaterThan(0);
  });

  test('is labelled, names its health check and user, and has at most 60 MB compressed', async () => {
    const { container: engine } = await getContainerRuntimeClient();
    const { Config } = await engine.dockerode.getImage(image).inspect();
    expect(Config).toMatchObject({
      User: `${USER}:${USER}`,
      Entrypoint: ['/postern'],
      Cmd: ['serve'],
      Healthcheck: { Test: ['CMD', '/postern', 'health'] },
      Labels: { 'org.opencontainers.image.title': 'postern', 'org.opencontainers.image.version': expect.stringMatching(/^\d+\.\d+\.\d+/) },
    });
    let bytes = 0;
    const count = async (compressed: AsyncIterable<Buffer>): Promise<void> => {
      for await (const chunk of compressed) bytes += chunk.length;
    };
    await pipeline(await engine.dockerode.getImage(image).get(), createGzip({ level: 6 }), count);
    expect(bytes).toBeLessThan(60e6);
  });

  test('docs/install.md: three commands to a first token', async () => {
    const folder = join(scratch, 'three');
    mkdirSync(folder);
    symlinkSync((await findVault()).path, join(folder, 'vault'));
    const port = await freePort();
    const name = `postern-three-${process.pid}`;
    const version = await packageVersion();
    const block = commandsOf('docs/install.md', "# the broker's own credential, in a container")
      .replaceAll('127.0.0.1:8080', `127.0.0.1:${port}`)
      .replaceAll(`postern:${version}`, image)
      .replaceAll('--name postern', `--name ${name}`)
      .replaceAll(' postern /postern', ` ${name} /postern`);
    expect(block).toContain(image);
    const env = {
      PATH: `${folder}:${process.env['PATH']}`,
      VAULT_ADDR: house.vault.address,
      VAULT_TOKEN: house.vault.rootToken,
      HOME: folder,
    };
    const [first, second, third] = block.split('\n\n');
    const run = (text = '') =>
      execa('bash', ['-ec', text], { cwd: folder, env: { DOCKER_HOST: process.env['DOCKER_HOST'], ...env }, extendEnv: false });
    try {
      await run(first);
      registerSecret('broker secret_id', readFileSync(join(folder, 'secret-id'), 'utf8').trim());
      await run(second);
      const healthy = () =>
        run(`docker exec ${name} /postern health`).then(
          ({ exitCode }) => exitCode,
          () => 1,
        );
      await expect.poll(healthy, { timeout: 20_000 }).toBe(0);
      const { stdout } = await run(third);
      registerSecret('access_token', stdout);
      expect(decodeJwt(stdout)).toMatchObject({ aud: 'https://reports.example.com', gty: 'client-credentials' });
    } finally {
      await run(`docker rm --force ${name}`).catch(() => {});
    }
  });

  test('is told what is missing where it is started with nothing', async () => {
    const lines: string[] = [];
    const started = new Hardened(image)
      .withWaitStrategy(Wait.forOneShotStartup())
      .withLogConsumer((stream) => stream.on('data', (line) => lines.push(String(line))));
    await started.start().then(
      (one) => one.stop(),
      () => {},
    );
    await expect.poll(() => lines.join(''), { timeout: 10_000 }).toMatch(/POSTERN_ISSUER is missing/);
  });
});
