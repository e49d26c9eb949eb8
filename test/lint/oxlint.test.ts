import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { checkout } from '#tools/part/version.ts';

/** [what, where, the whole file, the rule that must refuse it] */
const refused: [what: string, path: string, content: string, rule: string][] = [
  ['an import by ../', 'broker/http/a.ts', "export { thing } from '../error.ts';\n", 'no-restricted-imports'],
  ['an import by ../ in a test', 'test/unit/a.ts', "export { thing } from '../../broker/error.ts';\n", 'no-restricted-imports'],
  ['an import up and down again', 'broker/http/b.ts', "export { thing } from './x/../../error.ts';\n", 'no-restricted-imports'],
  ['an import that nobody can read', 'broker/http/c.ts', 'export const load = (from: string) => import(from);\n', 'no-dynamic-require'],
  ['process.env in a room', 'broker/http/d.ts', "export const level = process.env['LEVEL'];\n", 'no-process-env'],
  ['process.env in a command', 'cli/command/e.ts', "export const level = process.env['LEVEL'];\n", 'no-process-env'],
  ['the environment by another spelling', 'broker/http/f.ts', "export const level = process['env'].LEVEL;\n", 'no-restricted-properties'],
  ['the environment taken apart', 'broker/http/g.ts', 'export const { env } = process;\n', 'no-restricted-properties'],
];

const allowed: [what: string, path: string, content: string][] = [
  ['process.env in main', 'broker/main.ts', "export const level = process.env['LEVEL'];\n"],
  ['process.env in dev', 'dev/a.ts', 'export const { env } = process;\n'],
  ['process.env in tools', 'tools/a.ts', "export const level = process.env['LEVEL'];\n"],
  ['a neighbour in the same room', 'broker/http/near.ts', "export { thing } from './reply.ts';\n"],
];

const root = mkdtempSync(join(tmpdir(), 'postern-lint-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** What the project's configuration says of each file; without types, since nothing here resolves. */
let said: { code: string; filename: string }[];
beforeAll(async () => {
  const config = JSON.parse(readFileSync(join(checkout, '.oxlintrc.json'), 'utf8'));
  delete config.options.typeAware;
  delete config.$schema;
  writeFileSync(join(root, '.oxlintrc.json'), JSON.stringify(config));
  for (const [, path, content] of [...refused, ...allowed]) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  const result = await execa(join(checkout, 'node_modules/.bin/oxlint'), ['-f', 'json', '-c', '.oxlintrc.json'], {
    cwd: root,
    reject: false,
  });
  said = JSON.parse(result.stdout).diagnostics;
});

it.each(refused)('refuses %s', (_what, path, _content, rule) => {
  expect(said.filter(({ filename }) => filename === path).map(({ code }) => code)).toContainEqual(expect.stringContaining(rule));
});

it.each(allowed)('allows %s', (_what, path) => {
  expect(said.filter(({ filename }) => filename === path)).toEqual([]);
});
