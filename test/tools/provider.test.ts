import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { goPlatform } from '#tools/part/download.ts';
import { findProviders } from '#tools/part/terraform.ts';
import { versions } from '#tools/part/version.ts';
import type { ProviderPin } from '#tools/part/version.ts';
import { Machine } from './machine.ts';

const HOST = 'terraform.example.test';
const { vault, auth0 } = versions.providers as Record<'vault' | 'auth0', ProviderPin>;

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine[Symbol.dispose]());

const find = () => findProviders(machine.report, machine.env);

/** A `terraform` that tells its version and its host, and whose `init` runs `init`. */
const terraform = (init: string) =>
  machine.script(
    'terraform',
    `case "$1" in
version) echo "Terraform v1.11.4" ;;
providers) sed 's/.*"source":"\\([^"]*\\)".*/provider[${HOST}\\/\\1] 1.0.0/' main.tf.json ;;
init) echo init >> "$HOME/inits"; ${init} ;;
esac`,
  );

const offline = 'printf "Error: x\\n\\nCould not connect\\n\\n" >&2; exit 1';
const online = `source=$(sed 's/.*"source":"\\([^"]*\\)".*/\\1/' main.tf.json); version=$(sed 's/.*"version":"\\([^"]*\\)".*/\\1/' main.tf.json)
folder=.terraform/providers/${HOST}/$source/$version/${goPlatform()}; mkdir -p "$folder"; echo program > "$folder/terraform-provider-\${source#*/}_v$version"`;

const have = (mirror: string, source: string, version: string) =>
  machine.script(`${mirror}/${HOST}/${source}/${version}/${goPlatform()}/terraform-provider-${source.split('/')[1]}_v${version}`, '');

describe('the order in which providers are looked for', () => {
  it('takes the explicit mirror before the cache, the newest that fits', async () => {
    terraform(offline);
    for (const version of ['3.2.9', '4.8.0', '4.10.0', '6.0.0']) have('mirror', vault.source, version);
    have('mirror', auth0.source, '1.5.0');
    have('cache/postern/providers-2', vault.source, '5.0.0');
    machine.env['POSTERN_PROVIDER_MIRROR'] = join(machine.root, 'mirror');
    const { parts, env } = await find();
    expect(parts.map(({ version, origin }) => [version, origin])).toEqual([
      ['4.10.0', 'environment'],
      ['1.5.0', 'environment'],
    ]);
    expect(readFileSync(env['TF_CLI_CONFIG_FILE'] as string, 'utf8')).toBe(
      `provider_installation {\n  filesystem_mirror {\n    path = "${machine.root}/mirror"\n  }\n}\n`,
    );
  });

  it('takes from the cache what the explicit mirror lacks, and says so', async () => {
    terraform(offline);
    have('mirror', vault.source, '4.8.0');
    have('cache/postern/providers-2', auth0.source, '1.1.0');
    machine.env['POSTERN_PROVIDER_MIRROR'] = join(machine.root, 'mirror');
    const { parts, env } = await find();
    expect(parts.map(({ origin }) => origin)).toEqual(['environment', 'cache']);
    expect(machine.said.join('\n')).toContain('holds no auth0/auth0');
    const config = readFileSync(env['TF_CLI_CONFIG_FILE'] as string, 'utf8');
    expect(config).toContain(`${machine.root}/mirror`);
    expect(config).toContain(`${machine.cache}/providers`);
  });

  it('reads a packed mirror too', async () => {
    terraform(offline);
    machine.script(`mirror/${HOST}/${vault.source}/terraform-provider-vault_4.2.0_${goPlatform()}.zip`, '');
    have('mirror', auth0.source, '1.1.0');
    machine.env['POSTERN_PROVIDER_MIRROR'] = join(machine.root, 'mirror');
    expect((await find()).parts[0]).toMatchObject({ version: '4.2.0' });
  });

  it('lets Terraform download once, and keeps that', async () => {
    terraform(online);
    const first = await find();
    expect(first.parts.map(({ version, origin }) => [version, origin])).toEqual([
      [vault.download, 'download'],
      [auth0.download, 'download'],
    ]);
    expect(first.parts[0]?.path).toContain(join(machine.cache, 'providers-2', HOST, vault.source, vault.download));
    expect((await find()).parts.map(({ origin }) => origin)).toEqual(['cache', 'cache']);
    expect(readFileSync(join(machine.root, 'inits'), 'utf8')).toBe('init\ninit\n');
  });

  it('lets Terraform take only what has a pinned checksum', async () => {
    terraform(`{ echo "$@"; while read -r line; do echo "$line"; done < .terraform.lock.hcl; } >> "$HOME/locked"; ${online}`);
    await find();
    const locked = readFileSync(join(machine.root, 'locked'), 'utf8');
    for (const pin of [vault, auth0]) {
      expect(locked).toContain(`provider "${HOST}/${pin.source}" {\nversion     = "${pin.download}"`);
      for (const sum of pin.sha256) expect(locked).toContain(`"zh:${sum}"`);
    }
    expect(locked.match(/^init .*-lockfile=readonly/gm)).toHaveLength(2);
  });

  it('does not let Terraform download what has no pinned checksum', async () => {
    terraform(online);
    machine.go('9.9.9');
    const pinned = vault.sha256.splice(0);
    try {
      expect((await find()).parts.map(({ origin }) => origin)).toEqual(['go-module', 'download']);
    } finally {
      vault.sha256.push(...pinned);
    }
    expect(machine.said.join('\n')).toContain(`no SHA-256 of ${vault.source} ${vault.download} is pinned: "make pin"`);
  });

  it('builds both from their Go modules when Terraform can not download, asking it once', async () => {
    terraform(offline);
    machine.go('9.9.9');
    const { parts } = await find();
    expect(parts.map(({ version, origin }) => [version, origin])).toEqual([
      [vault.version, 'go-module'],
      [auth0.version, 'go-module'],
    ]);
    expect(readFileSync(join(machine.root, 'inits'), 'utf8')).toBe('init\n');
    expect(machine.said.join('\n')).toContain('Could not connect');
    expect((await find()).parts.map(({ origin }) => origin)).toEqual(['cache', 'cache']);
  });

  it('names every way when none works', async () => {
    terraform(offline);
    const error = await find().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PosternError);
    for (const way of ['POSTERN_PROVIDER_MIRROR', machine.cache, "Terraform's own download", vault.goModule]) {
      expect((error as Error).message).toContain(way);
    }
  });

  it('quotes a path for the language of the configuration', async () => {
    terraform(offline);
    const mirror = 'odd ${x} "q"';
    have(mirror, vault.source, '4.8.0');
    have(mirror, auth0.source, '1.1.0');
    machine.env['POSTERN_PROVIDER_MIRROR'] = join(machine.root, mirror);
    const { env } = await find();
    expect(readFileSync(env['TF_CLI_CONFIG_FILE'] as string, 'utf8')).toContain('/odd ${x} \\"q\\""');
  });
});
