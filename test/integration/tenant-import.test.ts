import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { VaultFault } from '#broker/vault-fault.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { log, postern, spawnPostern } from './cli-run.ts';
import type { RunOptions } from './cli-run.ts';

/* With a token that has the operators' policy and no more. */

let house: House;
let env: Record<string, string>;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-import-'));
  house = await startHouse();
  env = { VAULT_ADDR: house.vault.address, VAULT_TOKEN: await vaultToken(house, 'postern-operator') };
});
afterAll(async () => {
  await house?.stop();
  await rm(folder, { recursive: true, force: true });
});

const cli = (args: readonly string[], options: RunOptions = {}) => postern(args, { ...options, env });

interface Issued {
  tenant: string;
  id: string;
  client_id: string;
  key?: string;
  wrapping_token?: string;
}

async function issued(file: string): Promise<Issued[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const one = JSON.parse(line) as Issued;
      if (one.key) registerSecret('key', one.key);
      if (one.wrapping_token) registerSecret('wrapping token', one.wrapping_token);
      return one;
    });
}

const idsAtVault = async (tenant: string): Promise<string[]> => {
  const accessors = await house.root.list(`auth/approle/role/${tenant}/secret-id`);
  const found = await Promise.all(
    accessors.map((accessor) =>
      // One whose destruction was broken off by a kill is listed until Vault tidies, which is each minute; nobody can log in with it.
      house.root
        .write(`auth/approle/role/${tenant}/secret-id-accessor/lookup`, { secret_id_accessor: accessor })
        .catch((error: unknown) => {
          if (error instanceof VaultFault && error.reason === 'not_found') return undefined;
          throw error;
        }),
    ),
  );
  return found
    .filter((one) => one !== undefined)
    .map(({ data }) => {
      const { key_id: key, credential_id: other } = (data?.['metadata'] ?? {}) as Record<string, string>;
      return key ?? other ?? '';
    });
};

test('makes what a file says, once, and the export imports again', async () => {
  const file = join(folder, 'customers.csv');
  await writeFile(
    file,
    `tenant,grants,publish,cidrs,self_service,disabled,issue,credential
initech,reports=read:reports,reports,10.1.0.0/16,"{""max_ttl"":3600,""keys_per_user"":2,""keys"":9}",,key,nightly
umbrella,orders=read:orders write:orders;reports=,,,,,secret_id,
gone,reports=read:reports,,,,true,,
`,
  );
  const dry = await cli(['tenant', 'import', file, '--dry-run', '--json']);
  expect(dry.json).toMatchObject({ dry_run: true, made: 3, issued: 0 });
  expect((await cli(['tenant', 'show', 'initech'])).code).toBe(4);

  const first = await cli(['tenant', 'import', file, '--json']);
  expect({ ...first.json, code: first.code }).toMatchObject({ made: 3, unchanged: 0, failed: [], left: 0, issued: 2, code: 0 });
  const credentials = await issued(`${file}.issued`);
  expect(credentials.map(({ tenant }) => tenant).sort()).toEqual(['initech', 'umbrella']);
  for (const name of [`${file}.issued`, `${file}.journal`]) expect((await stat(name)).mode & 0o777).toBe(0o600);
  for (const { key = '', wrapping_token: token = '' } of credentials) {
    expect(`${first.stdout}${first.stderr}${await readFile(`${file}.journal`, 'utf8')}`).not.toContain(key || token);
    if (token) expect((await house.root.write('sys/wrapping/unwrap', { token })).data).toHaveProperty('secret_id');
  }

  const published = () => house.root.list('postern/metadata/publications');
  expect(await published()).toEqual(['initech']);

  const second = await cli(['tenant', 'import', file, '--json']);
  expect(second.json).toMatchObject({ made: 0, changed: 0, unchanged: 3, failed: [], issued: 0 });
  await rm(`${file}.journal`);
  expect((await cli(['tenant', 'import', file, '--json'])).json).toMatchObject({ unchanged: 3, issued: 0 });
  expect((await idsAtVault('initech')).length).toBe(1);

  for (const format of ['csv', 'json']) {
    const before = await cli(['tenant', 'export', '--format', format]);
    for (const { key, wrapping_token: token } of credentials) expect(before.stdout).not.toContain(key ?? token);
    for (const tenant of ['initech', 'umbrella', 'gone']) await cli(['tenant', 'delete', tenant, '--yes']);
    // The tokens of those that were deleted could still be alive; here none was ever made.
    for (const tenant of ['initech', 'umbrella', 'gone']) await house.root.delete(`postern/metadata/state/tombstones/${tenant}`);
    const again = await cli(['tenant', 'import', '-', '--json'], { input: before.stdout });
    expect({ ...again.json, stderr: again.stderr }).toMatchObject({ made: 3, unchanged: 2, failed: [], stderr: '' });
    expect((await cli(['tenant', 'export', '--format', format])).stdout).toBe(before.stdout);
    expect(await published()).toEqual(['initech']);
  }
});

