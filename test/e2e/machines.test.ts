import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findParts } from '#tools/part/parts.ts';
import { cacheDirectory } from '#tools/part/cache.ts';
import { checkout } from '#tools/part/version.ts';
import { run } from './run.ts';

/** The first ten minutes on other people's machines; what npm does there is in machines-install.test.ts. */
const NOTHING: string[] = [];

/** A copy of what a stack needs of the checkout, so that nobody else's `.postern` is in the way. */
let copy: string;
/** Where the environment of somebody's other work leads: nobody may come here. */
let elsewhere: Server;
let visitors = 0;
const port = (): number => (elsewhere.address() as { port: number }).port;

beforeAll(async () => {
  copy = mkdtempSync(join(tmpdir(), 'postern checkout ü-'));
  chmodSync(copy, 0o755);
  for (const name of ['broker', 'cli', 'dev', 'tools', 'terraform', 'vault-policies', 'examples', 'client', 'package.json', '.gitignore'])
    cpSync(join(checkout, name), join(copy, name), {
      recursive: true,
      filter: (path) => !/\/(\.terraform|target|node_modules)$/.test(path),
    });
  symlinkSync(join(checkout, 'node_modules'), join(copy, 'node_modules'));
  elsewhere = createServer((socket) => {
    visitors += 1;
    socket.destroy();
  }).listen(0, '127.0.0.1');
  await findParts(() => {});
}, 600_000);
afterAll(() => {
  elsewhere?.close();
  rmSync(copy, { recursive: true, force: true });
});

