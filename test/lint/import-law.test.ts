import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkout } from '#tools/part/version.ts';

const imports = (from: string) => `import { thing } from '${from}';\nexport const used = thing;\n`;

/** [the law, where, the whole file, the rule that must refuse it] */
const refused: [law: string, path: string, content: string, rule?: string][] = [
  ['no way up by ../', 'broker/http/a.ts', imports('../error.ts')],
  ['no way up by ../ in a test', 'test/unit/a.ts', imports('../../broker/error.ts')],
  ['no way up and down again', 'broker/http/b.ts', imports('./x/../../error.ts')],
  ['error imports nothing', 'broker/error.ts', imports('#broker/log.ts')],
  ['error imports no package', 'broker/error.ts', imports('pino')],
  ['config imports error only', 'broker/config.ts', imports('#broker/vault/client.ts')],
  ['credential does not import authorization', 'broker/credential/a.ts', imports('#broker/authorization/grant.ts')],
  ['credential does not import token', 'broker/credential/b.ts', imports('#broker/token/cache.ts')],
  ['credential does not import an adapter', 'broker/credential/c.ts', imports('#broker/vault/client.ts')],
  ['authorization does not import token', 'broker/authorization/a.ts', imports('#broker/token/cache.ts')],
  ['authorization does not import a door', 'broker/authorization/b.ts', imports('#broker/http/token.ts')],
  ['token does not import the Vault adapter', 'broker/token/a.ts', imports('#broker/vault/client.ts')],
  ['token does not import the Auth0 adapter', 'broker/token/b.ts', imports('#broker/auth0/source.ts')],
  ['token does not import a door', 'broker/token/c.ts', imports('#broker/plugin/backend.ts')],
  ['token does not import what operators do', 'broker/token/f.ts', imports('#broker/tenant/secret.ts')],
  ['a door does not import what operators do', 'broker/http/i.ts', imports('#broker/tenant/secret.ts')],
  ['the Vault adapter does not import what operators do', 'broker/vault/b.ts', imports('#broker/tenant/secret.ts')],
  ['tenant does not import token', 'broker/tenant/a.ts', imports('#broker/token/cache.ts')],
  ['tenant does not import a door', 'broker/tenant/b.ts', imports('#broker/http/token.ts')],
  ['audit does not import an adapter', 'broker/audit/a.ts', imports('#broker/vault/client.ts')],
  ['the Vault adapter does not import a door', 'broker/vault/a.ts', imports('#broker/http/token.ts')],
  ['the Auth0 adapter does not import the Vault adapter', 'broker/auth0/a.ts', imports('#broker/vault/client.ts')],
  ['the HTTP door does not import an adapter', 'broker/http/c.ts', imports('#broker/vault/client.ts')],
  ['the HTTP door does not import the other door', 'broker/http/d.ts', imports('#broker/plugin/backend.ts')],
  ['the plugin door does not import the other door', 'broker/plugin/a.ts', imports('#broker/http/token.ts')],
  ['the plugin door does not import an adapter', 'broker/plugin/b.ts', imports('#broker/auth0/source.ts')],
  ['the main of the plugin does not speak to Vault', 'broker/plugin/main.ts', imports('#broker/vault/client.ts')],
  ['the admin door does not import an adapter', 'broker/admin/a.ts', imports('#broker/vault/client.ts')],
  ['the admin door does not import the HTTP door', 'broker/admin/b.ts', imports('#broker/http/reply.ts')],
  ['the HTTP door does not import the admin door', 'broker/http/j.ts', imports('#broker/admin/problem.ts')],
  ['tenant does not import the admin door', 'broker/tenant/c.ts', imports('#broker/admin/problem.ts')],
  ['cli does not import the admin door', 'cli/command/f.ts', imports('#broker/admin/server.ts')],
  ['only main wires: a room does not import main', 'broker/http/e.ts', imports('#broker/main.ts')],
  ['only main wires: a room does not import config', 'broker/token/d.ts', imports('#broker/config.ts')],
  ['the broker does not import cli', 'broker/http/f.ts', imports('#cli/output.ts')],
  ['the broker does not import test', 'broker/main.ts', imports('#test/fixture/vault.ts')],
  ['the broker does not import tools', 'broker/token/e.ts', imports('#tools/part/vault.ts')],
  ['cli does not import the HTTP door', 'cli/command/a.ts', imports('#broker/http/server.ts')],
  ['cli does not import the plugin door', 'cli/command/b.ts', imports('#broker/plugin/backend.ts')],
  ['cli does not import main of the broker', 'cli/command/c.ts', imports('#broker/main.ts')],
  ['cli/dev does not import a door', 'cli/dev/a.ts', imports('#broker/http/server.ts')],
  ['cli does not import test', 'cli/command/d.ts', imports('#test/fixture/vault.ts')],
  ['cli/dev does not import test', 'cli/dev/b.ts', imports('#test/fixture/vault.ts')],
  ['tools do not import cli', 'tools/a.ts', imports('#cli/dev/vault.ts')],
  ['tools do not import rooms of the broker', 'tools/part/b.ts', imports('#broker/vault/client.ts')],
  ['the client imports nothing of the product', 'client/a.ts', imports('#broker/error.ts')],
  ['a re-export is an import', 'broker/credential/d.ts', "export { thing } from '#broker/token/cache.ts';\n"],
  ['a type is an import', 'broker/credential/e.ts', "import type { Thing } from '#broker/token/cache.ts';\nexport type Used = Thing;\n"],
  ['process.env outside main', 'broker/http/g.ts', "export const level = process.env['LEVEL'];\n", 'no-process-env'],
  ['process.env in a command', 'cli/command/e.ts', "export const level = process.env['LEVEL'];\n", 'no-process-env'],
  ['process by import', 'broker/http/h.ts', "import { env } from 'node:process';\nexport const level = env['LEVEL'];\n"],
];

