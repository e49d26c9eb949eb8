import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { goPlatform } from '#tools/part/download.ts';
import { findTerraform } from '#tools/part/terraform.ts';
import { findVault } from '#tools/part/vault.ts';
import { checkout, versions } from '#tools/part/version.ts';
import { Machine, tells } from './machine.ts';

const { version } = versions.vault;
const zipName = `vault_${version}_${goPlatform()}.zip`;

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine[Symbol.dispose]());

const find = () => findVault(machine.report, machine.env);
const cached = () => join(machine.cache, 'bin/vault', version, goPlatform(), 'vault');

describe('the order in which Vault is looked for', () => {
  it('takes the explicit path before all', async () => {
    machine.env['POSTERN_VAULT_BIN'] = machine.script('mine/vault', tells('1.20.0'));
    machine.script('vault', tells('1.19.0'));
    expect(await find()).toEqual({ name: 'vault', version: '1.20.0', path: join(machine.root, 'mine/vault'), origin: 'environment' });
  });

  it('takes PATH before the cache', async () => {
    machine.script('vault', tells('1.19.0'));
    machine.script(`cache/postern/bin/vault/${version}/${goPlatform()}/vault`, tells(version));
    expect(await find()).toMatchObject({ version: '1.19.0', origin: 'PATH' });
  });

  it('passes over a copy in PATH that is too old, and says so', async () => {
    machine.script('vault', tells('1.14.9'));
    machine.script(`cache/postern/bin/vault/${version}/${goPlatform()}/vault`, tells(version));
    expect(await find()).toMatchObject({ version, origin: 'cache' });
    expect(machine.said.join('\n')).toContain('is 1.14.9, at least 1.15.0 is needed');
  });

  it('asks it in a clean environment, and says why it passes over one that does not run', async () => {
    const strict = `case "$VAULT_CACERT$TF_CLI_ARGS$GOFLAGS$NODE_OPTIONS" in ?*) echo 'foreign settings' >&2; exit 1;; esac`;
    machine.script('vault', `${strict}\n${tells('1.19.0')}`);
    Object.assign(machine.env, { VAULT_CACERT: '/nonexistent', TF_CLI_ARGS: '-input=false', GOFLAGS: 'x', NODE_OPTIONS: '--nonsense' });
    expect(await find()).toMatchObject({ version: '1.19.0', origin: 'PATH' });
    machine.script('vault', `echo 'the disk of this program is gone' >&2; exit 3`);
    machine.script(`cache/postern/bin/vault/${version}/${goPlatform()}/vault`, tells(version));
    expect(await find()).toMatchObject({ origin: 'cache' });
    expect(machine.said.join('\n')).toMatch(/vault: PATH: \S+ can't be run: .*\(the disk of this program is gone\)/);
  });

  it('passes over an explicit path that is wrong, aloud', async () => {
    machine.env['POSTERN_VAULT_BIN'] = join(machine.root, 'nowhere');
    machine.script('vault', tells('1.19.0'));
    expect(await find()).toMatchObject({ origin: 'PATH' });
    expect(machine.said.join('\n')).toContain('POSTERN_VAULT_BIN');
  });

  it('ignores a relative folder in PATH', async () => {
    machine.env['PATH'] = 'bin';
    machine.script('vault', tells('1.19.0'));
    await expect(find()).rejects.toThrow(PosternError);
  });

  it('throws a cached copy away that does not run, and makes a new one', async () => {
    machine.script(`cache/postern/bin/vault/${version}/${goPlatform()}/vault`, 'exit 1');
    machine.go(version);
    expect(await find()).toMatchObject({ version, origin: 'go-module' });
    expect(await find()).toMatchObject({ version, origin: 'cache' });
  });

  it('names every way and why it gave nothing when none works', async () => {
    const error = await find().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PosternError);
    expect((error as PosternError).code).toBe('misconfigured');
    for (const way of ['POSTERN_VAULT_BIN', 'PATH', 'official release', 'tools/vault', 'Go is not installed']) {
      expect((error as Error).message).toContain(way);
    }
  });

  it('knows Terraform by its own variable', async () => {
    machine.env['POSTERN_TERRAFORM_BIN'] = machine.script('mine/terraform', tells('1.9.0'));
    expect(await findTerraform(machine.report, machine.env)).toMatchObject({ name: 'terraform', version: '1.9.0', origin: 'environment' });
  });
});

