import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '#dev/port.ts';
import { buildDist } from '#tools/dist/build.ts';
import type { Artifact } from '#tools/dist/build.ts';
import { bundle } from '#tools/dist/bundle.ts';
import { checkout, packageVersion } from '#tools/part/version.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { House } from '#test/fixture/broker.ts';
import { commandsOf } from '#test/fixture/documentation.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startSystemd } from '#test/fixture/systemd.ts';
import { findVault } from '#tools/part/vault.ts';

/** The oldest Node that the package is for; that of the checkout is the other one tried. */
const NODE_22 = '22.21.1';
/** As strict as a careful user's. */
const TSC = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2024', '--types', ''];
const ORDERS = 'https://orders.example.com';

let scratch: string;
let house: House;
let artifacts: Artifact[];
const artifact = (kind: Artifact['kind']): Artifact => artifacts.find((one) => one.kind === kind)!;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'postern-dist-'));
  // Whoever runs the artifacts may be another user.
  chmodSync(scratch, 0o755);
  [house, artifacts] = await Promise.all([startHouse(), buildDist({ folder: join(scratch, 'dist'), report: () => {} })]);
}, 300_000);
afterAll(async () => {
  // Those of tests that failed half-way.
  for (const child of children) child.kill('SIGKILL');
  await house?.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const children: ChildProcess[] = [];

/** An ordinary user where the tests run as root. */
const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

/** A directory of that user's with nothing in it. */
function emptyDirectory(): string {
  const folder = mkdtempSync(join(scratch, 'empty-'));
  chmodSync(folder, 0o777);
  return folder;
}

/** What a broker on this port is told, and a directory with its secret_id. */
async function settings(port: number): Promise<{ cwd: string; issuer: string; env: Record<string, string> }> {
  const cwd = emptyDirectory();
  const issuer = `http://127.0.0.1:${port}/`;
  const roleId = String((await house.root.read('auth/approle-broker/role/broker/role-id'))?.data?.['role_id']);
  const { data } = await house.root.write('auth/approle-broker/role/broker/secret-id', {});
  const secretId = String(data?.['secret_id']);
  registerSecret('broker secret_id', secretId);
  const secretFile = join(cwd, 'secret-id');
  writeFileSync(secretFile, secretId, { mode: 0o644 });
  const env = {
    VAULT_ADDR: house.vault.address,
    POSTERN_ISSUER: issuer,
    POSTERN_LISTEN: `127.0.0.1:${port}`,
    POSTERN_ROLE_ID: roleId,
    POSTERN_SECRET_ID_FILE: secretFile,
    POSTERN_AUTH0_ISSUER: house.auth0.issuer,
    POSTERN_AUTH0_BINDING: 'action',
  };
  return { cwd, issuer, env };
}

/** Runs `program serve` with nothing around it, until it is ready. */
async function serve(
  program: string,
  args: string[],
  path = '',
): Promise<{ child: ChildProcess; issuer: string; env: Record<string, string>; cwd: string }> {
  const port = await freePort();
  const { cwd, issuer, env: own } = await settings(port);
  const env = { ...own, PATH: path };
  const child = spawn(program, args, { cwd, env, ...nobody, stdio: ['ignore', 'ignore', 'pipe'] });
  children.push(child);
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (log += text));
  for (let waited = 0; ; waited += 50) {
    if (
      await fetch(`${issuer}readyz`).then(
        async (response) => (await response.text(), response.ok),
        () => false,
      )
    )
      break;
    if (child.exitCode !== null || waited > 20_000) throw new Error(`it is not ready:\n${log.slice(-2000)}`);
    await sleep(50);
  }
  return { child, issuer, env, cwd };
}

async function stop(child: ChildProcess): Promise<number | null> {
  child.kill('SIGTERM');
  return new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve(child.exitCode)));
}

