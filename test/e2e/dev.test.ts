import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { execa } from 'execa';
import { beforeAll, expect, test } from 'vitest';
import { run } from './run.ts';
import { takeTurn } from './turn.ts';

const NOTHING: string[] = [];

beforeAll(() => takeTurn('dev'), 300_000);

test('postern dev stays up, what it prints works when pasted, and Ctrl-C leaves nothing', async () => {
  await using dev = run(['cli/main.ts', 'dev'], { stack: 'dev' });
  await dev.until('tenant list');
  const text = dev.out();
  expect(text).toMatch(/^ {2}broker +http:\/\/127\.0\.0\.1:\d+\/$/m);
  expect(text).toContain('login -method=oidc role=operator');
  expect(text).not.toContain('\u001B');

  // Pasted as printed. The credential comes from a file that only its owner can read, so it is on no command line.
  const [exchange, keep, call, verify, admin] = text.split('\n').filter((line) => line.includes('curl -s'));
  expect(text).toMatch(/@\.postern\/dev\/acme\.form/);
  for (const file of ['acme.form', 'globex.form', 'acme.key', 'globex.key', 'operator', 'auth0-secret', 'root-token'])
    expect(statSync(`.postern/dev/${file}`).mode & 0o777).toBe(0o600);
  const answer = JSON.parse((await execa('sh', ['-c', exchange!])).stdout) as { token_type: string };
  expect(answer.token_type).toBe('Bearer');
  const { stdout } = await execa('sh', ['-c', `${keep}\n${call}`]);
  expect(JSON.parse(stdout)).toMatchObject({ api: 'orders', verified: { 'https://postern.dev/tenant': 'acme' } });

  const verified = (await execa('sh', ['-c', verify!])).stdout;
  expect(verified).toMatch(/^HTTP\/1\.1 200 /);
  expect(verified).toMatch(/^authorization: Bearer \S+\r?$/im);
  expect(verified).toMatch(/^x-postern-tenant: acme\r?$/im);
  // The credentials are in files for these as well.
  expect(verify).not.toContain('postern_');
  const { stdout: listed } = await execa('sh', ['-c', admin!]);
  expect((JSON.parse(listed) as { tenants: { tenant: string }[] }).tenants.map(({ tenant }) => tenant)).toEqual(['acme', 'globex']);

  // The plugin can be installed there.
  expect(text).toContain('plugin install --plugin-directory .postern/dev/plugins');
  const vault = /^ {2}Vault +(\S+)$/m.exec(text)?.[1];
  const state = await fetch(`${vault}/v1/sys/config/state/sanitized`, {
    headers: { 'X-Vault-Token': readFileSync('.postern/dev/root-token', 'utf8') },
  });
  expect(((await state.json()) as { data: { plugin_directory: string } }).data.plugin_directory).toBe(resolve('.postern/dev/plugins'));
  expect(statSync('.postern/dev/plugins').isDirectory()).toBe(true);

  // A second one would take the first one's files.
  await using second = run(['cli/main.ts', 'dev'], { stack: 'none' });
  expect((await second.ended).code).toBe(4);
  expect(second.err()).toContain(`It is running already, as process ${dev.pid}`);
  expect((await execa('sh', ['-c', exchange!])).stdout).toContain('access_token');

  dev.press('SIGINT');
  expect(await dev.ended, dev.err()).toEqual({ code: 0, signal: null });
  expect(dev.out()).toContain('nothing is left');
  expect(await dev.leftovers()).toEqual(NOTHING);
});

test('postern dev ends when a part of it does, and leaves nothing', async () => {
  await using dev = run(['cli/main.ts', 'dev', '--json'], { stack: 'dev' });
  await dev.until('"pids"');
  const { pids, tenants } = JSON.parse(dev.out()) as { pids: { vault: number }; tenants: Record<string, { form_file: string }> };
  expect(Object.keys(tenants)).toEqual(['acme', 'globex']);
  expect(dev.out()).not.toContain('client_secret');
  expect(dev.out()).not.toContain('postern_dev_');
  process.kill(pids.vault, 'SIGKILL');
  expect((await dev.ended).code).toBe(1);
  expect(dev.err()).toContain('Vault ended by itself (signal SIGKILL)');
  expect(await dev.leftovers()).toEqual(NOTHING);
});