/** What people have set for other work, each to something that would be in the way. */
const foreign = (): Record<string, string> => {
  const url = `http://127.0.0.1:${port()}`;
  return {
    ...Object.fromEntries(['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'http_proxy', 'https_proxy', 'all_proxy'].map((name) => [name, url])),
    NODE_USE_ENV_PROXY: '1',
    NODE_ENV: 'production',
    TF_CLI_ARGS: '-input=false',
    TF_CLI_ARGS_apply: '-nonsense',
    TF_LOG: 'trace',
    TF_DATA_DIR: '/nonexistent',
    TF_WORKSPACE: 'other',
    TF_PLUGIN_CACHE_DIR: '/nonexistent',
    TF_VAR_tenants: 'other',
    TF_CLI_CONFIG_FILE: '/nonexistent',
    TF_REATTACH_PROVIDERS: 'x',
    VAULT_ADDR: url,
    VAULT_TOKEN: 'other',
    VAULT_NAMESPACE: 'other',
    VAULT_CACERT: '/nonexistent',
    VAULT_CAPATH: '/nonexistent',
    VAULT_CLIENT_CERT: '/nonexistent',
    VAULT_CLIENT_KEY: '/nonexistent',
    VAULT_PROXY_ADDR: url,
    VAULT_TLS_SERVER_NAME: 'other',
    VAULT_LOG_LEVEL: 'nonsense',
    VAULT_LICENSE_PATH: '/nonexistent',
    BAO_ADDR: url,
    BAO_CACERT: '/nonexistent',
    AUTH0_DOMAIN: `127.0.0.1:${port()}`,
    AUTH0_CLIENT_ID: 'other',
    AUTH0_CLIENT_SECRET: 'other',
    AUTH0_API_TOKEN: 'other',
    POSTERN_ISSUER: 'nonsense',
    POSTERN_LISTEN: 'nonsense',
    POSTERN_VAULT_AUTH: 'nonsense',
    POSTERN_TLS_CERT_FILE: '/nonexistent',
    GOFLAGS: '-mod=vendor',
    GOOS: 'plan9',
    GIT_DIR: '/nonexistent',
    LC_ALL: 'tr_TR.UTF-8',
    CDPATH: '/',
    GREP_OPTIONS: '--nonsense',
  };
};

const inCopy = (args: string[], options: { env?: Record<string, string>; stack?: string } = {}): ReturnType<typeof run> =>
  run(args, { ...options, checkout: copy });

describe('a stack', () => {
  test('has settings of its own, takes another port than one that is taken, and another may start beside it', async () => {
    const taken = createServer((socket) => socket.destroy()).listen(8080, '127.0.0.1');
    // Somebody else may have it already.
    taken.on('error', () => {});
    try {
      await using dev = inCopy(['cli/main.ts', 'dev'], { stack: 'dev', env: foreign() });
      await using demo = inCopy(['dev/demo.ts', '--json'], { env: foreign() });
      await using other = inCopy(['dev/demo.ts', '--json'], { env: foreign() });
      await dev.until('tenant list');
      for (const one of [demo, other]) {
        expect((await one.ended).code, `${one.err()}\n${one.out()}`).toBe(0);
        expect(await one.leftovers()).toEqual(NOTHING);
      }
      expect(dev.err()).toMatch(/^Port 8080 is taken by another program: the broker has \d+ instead, and so do the lines below\.$/m);
      expect(dev.out()).not.toMatch(/:8080\b/);
      // As pasted into a shell with the same environment.
      const paste = async (line: string): Promise<string> =>
        (
          await execa('bash', ['-euc', line], {
            cwd: copy,
            env: { PATH: process.env['PATH'] ?? '', HOME: copy, ...foreign() },
            extendEnv: false,
          })
        ).stdout;
      const form = '-d @.postern/dev/acme.form -d audience=https://orders.example.com';
      expect(await paste(`. .postern/dev/env; curl -s $POSTERN_URL/oauth/token ${form}`)).toContain('access_token');
      expect(await paste('. .postern/dev/env && bash examples/curl/workload.sh $SERVICE/orders')).toContain('"api":"orders"');
      const refused = await execa(
        'bash',
        ['-c', '. .postern/dev/env; POSTERN_CLIENT_SECRET=0 bash examples/curl/workload.sh $SERVICE/orders'],
        {
          cwd: copy,
          reject: false,
        },
      );
      expect(refused.stderr).toContain('"error_description"');
      expect(visitors).toBe(0);
      dev.press('SIGINT');
      expect((await dev.ended).code, dev.err()).toBe(0);
      expect(dev.err()).toContain('Stopping: ');
      expect(await dev.leftovers()).toEqual(NOTHING);
    } finally {
      taken.close();
    }
  }, 180_000);

  test.each([
    ['Ctrl-C twice', ['SIGINT', 'SIGINT'], 0],
    ['Ctrl-C five times at once', ['SIGINT', 'SIGINT', 'SIGINT', 'SIGINT', 'SIGINT'], 0],
    ['Ctrl-C and then a hard kill', ['SIGINT', 'SIGKILL'], 200],
    ['a hard kill of all that the terminal has started', ['SIGKILL'], 0],
  ] as const)('while Terraform applies: after %s nothing is left', async (_how, signals, pause) => {
    await using demo = inCopy(['dev/demo.ts']);
    while (!demo.processes().some((line) => line.includes('terraform-provider'))) {
      await sleep(20);
      if (demo.out().includes('a customer')) throw new Error('no provider was seen');
    }
    for (const signal of signals) {
      try {
        demo.press(signal);
      } catch {
        // It has ended by now.
      }
      await sleep(pause);
    }
    const began = Date.now();
    await demo.ended;
    expect(Date.now() - began).toBeLessThan(15_000);
    if (signals[0] === 'SIGINT') expect(demo.err()).toContain('Stopping: ');
    expect(await demo.leftovers()).toEqual(NOTHING);
  });
});

test('one Ctrl-C in the tests: nothing is left', async () => {
  // Short, as Unix sockets want it.
  const temporary = mkdtempSync('/tmp/pt-');
  await using tests = run(['node_modules/vitest/vitest.mjs', 'run', '--project', 'integration', 'test/integration/exchange.test.ts'], {
    env: { POSTERN_DOCKER: 'off', TMPDIR: temporary },
    stack: 'none',
    checkout,
  });
  while (!tests.processes().some((line) => line.includes('terraform-provider'))) {
    await sleep(20);
    if (/passed|failed/.test(tests.out())) throw new Error(`no provider was seen\n${tests.out()}${tests.err()}`);
  }
  tests.press('SIGINT');
  expect((await tests.ended).code).not.toBe(0);
  expect(tests.err()).toContain('Stopping: ');
  for (let i = 0; readdirSync(temporary).length > 0 && i < 150; i += 1) await sleep(100);
  expect(readdirSync(temporary)).toEqual([]);
  // Vitest's own note of a secret stays in the home, as with everybody.
  expect((await tests.leftovers()).filter((left) => !left.includes('/.local'))).toEqual(NOTHING);
  rmSync(temporary, { recursive: true });
});

describe('what can not be written is told in one line, in seconds', () => {
  const ONE_LINE = /^(error: )?[A-Z][^\n]* can't be written \([^\n]+\): [^\n]+\. [A-Z][^\n]+\.\n?$/;
  const told = async (running: ReturnType<typeof run>, what: RegExp): Promise<void> => {
    const began = Date.now();
    await using demo = running;
    const { code } = await demo.ended;
    const said = demo
      .err()
      .split('\n')
      .filter((line) => !line.endsWith(' ...') && line !== '')
      .join('\n');
    expect(code, said).not.toBe(0);
    expect(said).toMatch(ONE_LINE);
    expect(said).toMatch(what);
    expect(Date.now() - began).toBeLessThan(20_000);
  };

  test('a temporary folder that is not there', () =>
    told(inCopy(['dev/demo.ts'], { env: { TMPDIR: join(copy, 'nowhere') } }), /temporary folder.*no such folder.*TMPDIR/));

  test.each([
    ['in which no folder can be made', '/proc/nowhere', /cache of parts.*XDG_CACHE_HOME/],
    ['below a file', join(checkout, 'package.json'), /cache of parts.*a part of this path is a file/],
  ])('a cache %s', async (_what, folder, what) => {
    // Nothing of it on PATH either.
    await told(inCopy(['dev/demo.ts'], { env: { XDG_CACHE_HOME: folder, PATH: '/usr/bin:/bin' } }), what);
  });

  test('a file where the stacks are', async () => {
    rmSync(join(copy, '.postern'), { recursive: true, force: true });
    writeFileSync(join(copy, '.postern'), '');
    await told(inCopy(['dev/demo.ts']), /folder for what runs.*(a file has this name|a part of this path is a file)/);
    rmSync(join(copy, '.postern'));
  });

  test("somebody else's folder, read-only file systems and full disks", async (context) => {
    mkdirSync(join(copy, '.postern'), { recursive: true });
    chmodSync(join(copy, '.postern'), 0o500);
    const node = [process.execPath, join(copy, 'dev/demo.ts')].map((word) => `'${word}'`).join(' ');
    const cache = `XDG_CACHE_HOME='${join(cacheDirectory(process.env), '..')}'`;
    const sh = (script: string): { all: string } => {
      try {
        return { all: execFileSync('/bin/sh', ['-c', `exec 2>&1; ${script}`], { cwd: copy, encoding: 'utf8', timeout: 60_000 }) };
      } catch (error) {
        return { all: String((error as { stdout?: string }).stdout) };
      }
    };
    const as = process.getuid?.() === 0 ? 'setpriv --reuid=65534 --regid=65534 --clear-groups ' : '';
    if (as === '' || !/can't|denied|not found/i.test(sh(`${as}${process.execPath} --version`).all))
      expect(sh(`${cache} HOME=/nonexistent ${as}${node}`).all).toMatch(
        /folder for what runs can't be written .*(permission is denied|belongs to root)/,
      );
    else process.stderr.write('machines: another user can not run this Node; only other reasons are tried\n');
    chmodSync(join(copy, '.postern'), 0o700);

    // A mount of our own, which others don't see.
    const mounted = (mount: string, command: string): string => sh(`unshare -rm /bin/sh -ec "${mount}; ${command}"`).all;
    if (!mounted('mount -t tmpfs none /mnt', 'echo yes').includes('yes')) return context.skip('mounts of our own are not allowed here');
    const stacks = `'${join(copy, '.postern')}'`;
    const demo = `${cache} ${node}`;
    expect(mounted(`mount -t tmpfs -o ro none ${stacks}`, demo)).toMatch(
      /folder for what runs can't be written .*: the file system is read-only\./,
    );
    expect(mounted(`mount -t tmpfs -o size=8m none ${stacks}`, demo)).toMatch(
      /folder for what runs can't be written .*: 8 MB are free there, 100 MB/,
    );
    const fresh = `XDG_CACHE_HOME=/mnt PATH=/usr/bin:/bin ${node}`;
    expect(mounted('mount -t tmpfs -o ro none /mnt', fresh)).toMatch(
      /cache of parts can't be written \(\/mnt.*: the file system is read-only\./,
    );
    expect(mounted('mount -t tmpfs -o size=8m none /mnt', fresh)).toMatch(
      /cache of parts can't be written \(\/mnt.*: 8 MB are free there, 700 MB/,
    );
    return undefined;
  });
});

test('npm pack in client/ leaves nothing that git would take', () => {
  const ignored = execFileSync('git', ['check-ignore', '--no-index', 'client/dist/credentials.js', 'client/postern-client-0.1.0.tgz'], {
    cwd: checkout,
    encoding: 'utf8',
  });
  expect(ignored.trim().split('\n')).toHaveLength(2);
  expect(existsSync(join(checkout, 'client/package.json'))).toBe(true);
  expect(readFileSync(join(checkout, 'README.md'), 'utf8')).toMatch(/GB of disk/);
});