test('what is made is what SHA256SUMS, SBOM and notices say', async () => {
  const version = await packageVersion();
  expect(artifacts.map(({ kind, file }) => [kind, basename(file)])).toEqual([
    ['executable', 'postern'],
    ['package', `postern-${version}.tgz`],
  ]);
  for (const { kind, file, with: files } of artifacts) {
    const [sbom, notices] = files.map((name) => readFileSync(join(dirname(file), name), 'utf8'));
    const { bomFormat, specVersion, metadata, components } = JSON.parse(sbom!);
    expect({ bomFormat, specVersion, name: metadata.component.name }).toEqual({
      bomFormat: 'CycloneDX',
      specVersion: '1.6',
      name: basename(file),
    });
    const names = components.map(({ name }: { name: string }) => name);
    expect(names).toEqual(expect.arrayContaining(['zod', 'jose', 'node-vault', 'fastify']));
    expect(names.includes('node')).toBe(kind === 'executable');
    for (const { name, purl, licenses } of components) {
      expect(purl, name).toMatch(/^pkg:(npm|generic)\/\S+@\d/);
      expect(licenses, name).not.toEqual([]);
      if (name !== 'node') expect(notices).toContain(`\n${name} `);
    }
    // Node's own, which names what Node is made of.
    expect(notices!.includes('Copyright Node.js contributors')).toBe(kind === 'executable');
    expect(notices!.includes('The externally maintained libraries used by Node.js are')).toBe(kind === 'executable');
  }
});