describe('the official release', () => {
  let site: Server;
  let asked: string[];
  const files = new Map<string, Buffer | string>();

  beforeEach(async () => {
    asked = [];
    files.clear();
    site = createServer((request, response) => {
      asked.push(request.url ?? '');
      const content = files.get(request.url ?? '');
      response.statusCode = content === undefined ? 404 : 200;
      response.end(content);
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => site.once('listening', resolve));
    machine.env['POSTERN_RELEASES'] = `http://127.0.0.1:${(site.address() as { port: number }).port}/`;
  });
  afterEach(() => new Promise((resolve) => site.close(resolve)));

  const pins = versions.vault.sha256;
  const pinned = pins[goPlatform()];
  afterEach(() => void (pins[goPlatform()] = pinned as string));
  const publish = (archive: Buffer, sum = createHash('sha256').update(archive).digest('hex')) => {
    files.set(`/vault/${version}/${zipName}`, archive);
    pins[goPlatform()] = sum;
  };

  it('is downloaded, checked, unpacked and kept', async () => {
    publish(zip({ 'LICENSE.txt': 'text', vault: `#!/bin/sh\n${tells(version)}\n` }));
    expect(await find()).toEqual({ name: 'vault', version, path: cached(), origin: 'download' });
    const count = asked.length;
    expect(await find()).toMatchObject({ origin: 'cache' });
    expect(asked.length).toBe(count);
    expect(machine.said.join('\n')).toContain('downloading');
  });

  it('is refused when its checksum is another, and nothing of it is kept', async () => {
    publish(zip({ vault: `#!/bin/sh\n${tells(version)}\n` }), 'a'.repeat(64));
    machine.go(version);
    expect(await find()).toMatchObject({ origin: 'go-module' });
    expect(machine.said.join('\n')).toMatch(/has SHA-256 [0-9a-f]{64}, pinned is a{64}: refused/);
  });

  it('is refused when the site has another file under that name, whatever checksum it publishes for it', async () => {
    publish(zip({ vault: `#!/bin/sh\n${tells(version)}\n` }));
    const other = zip({ vault: `#!/bin/sh\necho stolen\n${tells(version)}\n` });
    files.set(`/vault/${version}/${zipName}`, other);
    files.set(`/vault/${version}/vault_${version}_SHA256SUMS`, `${createHash('sha256').update(other).digest('hex')}  ${zipName}\n`);
    await expect(find()).rejects.toThrow('pinned is');
    expect(asked).toEqual([`/vault/${version}/${zipName}`]);
    expect(existsSync(cached())).toBe(false);
  });

  it('is not asked for when no checksum is pinned for this platform, and the next way is tried', async () => {
    publish(zip({ vault: `#!/bin/sh\n${tells(version)}\n` }));
    delete pins[goPlatform()];
    machine.go(version);
    expect(await find()).toMatchObject({ origin: 'go-module' });
    expect(asked).toEqual([]);
    expect(machine.said.join('\n')).toContain(`no SHA-256 of vault ${version} is pinned for ${goPlatform()}: "make pin"`);
  });

  it('is refused when the archive lacks the program', async () => {
    publish(zip({ '../vault': 'x', 'LICENSE.txt': 'text' }));
    await expect(find()).rejects.toThrow(PosternError);
    expect(existsSync(cached())).toBe(false);
    expect(readdirSync(join(machine.cache, 'tmp'))).toEqual([]);
  });

  it('is asked once in a process when the site can not be reached, however many parts are wanted', async () => {
    let calls = 0;
    const dead = createTcpServer((socket) => {
      calls += 1;
      socket.destroy();
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => dead.once('listening', resolve));
    machine.env['POSTERN_RELEASES'] = `http://127.0.0.1:${(dead.address() as { port: number }).port}`;
    for (let turn = 0; turn < 3; turn++) await expect(find()).rejects.toThrow("can't be reached");
    await expect(findTerraform(machine.report, machine.env)).rejects.toThrow("can't be reached");
    expect(calls).toBe(1);
    await new Promise((resolve) => dead.close(resolve));
  });
});

describe('the cache', () => {
  it('holds nothing under the final name when a build is killed, and the next one works', async () => {
    // It goes with its folder: one that was killed for before anybody watched it would go on for ever.
    machine.go(version, 'echo half > "$2"; : > "$HOME/started"; while [ -e "$HOME/started" ]; do sleep 0.1; done');
    const program = `import { findVault } from '#tools/part/vault.ts'; await findVault(() => {});`;
    const builder = execa(process.execPath, ['--input-type=module', '-e', program], {
      cwd: checkout,
      env: machine.env,
      extendEnv: false,
      reject: false,
      detached: true,
    });
    while (!existsSync(join(machine.root, 'started'))) await new Promise((resolve) => setTimeout(resolve, 20));
    process.kill(-(builder.pid as number), 'SIGKILL');
    await builder;
    expect(existsSync(cached())).toBe(false);
    expect(readdirSync(join(machine.cache, 'tmp'))).toHaveLength(1);

    machine.go(version);
    expect(await find()).toMatchObject({ origin: 'go-module', version });
    expect(readFileSync(cached(), 'utf8')).toContain(version);
    expect(readdirSync(join(machine.cache, 'tmp'))).toEqual([]);
  }, 40_000);

  it('is filled once by several that ask at the same time', async () => {
    machine.go(version, 'echo built >> "$HOME/builds"; sleep 0.5');
    const program = `import { findVault } from '#tools/part/vault.ts'; console.log((await findVault(() => {})).origin);`;
    const ask = () =>
      execa(process.execPath, ['--input-type=module', '-e', program], { cwd: checkout, env: machine.env, extendEnv: false });
    const origins = (await Promise.all([ask(), ask(), ask()])).map(({ stdout }) => stdout).sort();
    expect(origins).toEqual(['cache', 'cache', 'go-module']);
    expect(readFileSync(join(machine.root, 'builds'), 'utf8')).toBe('built\n');
  }, 40_000);

  it('shows the end of what Go said when a build fails, and leaves nothing', async () => {
    machine.script('go', '[ "$1" = version ] && exit 0; echo "module lookup disabled" >&2; exit 1');
    await expect(find()).rejects.toThrow('module lookup disabled');
    expect(readdirSync(join(machine.cache, 'tmp'))).toEqual([]);
    expect(readdirSync(machine.cache)).toEqual(['tmp']);
  });
});

describe('the pins', () => {
  const pins = [versions.vault, versions.terraform, ...Object.values(versions.providers)];

  it.each(pins.map((pin) => [pin.goModule, pin] as const))('of %s stand in its go.mod and go.sum', (module, pin) => {
    const mod = readFileSync(join(checkout, module, 'go.mod'), 'utf8');
    expect(mod).toContain(`tool ${pin.goPackage}\n`);
    expect(mod).toContain(`\t${pin.goPackage} ${pin.goVersion} `);
    expect(readFileSync(join(checkout, module, 'go.sum'), 'utf8')).toContain(`${pin.goPackage} ${pin.goVersion} h1:`);
  });

  it('of the official releases are there for Linux and macOS on both kinds of machine', () => {
    const platforms = ['darwin_amd64', 'darwin_arm64', 'linux_amd64', 'linux_arm64'];
    for (const { sha256 } of [versions.vault, versions.terraform]) {
      expect(Object.keys(sha256).sort()).toEqual(platforms);
      expect(new Set(Object.values(sha256)).size).toBe(platforms.length);
      for (const sum of Object.values(sha256)) expect(sum).toMatch(/^[0-9a-f]{64}$/);
    }
    for (const { sha256 } of Object.values(versions.providers)) {
      expect(sha256.length).toBeGreaterThanOrEqual(platforms.length);
      for (const sum of sha256) expect(sum).toMatch(/^[0-9a-f]{64}$/);
    }
  });

  it('of the image and of Vault are the same', () => {
    expect(versions.image.vault).toBe(`hashicorp/vault:${versions.vault.version}`);
  });
});

/** A zip archive of deflated files, as a release has. */
function zip(content: Record<string, string>): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, text] of Object.entries(content)) {
    const data = Buffer.from(text);
    const packed = deflateRawSync(data);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(8, 4);
    fields.writeUInt32LE(crc32(data), 10);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(data.length, 18);
    fields.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), fields, Buffer.from(name), packed]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02'), Buffer.from([20, 0]), fields, tail, Buffer.from(name)]));
    parts.push(local);
    offset += local.length;
  }
  const index = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(directory.length, 8);
  end.writeUInt16LE(directory.length, 10);
  end.writeUInt32LE(index.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, index, end]);
}
