import { spawn } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startHouse } from '#test/fixture/broker.ts';
import type { House } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { MAIN, log, postern } from './cli-run.ts';
import type { Ran } from './cli-run.ts';

/* What the CLI does where nobody reads what it says. */

let house: House;
let env: Record<string, string>;

beforeAll(async () => {
  house = await startHouse();
  env = { VAULT_ADDR: house.vault.address, VAULT_TOKEN: await vaultToken(house, 'postern-operator', { display_name: 'olivia' }) };
});
afterAll(() => house?.stop());

const cli = (line: string): Promise<Ran> => postern(line.split(' '), { env });

/** @param gone whose reader goes away, after so many lines */
async function unread(
  line: string,
  gone: 'stdout' | 'stderr',
  lines = 0,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const args = line.split(' ');
  const child = spawn(process.execPath, [MAIN, ...args], { env: { ...env, PATH: process.env['PATH'] }, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { stdout: '', stderr: '' };
  if (lines === 0) child[gone].destroy();
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
      if (name === gone && said[name].split('\n').length > lines) child[name].destroy();
    });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  for (const key of said.stdout.match(/postern_\S+/g) ?? []) registerSecret('API key', key);
  log(args, code ?? undefined, said.stderr);
  return { code, ...said };
}

interface Listed {
  key_id: string;
  name: string | null;
  state: string;
  expires_at: string | null;
  replaces: string | null;
}
const keys = async (): Promise<Listed[]> => (await cli('key list acme --json')).json['keys'] as Listed[];
const issue = async (name: string): Promise<string> => (await cli(`key issue acme --name ${name} --json`)).json['key_id'] as string;

test('a rotation is done to its end though nobody reads stderr', async () => {
  for (const json of ['', ' --json']) {
    const old = await issue('shop');
    const { code, stdout } = await unread(`key rotate acme ${old} --overlap 1h${json}`, 'stderr');
    expect([code, stdout.includes('postern_')]).toEqual([0, true]);
    const after = await keys();
    expect(after.find(({ replaces }) => replaces === old)?.state).toBe('active');
    expect(after.find(({ key_id: id }) => id === old)?.expires_at).not.toBeNull();
  }
});

test('a key that nobody could read is revoked again, and that is told', async () => {
  const { code, stderr } = await unread('key issue acme --name lost', 'stdout');
  expect([code, stderr]).toEqual([6, expect.stringContaining('shown once could not be written')]);
  expect(stderr).toContain('nobody has seen it');
  expect((await keys()).filter(({ name, state }) => name === 'lost' && state === 'active')).toEqual([]);
});

test('a rotation that nobody could read leaves the old key as it is, and all but what was read is left for the next run', async () => {
  const old = await issue('alone');
  expect(await unread(`key rotate acme ${old} --overlap 1h`, 'stdout')).toMatchObject({ code: 6 });
  expect((await keys()).find(({ key_id: id }) => id === old)).toMatchObject({ state: 'active', expires_at: null });
  for (const name of ['b', 'c', 'd']) await issue(name);
  const { code, stdout, stderr } = await unread('key rotate acme --all', 'stdout', 1);
  const shown = stdout.trim().split('\n').length;
  expect([code, stderr]).toEqual([6, expect.stringMatching(/\d+ of \d+ keys of acme are rotated: run it again/)]);
  expect(Number(/(\d+) of \d+ keys/.exec(stderr)?.[1])).toBeLessThanOrEqual(shown + 1);
});

test('a secret_id that nobody could read is told, and a list that is cut short is no fault', async () => {
  expect(await unread('secret issue acme --no-wrap', 'stdout')).toMatchObject({ code: 6 });
  expect(await unread('secret issue acme', 'stdout')).toMatchObject({ code: 6 });
  const list = await unread('tenant list', 'stdout');
  expect([list.code, list.stderr.includes('error')]).toEqual([0, false]);
});

test('an address of Vault with more in it than an address is refused, and not told', async () => {
  const bare = house.vault.address.replace('http://', '');
  for (const address of [`http://:sekret@${bare}`, `http://u:sekret@${bare}`, `http://${bare}/?token=sekret`, `http://${bare}/#sekret`]) {
    const ran = await postern(['tenant', 'show', 'acme'], { env: { ...env, VAULT_ADDR: address } });
    expect([ran.code, ran.stderr]).toEqual([2, expect.stringContaining('The address of Vault')]);
    expect(ran.stderr).not.toContain('sekret');
  }
  expect((await postern(['tenant', 'show', 'acme'], { env: { ...env, VAULT_ADDR: ` ${house.vault.address} ` } })).code).toBe(0);
});

test('a file of tenants that holds nothing is wrong input', async () => {
  for (const input of ['null', '7', '{}', '"x"']) {
    const ran = await postern(['tenant', 'import', '-', '--format', 'json'], { env, input });
    expect([input, ran.code, ran.stderr.includes('no list of tenants')]).toEqual([input, 2, true]);
  }
});
