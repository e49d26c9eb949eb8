import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { attachProviders } from '#dev/terraform-provider.ts';
import type { Part } from '#tools/part/part.ts';
import { startReaper } from '#tools/process/reaper.ts';

let mirror: string;
beforeEach(() => {
  mirror = mkdtempSync(join(tmpdir(), 'postern-mirror-'));
});
afterEach(() => rmSync(mirror, { recursive: true, force: true }));

/** A program that stands where a provider lies in a mirror. */
function provider(type: string, script: string, file = `terraform-provider-${type}`): Part {
  const path = join(mirror, 'registry.example.com', 'acme', type, '1.2.3', 'linux_amd64', file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return { name: `acme/${type}`, version: '1.2.3', path, origin: 'cache' };
}

test('providers are started once, with their environment, and end with their folder; Terraform starts those that would not', async () => {
  const says = `echo "$TF_PLUGIN_MAGIC_COOKIE $TOKEN" > '${mirror}/seen'; echo "$TMPDIR" > '${mirror}/folder'`;
  const parts = [
    provider('vault', `${says}; echo '1|6|unix|/run/plugin1|grpc|'; exec sleep 100`),
    provider('refuses', 'echo "This binary is a plugin"; exit 1'),
    provider('dies', 'exit 1'),
    provider('packed', 'exit 1', 'terraform-provider-packed_1.2.3_linux_amd64.zip'),
    { name: 'acme/gone', version: '1.2.3', path: join(mirror, 'gone'), origin: 'cache' as const },
  ];
  const reaper = startReaper();
  let pid = 0;
  {
    await using attached = await attachProviders(parts, { PATH: process.env['PATH'] ?? '', TOKEN: 'ours' }, reaper);
    const described = JSON.parse(attached.env['TF_REATTACH_PROVIDERS'] ?? '') as Record<string, { Pid: number }>;
    expect(Object.keys(described)).toEqual(['registry.example.com/acme/vault']);
    expect(described['registry.example.com/acme/vault']).toMatchObject({
      Protocol: 'grpc',
      ProtocolVersion: 6,
      Test: true,
      Addr: { Network: 'unix', String: '/run/plugin1' },
    });
    pid = described['registry.example.com/acme/vault']?.Pid ?? 0;
    expect(readFileSync(join(mirror, 'seen'), 'utf8')).toMatch(/^[0-9a-f]{64} ours\n$/);
    expect(process.kill(pid, 0)).toBe(true);
  }
  await expect.poll(() => isRunning(pid)).toBe(false);
  expect(existsSync(readFileSync(join(mirror, 'folder'), 'utf8').trim())).toBe(false);
  await reaper.close();
});

test('a provider that crashes is told with its own words, and with nothing else that it logs', async () => {
  const reaper = startReaper();
  const script = `echo '1|5|unix|/run/plugin2|grpc|'; echo 'X-Vault-Token: seen' >&2; echo 'fatal error: concurrent map writes' >&2; exit 2`;
  await using attached = await attachProviders([provider('vault', script)], { PATH: process.env['PATH'] ?? '' }, reaper);
  await expect.poll(() => attached.crashes()).toEqual(['acme/vault: fatal error: concurrent map writes']);
  await reaper.close();
});

test('a provider that hangs is ended, and tells where it waits', async () => {
  const reaper = startReaper();
  const says = ['SIGQUIT: quit', 'goroutine 7 [select]:', 'github.com/hashicorp/vault/api.(*Client).rawRequest(0xc000, {0x1})', 'hvs.seen'];
  writeFileSync(join(mirror, 'says'), `${says.join('\n')}\n`);
  const script = `trap "cat '${mirror}/says' >&2; exit 2" QUIT; echo '1|5|unix|/run/plugin3|grpc|'; while :; do sleep 0.05; done`;
  await using attached = await attachProviders([provider('vault', script)], { PATH: process.env['PATH'] ?? '' }, reaper);
  attached.end();
  await expect
    .poll(() => attached.crashes())
    .toEqual(['acme/vault: SIGQUIT: quit', 'acme/vault: in github.com/hashicorp/vault/api.(*Client).rawRequest']);
  await reaper.close();
});

test('where none can be started, Terraform does as ever', async () => {
  const reaper = startReaper();
  await using attached = await attachProviders([provider('dies', 'exit 1')], { PATH: process.env['PATH'] ?? '' }, reaper);
  expect(attached.env).toEqual({});
  await reaper.close();
});

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
