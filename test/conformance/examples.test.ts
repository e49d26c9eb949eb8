import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestContext } from 'vitest';
import { startService } from '#dev/service.ts';
import type { SampleService } from '#dev/service.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica } from '#test/fixture/broker.ts';
import { virtualEnvironment } from './virtual-environment.ts';

const at = (path: string): string => fileURLToPath(new URL(`../../examples/${path}`, import.meta.url));
const AUDIENCE = 'https://orders.example.com';

/** A command that runs the example, the address to call at its end; or why it can't be had here. */
type Ready = readonly [string, ...string[]] | { missing: string };

const UNREACHABLE =
  /dial tcp|no such host|i\/o timeout|connection refused|GOPROXY=off|Unknown host|Could not transfer|Connection timed out/;

const EXAMPLES: Readonly<Record<string, (folder: string) => Promise<Ready>>> = {
  async curl() {
    return (await there('curl')) ? ['bash', at('curl/workload.sh')] : { missing: 'there is no curl' };
  },
  async python() {
    const made = await virtualEnvironment(fileURLToPath(new URL('python/requirements.txt', import.meta.url)));
    return 'missing' in made ? made : [join(made.bin, 'python'), '-I', at('python/workload.py')];
  },
  async go(folder) {
    if (!(await there('go', 'version'))) return { missing: 'there is no go' };
    const program = join(folder, 'workload');
    const built = await execa('go', ['build', '-trimpath', '-o', program, '.'], {
      cwd: at('go'),
      env: { CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false' },
      reject: false,
      timeout: 200_000,
    });
    return afterBuild('Go', built, [program]);
  },
  async java(folder) {
    if (!(await there('mvn')) || !(await there('javac'))) return { missing: 'there is no Maven or no JDK' };
    const project = join(folder, 'java');
    await cp(at('java'), project, { recursive: true });
    const built = await execa('mvn', ['-q', '-B', 'package'], { cwd: project, reject: false, timeout: 200_000, all: true });
    return afterBuild('Java', { failed: built.failed, stderr: built.all }, [
      'java',
      '-cp',
      `${project}/target/*:${project}/target/libs/*`,
      'Workload',
    ]);
  },
};

let house: House;
let replica: LocalReplica;
let service: SampleService;
let acme: Credential;
let folder: string;
const ready: Record<string, Ready> = {};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-examples-'));
  house = await startHouse();
  replica = await house.startReplica();
  service = await startService([{ name: 'orders', issuer: house.auth0.issuer, audience: AUDIENCE, scope: 'read:orders' }]);
  acme = await house.issueSecret('acme');
  for (const [name, prepare] of Object.entries(EXAMPLES)) {
    const made = await prepare(folder);
    ready[name] = made;
    if ('missing' in made) process.stderr.write(`conformance: the example in ${name} is skipped: ${made.missing}\n`);
  }
}, 500_000);
afterAll(async () => {
  await service?.stop();
  await house?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

describe.each(Object.keys(EXAMPLES))('the example in %s', (name) => {
  const run = (context: TestContext, credential: Pick<Credential, 'client_id' | 'client_secret'>) => {
    const command = ready[name];
    if (command === undefined || 'missing' in command) return context.skip(command?.missing ?? 'it was not prepared');
    const [program, ...args] = command;
    return execa(program, [...args, `${service.address}/orders`], {
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: folder,
        POSTERN_ISSUER: replica.issuer,
        POSTERN_CLIENT_ID: credential.client_id,
        POSTERN_CLIENT_SECRET: credential.client_secret,
        POSTERN_AUDIENCE: AUDIENCE,
      },
      extendEnv: false,
      reject: false,
      timeout: 60_000,
    });
  };

  it('gets through to the service', async (context) => {
    const { stdout, stderr, exitCode } = await run(context, acme);
    expect(exitCode, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      api: 'orders',
      verified: { iss: house.auth0.issuer, aud: AUDIENCE, 'https://postern.dev/tenant': 'acme' },
    });
  });

  it('fails with a wrong secret, and shows none', async (context) => {
    const { stdout, stderr, exitCode } = await run(context, { ...acme, client_secret: '00000000-aaaa-bbbb-cccc-000000000000' });
    expect(exitCode).not.toBe(0);
    expect(stdout).not.toContain('"verified"');
    expect(stdout + stderr).toMatch(/access_denied|Unauthorized/);
    expect(stdout + stderr).not.toContain('aaaa-bbbb-cccc');
  });
});

function afterBuild(
  language: string,
  { failed, stderr }: { failed: boolean; stderr: string },
  command: readonly [string, ...string[]],
): Ready {
  if (!failed) return command;
  if (UNREACHABLE.test(stderr)) return { missing: `the package registry of ${language} can't be reached` };
  throw new Error(`the example in ${language} does not build: ${stderr}`);
}

const there = async (program: string, argument = '--version'): Promise<boolean> =>
  (await execa(program, [argument], { reject: false })).code !== 'ENOENT';
