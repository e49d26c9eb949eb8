import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startService } from '#dev/service.ts';
import type { SampleService } from '#dev/service.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const AUDIENCE = 'https://orders.example.com';

/** As a stranger's program: plain JavaScript, and the package as it would be published. */
const PROGRAM = `
import { credentials } from '@postern/client';
const { proof, ...target } = JSON.parse(process.env.SETTINGS);
const client = credentials({ ...target, ...proof });
try {
  const answers = await Promise.all(Array.from({ length: 5 }, () => client.fetch('/orders').then((r) => r.json())));
  console.log(JSON.stringify(answers));
} catch (error) {
  console.log(JSON.stringify({ name: error.name, status: error.status, error: error.error, message: error.message }));
}
`;

let house: House;
let replica: LocalReplica;
let service: SampleService;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-client-'));
  // The version of the compiler that this repository pins, and its folder of packages for what the client depends on.
  const { stdout } = await execa('npm', ['pack', '--json', '--pack-destination', folder], {
    cwd: join(REPOSITORY, 'client'),
    env: { PATH: `${REPOSITORY}node_modules/.bin:${process.env['PATH']}` },
  });
  const packed = JSON.parse(stdout.slice(stdout.indexOf('['))) as [{ filename: string; files: { path: string }[] }];
  expect(packed[0].files.map(({ path }) => path).sort()).toEqual([
    'README.md',
    'dist/credentials.d.ts',
    'dist/credentials.js',
    'package.json',
  ]);
  const home = join(folder, 'node_modules', '@postern', 'client');
  await mkdir(home, { recursive: true });
  await execa('tar', ['-xzf', join(folder, packed[0].filename), '-C', home, '--strip-components=1']);
  for (const name of ['openid-client', 'oauth4webapi', 'jose'])
    await symlink(join(REPOSITORY, 'node_modules', name), join(folder, 'node_modules', name));
  await writeFile(join(folder, 'program.mjs'), PROGRAM);
  house = await startHouse();
  replica = await house.startReplica();
  service = await startService([{ name: 'orders', issuer: house.auth0.issuer, audience: AUDIENCE, scope: 'read:orders' }]);
});
afterAll(async () => {
  await service?.stop();
  await house?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

async function run(proof: object): Promise<unknown> {
  const settings = { issuer: replica.issuer, service: service.address, audience: AUDIENCE, proof };
  const { stdout } = await execa('node', ['program.mjs'], {
    cwd: folder,
    env: { PATH: `${REPOSITORY}node_modules/.bin:${process.env['PATH']}`, SETTINGS: JSON.stringify(settings) },
    extendEnv: false,
    timeout: 30_000,
  });
  return JSON.parse(stdout);
}

const through = { api: 'orders', verified: expect.objectContaining({ aud: AUDIENCE, 'https://postern.dev/tenant': 'acme' }) };

it('the packed client gets a secret_id through to the service', async () => {
  const { client_id: clientId, client_secret: clientSecret } = await house.issueSecret('acme');
  expect(await run({ clientId, clientSecret })).toEqual(Array.from({ length: 5 }, () => through));
});

it('the packed client gets a Vault token through to the service', async () => {
  const { client_id: roleId, client_secret: secretId } = await house.issueSecret('acme');
  const login = await house.root.write('auth/approle/login', { role_id: roleId, secret_id: secretId });
  const vaultToken = String(login.auth?.['client_token']);
  registerSecret('Vault token', vaultToken);
  expect(await run({ vaultToken })).toEqual(Array.from({ length: 5 }, () => through));
});

it('the packed client tells a refusal as its own error, without the secret', async () => {
  const { client_id: clientId } = await house.issueSecret('acme');
  const told = await run({ clientId, clientSecret: 'wrong-secret' });
  expect(told).toEqual({
    name: 'CredentialsError',
    status: 401,
    error: 'access_denied',
    message: 'Postern answered 401 access_denied: Unauthorized',
  });
});