test('nothing of development is in it', async () => {
  const { sources, packages, text } = await bundle({ entry: 'cli/main.ts', version: '0.0.0' });
  expect(sources.length).toBeGreaterThan(200);
  expect(sources.filter((file) => !/^(broker|cli)\//.test(file))).toEqual([]);
  const lock = JSON.parse(readFileSync(join(checkout, 'package-lock.json'), 'utf8')) as { packages: Record<string, { dev?: boolean }> };
  expect(packages.filter(({ folder }) => lock.packages[folder] === undefined || lock.packages[folder].dev === true)).toEqual([]);
  // By content: names that the stand-in for Auth0 and the embedded stack can't do without. Prose doesn't count: help tells of `dev`.
  expect(text.match(/oauth2-mock-server|testcontainers|startAuth0|startDevVault/g) ?? []).toEqual([]);
  const marks = readFileSync(join(checkout, 'dev/auth0/stand-in.ts'), 'utf8') + readFileSync(join(checkout, 'dev/vault.ts'), 'utf8');
  expect(marks).toMatch(/startAuth0/);
  expect(marks).toMatch(/startDevVault/);
});

test('the same sources in another folder give the same bytes', async () => {
  const copy = join(scratch, 'elsewhere/checkout');
  const { stdout } = await execa('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: checkout });
  mkdirSync(copy, { recursive: true });
  const tar = join(scratch, 'files.tar');
  await execa('tar', ['cf', tar, '--null', '--ignore-failed-read', '-T', '-'], { cwd: checkout, input: stdout });
  await execa('tar', ['xf', tar, '-C', copy]);
  await execa('cp', ['-a', join(checkout, 'node_modules'), copy]);
  await execa(process.execPath, [join(copy, 'tools/dist/main.ts'), '--folder', join(scratch, 'again')], { cwd: copy });
  const sums = readFileSync(join(scratch, 'again/SHA256SUMS'), 'utf8');
  expect(sums).toBe(artifacts.map(({ file, sha256 }) => `${sha256}  ${basename(file)}\n`).join(''));
  for (const name of artifacts.flatMap((one) => one.with))
    expect(readFileSync(join(scratch, 'again', name), 'utf8') === readFileSync(join(scratch, 'dist', name), 'utf8'), name).toBe(true);
}, 180_000);

describe('the executable', () => {
  const program = (): string => artifact('executable').file;

  test('runs the broker and the operators’ commands in an empty directory, as a user without rights', async () => {
    const { child, issuer, env, cwd } = await serve(program(), ['serve']);
    const credential = await house.issueSecret('acme');
    expect(await exchange({ issuer }, credential, { audience: ORDERS })).toMatchObject({ status: 200, body: { token_type: 'Bearer' } });
    const run = (args: string[], more: Record<string, string> = {}) =>
      execa(program(), args, { cwd, env: { ...env, ...more }, extendEnv: false, reject: false, ...nobody });
    expect(await run(['health'])).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('is ready') });
    const asRoot = { VAULT_TOKEN: house.vault.rootToken, HOME: cwd };
    const listed = await run(['tenant', 'list', '--json'], asRoot);
    expect(JSON.parse(listed.stdout)).toMatchObject({ tenants: [{ tenant: 'acme' }, { tenant: 'globex' }] });
    // It knows the policies of its version, though there is no checkout.
    const doctor = await run(['doctor', '--json'], asRoot);
    expect(doctor.stdout).toContain('as vault-policies/ says');
    expect(doctor.stdout).not.toContain('not compared');
    expect(await stop(child)).toBe(0);
    expect(await run(['health'])).toMatchObject({ exitCode: 5 });
    expect(readdirSync(cwd)).toEqual(['secret-id']);
  });

  test.each<[string[], number, RegExp]>([
    [['--version'], 0, /^\d+\.\d+\.\d+$/],
    [['--help'], 0, /postern serve|serve /],
    [['serve', '--help'], 0, /Usage: postern serve/],
    [['dev'], 6, /is not installed here[\s\S]*make dev/],
    [['serve'], 6, /POSTERN_ISSUER is missing/],
    [['health', '--timeout', 'x'], 2, /--timeout/],
    [['health', '--url', 'file:///etc/passwd'], 2, /not an http or https address/],
  ])('%j', async (args, exitCode, says) => {
    const { exitCode: code, all } = await execa(program(), args, {
      cwd: emptyDirectory(),
      env: {},
      extendEnv: false,
      reject: false,
      all: true,
      ...nobody,
    });
    expect({ code, all }).toMatchObject({ code: exitCode, all: expect.stringMatching(says) });
  });

  test('docs/install.md: three commands from an empty directory to a first token', async () => {
    const cwd = emptyDirectory();
    const bin = join(scratch, 'three-bin');
    mkdirSync(bin);
    // The cache of parts may be in a folder that others can't enter.
    copyFileSync((await findVault()).path, join(bin, 'vault'));
    chmodSync(join(bin, 'vault'), 0o755);
    symlinkSync(program(), join(cwd, 'postern'));
    const port = await freePort();
    const text = commandsOf('docs/install.md', "# the broker's own credential, for the executable").replaceAll(
      '127.0.0.1:8080',
      `127.0.0.1:${port}`,
    );
    const [first, second, third] = text.split('\n\n');
    const env = {
      PATH: `${bin}:/usr/bin:/bin`,
      HOME: cwd,
      VAULT_ADDR: house.vault.address,
      VAULT_TOKEN: house.vault.rootToken,
      POSTERN_URL: `http://127.0.0.1:${port}`,
    };
    const run = (line = '', more = {}) => execa('bash', ['-ec', line], { cwd, env: { ...env, ...more }, extendEnv: false, ...nobody });
    await run(first);
    registerSecret('broker secret_id', readFileSync(join(cwd, 'secret-id'), 'utf8').trim());
    const broker = run(`${second}\necho $! > pid; wait`).catch(() => {});
    try {
      const healthy = () =>
        run('./postern health', { POSTERN_LISTEN: `127.0.0.1:${port}` }).then(
          ({ exitCode }) => exitCode,
          () => 1,
        );
      await expect.poll(healthy, { timeout: 20_000 }).toBe(0);
      const { stdout } = await run(third);
      registerSecret('access_token', stdout);
      expect(decodeJwt(stdout)).toMatchObject({ aud: 'https://reports.example.com', gty: 'client-credentials' });
    } finally {
      process.kill(Number(readFileSync(join(cwd, 'pid'), 'utf8')), 'SIGTERM');
      await broker;
    }
  });

  test('runs under deploy/systemd/postern.service, by a systemd of its own', { timeout: 120_000 }, async ({ skip }) => {
    const port = await freePort();
    const issuer = `http://127.0.0.1:${port}/`;
    const { env } = await settings(port);
    const { POSTERN_SECRET_ID_FILE: secretFile = '', PATH: _none, ...unit } = env;
    const service = readFileSync(join(checkout, 'deploy/systemd/postern.service'), 'utf8');
    const systemd = await startSystemd({
      folder: emptyDirectory(),
      programs: { postern: artifact('executable').file },
      etc: {
        // Without what a whole machine would have to start first.
        'systemd/system/postern.service': service
          .replaceAll(/^(Wants|After)=.*$/gm, '')
          .replace('[Unit]', '[Unit]\nDefaultDependencies=no'),
        'postern/postern.env': Object.entries({ ...unit, POSTERN_LAME_DUCK: '0' })
          .map(([name, value]) => `${name}=${value}\n`)
          .join(''),
        'postern/secret_id': readFileSync(secretFile, 'utf8'),
      },
    });
    if (typeof systemd === 'string') return skip(systemd);
    await using _ends = systemd;
    const stateOf = async (...names: string[]) => (await systemd.systemctl('show', 'postern', ...names.map((name) => `-p${name}`))).stdout;
    const { stderr } = await systemd.systemctl('start', 'postern');
    expect(stderr).toBe('');
    const ready = () =>
      fetch(`${issuer}readyz`).then(
        async (response) => (await response.text(), response.status),
        () => 0,
      );
    await expect.poll(ready, { timeout: 20_000 }).toBe(200);
    const credential = await house.issueSecret('acme');
    expect((await exchange({ issuer }, credential, { audience: ORDERS })).status).toBe(200);

    // As logrotate does: the new file is there, and the exchange before lies in one of them, since lines are written together.
    await systemd.shell('mv /var/log/postern/audit.jsonl /var/log/postern/audit.jsonl.1');
    expect((await systemd.systemctl('reload', 'postern')).exitCode).toBe(0);
    await expect.poll(() => systemd.shell('ls /var/log/postern'), { timeout: 10_000 }).toContain('audit.jsonl\n');
    await expect.poll(() => systemd.shell('cat /var/log/postern/audit.jsonl*')).toContain('token.exchange');
    expect(await stateOf('ActiveState', 'NRestarts')).toBe('NRestarts=0\nActiveState=active');

    // Killed, it is started again; stopped, it ended well.
    await systemd.systemctl('kill', '--signal=KILL', 'postern');
    await expect.poll(() => stateOf('NRestarts'), { timeout: 20_000 }).toBe('NRestarts=1');
    await expect.poll(ready, { timeout: 20_000 }).toBe(200);
    await systemd.systemctl('stop', 'postern');
    expect(await stateOf('Result', 'ExecMainStatus', 'ActiveState')).toBe('Result=success\nExecMainStatus=0\nActiveState=inactive');

    // Wrong settings end it for good.
    await systemd.shell('echo POSTERN_ISSUER=nonsense > /etc/postern/postern.env');
    await systemd.systemctl('start', 'postern');
    await expect
      .poll(() => stateOf('Result', 'NRestarts', 'ExecMainStatus', 'ActiveState'))
      .toBe('Result=exit-code\nNRestarts=0\nExecMainStatus=6\nActiveState=failed');
  });

  test('what the environment tells Node has no say in it', async () => {
    const hostile = { NODE_OPTIONS: '--no-such-flag', NODE_EXTRA_CA_CERTS: '/nonexistent' };
    expect(await execa(program(), ['--version'], { env: hostile, extendEnv: false, reject: false })).toMatchObject({ exitCode: 0 });
  });
});

describe.each([['the checkout’s Node'], [NODE_22]])('the npm package on %s', (version) => {
  test('is installed by npm into an empty prefix, and serves', async () => {
    const node = version === NODE_22 ? await node22() : process.execPath;
    const prefix = mkdtempSync(join(scratch, 'prefix-'));
    chmodSync(prefix, 0o755);
    const npm = (await execa('sh', ['-c', 'command -v npm'])).stdout;
    const path = [dirname(node), join(prefix, 'bin'), dirname(npm), '/usr/bin', '/bin'].join(delimiter);
    const env = { PATH: path, HOME: prefix, npm_config_cache: join(prefix, 'cache'), npm_config_offline: 'true' };
    await execa(npm, ['install', '--global', '--prefix', prefix, '--no-fund', '--no-audit', artifact('package').file], {
      env,
      extendEnv: false,
    });
    const folder = join(prefix, 'lib/node_modules');
    expect(readdirSync(folder)).toEqual(['postern']);
    const sizes = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => statSync(join(folder, file)).size);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(40e6);
    const program = join(prefix, 'bin/postern');
    const help = await execa(program, ['--help'], { env, extendEnv: false });
    expect(help.stdout).toContain('Usage: postern');
    const { child, issuer } = await serve(program, ['serve'], path);
    expect(await exchange({ issuer }, await house.issueSecret('acme'), { audience: ORDERS })).toMatchObject({ status: 200 });
    expect(await stop(child)).toBe(0);

    // As a part of another program.
    const embedding = join(scratch, `embedding-${basename(prefix)}.cjs`);
    writeFileSync(
      embedding,
      `const { startBroker } = require(${JSON.stringify(join(folder, 'postern'))});\n` +
        "startBroker({}).then(() => process.exit(9), (error) => { console.log(error.code, error.message.split('\\n')[1].trim()); });\n",
    );
    expect((await execa(node, [embedding], { env, extendEnv: false })).stdout).toBe('misconfigured POSTERN_ISSUER is missing');

    // Its types stand alone, and know a wrong use.
    const typed = mkdtempSync(join(scratch, 'typed-'));
    mkdirSync(join(typed, 'node_modules'));
    symlinkSync(join(folder, 'postern'), join(typed, 'node_modules/postern'));
    writeFileSync(join(typed, 'package.json'), '{"type":"module"}');
    const good =
      "import { startBroker, type RunningBroker } from 'postern';\n" +
      'const broker: RunningBroker = await startBroker({ VAULT_ADDR: undefined }, { log: (line: string) => void line });\n';
    writeFileSync(join(typed, 'good.ts'), `${good}const port: number = broker.port;\nawait broker.close();\nvoid port;\n`);
    writeFileSync(join(typed, 'bad.ts'), `${good}const port: string = broker.port;\nvoid port;\n`);
    const check = (file: string) =>
      execa(process.execPath, [join(checkout, 'node_modules/typescript/bin/tsc'), '--ignoreConfig', ...TSC, file], {
        cwd: typed,
        reject: false,
        all: true,
      });
    expect(await check('good.ts')).toMatchObject({ exitCode: 0, all: '' });
    expect((await check('bad.ts')).all).toMatch(/^bad\.ts\(3,7\): error TS2322/);
  }, 120_000);
});

/** By npm, which has every Node as a package for each platform. */
async function node22(): Promise<string> {
  const folder = join(scratch, 'node22');
  mkdirSync(folder, { recursive: true });
  const name = `node-${process.platform}-${process.arch}`;
  await execa('npm', ['install', '--no-save', '--no-fund', '--no-audit', '--ignore-scripts', '--prefix', folder, `${name}@${NODE_22}`], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
  });
  return join(folder, 'node_modules', name, 'bin/node');
}