test('leaves one that differs as it is, says so with its line, and changes it with --update', async () => {
  const input = 'tenant,grants,publish\ninitech,reports=,\nfresh,reports=read:reports,reports\n';
  const ran = await cli(['tenant', 'import', '-', '--json'], { input });
  expect(ran.code).toBe(4);
  expect(ran.json).toMatchObject({ made: 1, failed: [{ at: 2, tenant: 'initech', message: expect.stringMatching(/differs: grants/) }] });
  expect((await cli(['tenant', 'import', '-', '--update', '--json'], { input })).json).toMatchObject({
    changed: 1,
    unchanged: 1,
    failed: [],
  });
  expect((await cli(['tenant', 'show', 'initech', '--json'])).json['grants']).toEqual([{ api: 'reports', scopes: [] }]);

  const wrong = await cli(['tenant', 'import', '-', '--json'], { input: 'tenant,grants,publish\nwrong,reports=,orders\n' });
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toMatch(/no grant for what is to be published: orders/);
  expect((await cli(['tenant', 'show', 'wrong'])).code).toBe(4);
  const marked = await cli(['tenant', 'import', '-', '--json'], { input: 'tenant,publish\ninitech,reports\nfresh,\n' });
  expect(marked.json, 'it is so already').toMatchObject({ unchanged: 2, failed: [] });
});

test('killed at any moment and run again: nothing twice, nothing lost', async () => {
  const file = join(folder, 'many.csv');
  const names = Array.from({ length: 60 }, (_, at) => `many-${at}`);
  await writeFile(file, `tenant,grants,issue\n${names.map((name) => `${name},reports=read:reports,key`).join('\n')}\n`);
  let killed = 0;
  for (const wait of [150, 250, 350, 450, 550]) {
    const child = spawnPostern(['tenant', 'import', file, '--parallel', '4'], { env });
    // From the moment on at which it has begun to write.
    const began = performance.now();
    while (!(await stat(`${file}.journal.lock`).catch(() => undefined)) && performance.now() - began < 10_000) await sleep(5);
    await sleep(wait);
    child.kill('SIGKILL');
    const { signal } = await child;
    if (signal === 'SIGKILL') killed += 1;
  }
  expect(killed).toBeGreaterThan(0);
  const last = await cli(['tenant', 'import', file, '--json']);
  expect({ code: last.code, ...last.json }).toMatchObject({ code: 0, failed: [], left: 0 });
  const credentials = await issued(`${file}.issued`);
  const byTenant = new Map(credentials.map((one) => [one.tenant, one]));
  log(['tenant', 'import'], last.code, `killed ${killed} times, ${credentials.length} keys\n`);
  expect(credentials.length).toBe(names.length);
  for (const name of names) expect(await idsAtVault(name)).toEqual([byTenant.get(name)?.id]);
  expect((await cli(['tenant', 'import', file, '--json'])).json).toMatchObject({ unchanged: names.length, issued: 0 });
}, 120_000);