const allowed: [what: string, path: string, content: string][] = [
  ['authorization imports credential', 'broker/authorization/ok.ts', imports('#broker/credential/identity.ts')],
  ['token imports authorization', 'broker/token/ok.ts', imports('#broker/authorization/grant.ts')],
  ['an adapter imports ports of the domain', 'broker/vault/ok.ts', imports('#broker/token/store.ts')],
  ['tenant works on Vault', 'broker/tenant/ok.ts', imports('#broker/vault/client.ts')],
  ['a door imports domain rooms', 'broker/http/ok.ts', imports('#broker/token/exchange.ts')],
  ['the admin door imports what operators do', 'broker/admin/ok.ts', imports('#broker/tenant/tenant.ts')],
  ['main wires', 'broker/main.ts', imports('#broker/vault/client.ts')],
  ['the main of the plugin wires', 'broker/plugin/main.ts', imports('#broker/auth0/source.ts')],
  ['main reads the environment', 'broker/main.ts', "export const level = process.env['LEVEL'];\n"],
  ['cli imports a room', 'cli/command/ok.ts', imports('#broker/vault/client.ts')],
  ['cli/dev starts the broker', 'cli/dev/ok.ts', imports('#broker/main.ts')],
  ['cli/dev reads the environment', 'cli/dev/env.ts', "export const level = process.env['LEVEL'];\n"],
  ['tools know the errors', 'tools/ok.ts', imports('#broker/error.ts')],
  ['a neighbour in the same room', 'broker/http/near.ts', imports('./reply.ts')],
];

/** The project's configuration without types: they play no part in the law, and the files here have none that resolve. */
function lawOnly(): string {
  const config = JSON.parse(readFileSync(join(checkout, '.oxlintrc.json'), 'utf8'));
  delete config.options.typeAware;
  delete config.$schema;
  return JSON.stringify(config);
}

describe('the import law', () => {
  let root: string;
  /** What the linter says of each case, by the folder of the case. */
  const said = new Map<string, { code: string; message: string }[]>();

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'postern-law-'));
    const config = lawOnly();
    // Each case gets a tree of its own, since several speak of the same path.
    await Promise.all(
      [...refused, ...allowed].map(async ([name, path, content], index) => {
        const tree = join(root, String(index));
        mkdirSync(dirname(join(tree, path)), { recursive: true });
        writeFileSync(join(tree, '.oxlintrc.json'), config);
        writeFileSync(join(tree, path), content);
        const result = await execa(
          join(checkout, 'node_modules/.bin/oxlint'),
          ['--threads=1', '-f', 'json', '-c', '.oxlintrc.json', path],
          {
            cwd: tree,
            reject: false,
          },
        );
        said.set(name, JSON.parse(result.stdout).diagnostics);
      }),
    );
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it.each(refused)('refuses: %s', (name, _path, _content, rule = 'no-restricted-imports') => {
    const codes = said.get(name)?.map(({ code }) => code) ?? [];
    expect(
      codes.some((code) => code.includes(rule)),
      JSON.stringify(said.get(name)),
    ).toBe(true);
  });

  it.each(allowed)('allows: %s', (name) => {
    expect(said.get(name)).toEqual([]);
  });

  it('holds for what the product imports only when it is needed, which the linter itself does not see', async () => {
    const tree = join(root, 'lazy');
    let count = 0;
    for (const room of ['broker', 'cli', 'tools']) {
      for (const entry of readdirSync(join(checkout, room), { recursive: true, encoding: 'utf8' })) {
        if (!entry.endsWith('.ts')) continue;
        const source = readFileSync(join(checkout, room, entry), 'utf8');
        const lazy = [...source.matchAll(/\bimport\(\s*(['"`])(.+?)\1/g)].map(
          ([, , from], index) => `import * as lazy${index} from '${from}';\nexport { lazy${index} };\n`,
        );
        if (lazy.length === 0) continue;
        count += lazy.length;
        mkdirSync(dirname(join(tree, room, entry)), { recursive: true });
        writeFileSync(join(tree, room, entry), lazy.join(''));
      }
    }
    expect(count).toBeGreaterThan(0);
    writeFileSync(join(tree, '.oxlintrc.json'), lawOnly());
    const result = await execa(join(checkout, 'node_modules/.bin/oxlint'), ['-f', 'unix', '-c', '.oxlintrc.json'], {
      cwd: tree,
      reject: false,
    });
    expect(result.stdout.split('\n').filter((line) => line.includes('no-restricted-imports'))).toEqual([]);
  });

  it('names every case once', () => {
    expect(new Set([...refused, ...allowed].map(([name]) => name)).size).toBe(refused.length + allowed.length);
  });
});
