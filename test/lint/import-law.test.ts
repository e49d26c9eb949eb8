import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Violation, violations } from '#tools/law/law.ts';
import { checkout } from '#tools/part/version.ts';

/**
 * Where a chain may never lead, however many files it passes: [from, to], each a file or a folder. `through` names
 * a room that the first may import itself, so that the third file can stand in it as well as in the first's own room.
 */
const never: [from: string, to: string, through?: string][] = [
  ['broker/credential/', 'broker/authorization/', 'broker/error.ts'],
  ['broker/credential/', 'broker/token/'],
  ['broker/credential/', 'broker/vault/'],
  ['broker/credential/', 'broker/http/'],
  ['broker/authorization/', 'broker/token/', 'broker/credential/'],
  ['broker/authorization/', 'broker/vault/', 'broker/credential/'],
  ['broker/authorization/', 'broker/http/', 'broker/credential/'],
  ['broker/token/', 'broker/vault/', 'broker/authorization/'],
  ['broker/token/', 'broker/auth0/', 'broker/credential/'],
  ['broker/token/', 'broker/transit/', 'broker/credential/'],
  ['broker/token/', 'broker/operator/', 'broker/authorization/'],
  ['broker/token/', 'broker/plugin/', 'broker/credential/'],
  ['broker/audit/', 'broker/vault/', 'broker/token/'],
  ['broker/audit/', 'broker/admin/', 'broker/token/'],
  ['broker/vault/', 'broker/auth0/', 'broker/token/'],
  ['broker/vault/', 'broker/transit/', 'broker/token/'],
  ['broker/vault/', 'broker/operator/', 'broker/token/'],
  ['broker/vault/', 'broker/http/', 'broker/token/'],
  ['broker/auth0/', 'broker/operator/', 'broker/token/'],
  ['broker/auth0/', 'broker/operator/', 'broker/doctor/check.ts'],
  ['broker/auth0/', 'broker/vault/', 'broker/authorization/'],
  ['broker/auth0/', 'broker/transit/', 'broker/token/'],
  ['broker/auth0/', 'broker/admin/', 'broker/token/'],
  ['broker/transit/', 'broker/operator/', 'broker/vault/'],
  ['broker/transit/', 'broker/auth0/', 'broker/vault/'],
  ['broker/transit/', 'broker/http/', 'broker/vault/'],
  ['broker/operator/', 'broker/auth0/', 'broker/vault/'],
  ['broker/operator/', 'broker/transit/', 'broker/vault/'],
  ['broker/operator/', 'broker/doctor/', 'broker/vault/'],
  ['broker/operator/', 'broker/admin/', 'broker/vault/'],
  ['broker/doctor/', 'broker/admin/', 'broker/operator/'],
  ['broker/http/', 'broker/vault/', 'broker/audit/'],
  ['broker/http/', 'broker/auth0/', 'broker/token/'],
  ['broker/http/', 'broker/operator/', 'broker/credential/'],
  ['broker/http/', 'broker/plugin/', 'broker/token/'],
  ['broker/http/', 'broker/admin/', 'broker/audit/'],
  ['broker/admin/', 'broker/http/', 'broker/operator/'],
  ['broker/admin/', 'broker/plugin/', 'broker/audit/'],
  ['broker/admin/', 'broker/auth0/', 'broker/operator/'],
  ['broker/plugin/', 'broker/http/', 'broker/token/'],
  ['broker/plugin/', 'broker/admin/', 'broker/token/'],
  ['broker/plugin/', 'broker/vault/', 'broker/authorization/'],
  ['broker/plugin/', 'broker/operator/', 'broker/token/'],
  ['broker/plugin/main.ts', 'broker/vault/', 'broker/auth0/'],
  ['broker/description.ts', 'broker/admin/'],
  ['broker/description.ts', 'broker/vault/', 'broker/loopback.ts'],
  ['broker/description.ts', 'broker/token/', 'broker/vault-fault.ts'],
  ['broker/log.ts', 'broker/loopback.ts', 'broker/error.ts'],
  ['broker/log.ts', 'broker/token/'],
  ['broker/log.ts', 'broker/vault/'],
  ['broker/config.ts', 'broker/http/'],
  ['cli/command/', 'broker/http/', 'broker/operator/'],
  ['cli/command/', 'broker/plugin/', 'broker/doctor/'],
  ['cli/command/', 'broker/admin/', 'broker/vault/'],
  ['cli/command/', 'broker/main.ts', 'broker/vault/'],
  ['dev/', 'broker/http/', 'broker/operator/'],
  ['dev/', 'test/fixture/', 'tools/'],
  ['tools/', 'broker/vault/', 'broker/error.ts'],
  ['tools/', 'cli/'],
  ['tools/', 'dev/'],
  ['client/', 'broker/error.ts'],
  ['console/', 'broker/error.ts'],
  ['broker/http/', 'test/fixture/', 'broker/token/'],
  ['broker/main.ts', 'test/fixture/', 'broker/wiring/'],
  ['broker/sources.ts', 'broker/http/', 'broker/transit/'],
  ['broker/sources.ts', 'broker/operator/', 'broker/vault/'],
  ['broker/auth0/', 'broker/sources.ts', 'broker/token/'],
  ['cli/command/', 'test/fixture/', 'broker/operator/'],
];

/** Direct imports that are forbidden where a chain through the right room is in order. */
const direct: [from: string, to: string][] = [
  ['broker/admin/', 'broker/vault/'],
  ['broker/operator/', 'broker/token/'],
  ['broker/plugin/', 'broker/auth0/'],
  ['broker/http/', 'broker/main.ts'],
  ['broker/http/', 'broker/config.ts'],
  ['broker/http/', 'broker/wiring/'],
  ['broker/main.ts', 'broker/vault/'],
  ['cli/command/', 'broker/wiring/'],
  ['broker/token/', 'broker/config.ts'],
  ['broker/http/', 'cli/command/'],
  ['broker/http/', 'dev/'],
  ['broker/admin/', 'console/'],
  ['broker/token/', 'tools/'],
  ['cli/command/', 'dev/'],
  ['dev/', 'cli/command/'],
  ['broker/error.ts', 'broker/log.ts'],
  ['broker/unknown/', 'broker/error.ts'],
];

const allowed: [from: string, to: string][] = [
  ['broker/authorization/', 'broker/credential/'],
  ['broker/token/', 'broker/authorization/'],
  ['broker/vault/', 'broker/token/'],
  ['broker/transit/', 'broker/vault/'],
  ['broker/auth0/', 'broker/doctor/check.ts'],
  ['broker/operator/', 'broker/vault/'],
  ['broker/doctor/', 'broker/operator/'],
  ['broker/http/', 'broker/token/'],
  ['broker/http/', 'broker/audit/'],
  ['broker/admin/', 'broker/operator/'],
  ['broker/plugin/', 'broker/token/'],
  ['broker/main.ts', 'broker/wiring/'],
  ['broker/wiring/', 'broker/vault/'],
  ['broker/wiring/', 'broker/http/'],
  ['broker/config.ts', 'broker/sources.ts'],
  ['broker/sources.ts', 'broker/auth0/'],
  ['broker/credential/', 'broker/clock.ts'],
  ['broker/plugin/main.ts', 'broker/auth0/'],
  ['broker/log.ts', 'broker/error.ts'],
  ['cli/command/', 'broker/vault/'],
  ['cli/command/', 'broker/auth0/'],
  ['cli/command/dev.ts', 'dev/'],
  ['dev/', 'cli/interrupt.ts'],
  ['dev/', 'tools/'],
  ['tools/', 'broker/error.ts'],
  ['test/unit/', 'broker/http/'],
];

/** Every way of writing an import; credential may not import token. */
const spellings: [what: string, content: (to: string) => string][] = [
  ['an import', (to) => `import { thing } from '${to}';\nexport const used = thing;\n`],
  ['an import for its effects', (to) => `import '${to}';\n`],
  ['a type', (to) => `import type { Thing } from '${to}';\nexport type Used = Thing;\n`],
  ['a type among values', (to) => `import { type Thing } from '${to}';\nexport type Used = Thing;\n`],
  ['a type where it is used', (to) => `export type Used = import('${to}').Thing;\n`],
  ['a re-export', (to) => `export { thing } from '${to}';\n`],
  ['a re-export of all', (to) => `export * from '${to}';\n`],
  ['a re-export under a name', (to) => `export * as things from '${to}';\n`],
  ['a re-exported type', (to) => `export type { Thing } from '${to}';\n`],
  ['an import when it is needed', (to) => `export const load = () => import('${to}');\n`],
  [
    'an import beside a using declaration',
    (to) => `import { thing } from '${to}';\nexport const run = () => {\n  using it = thing();\n};\n`,
  ],
];

const stub = "export const thing = () => ({ [Symbol.dispose]() {} });\nexport type Thing = 'thing';\n";
const importOf = (to: string) => `import { thing } from '#${to}';\nexport const used = thing;\nexport { thing };\n`;

interface Case {
  name: string;
  /** The file that is asked about. */
  from: string;
  files: Record<string, string>;
}

let count = 0;
/** A folder gets a file of its own for each case. */
const fileIn = (place: string) => (place.endsWith('/') ? `${place}case${(count += 1)}.ts` : place);

/** A chain of files, each importing the next. */
function chain(name: string, places: string[]): Case {
  const paths = places.map(fileIn);
  const files = Object.fromEntries(paths.map((path, index) => [path, paths[index + 1] ? importOf(paths[index + 1] as string) : stub]));
  return { name, from: paths[0] as string, files };
}

/** A third file in the same room; files directly under broker/ have one another. */
const neighbour = (from: string) => (from.endsWith('/') ? from : from.startsWith('broker/plugin/') ? 'broker/plugin/' : undefined);

const refusedAlways: Case[] = never.flatMap(([from, to, through]) => [
  chain(`${from} -> ${to}`, [from, to]),
  ...[neighbour(from), through, neighbour(to)].flatMap((third) =>
    third ? [chain(`${from} -> ${third} -> ${to}`, [from, third, to])] : [],
  ),
]);
const refusedDirectly = direct.map(([from, to]) => chain(`${from} -> ${to}`, [from, to]));
const inOrder = allowed.map(([from, to]) => chain(`${from} -> ${to}`, [from, to]));
const spelled: Case[] = spellings.map(([name, content]) => {
  const to = fileIn('broker/token/');
  const from = fileIn('broker/credential/');
  return { name, from, files: { [from]: content(`#${to}`), [to]: stub } };
});

/** What the law says of each case. Cases share a tree as long as they agree on every file: few trees are read, not hundreds. */
async function judge(cases: Case[]): Promise<Map<Case, Violation[]>> {
  const trees: Record<string, string>[] = [];
  const places = new Map<Case, Record<string, string>>();
  for (const one of cases) {
    const fits = (tree: Record<string, string>) => Object.entries(one.files).every(([path, text]) => (tree[path] ?? text) === text);
    let tree = trees.find(fits);
    if (!tree) trees.push((tree = {}));
    Object.assign(tree, one.files);
    places.set(one, tree);
  }
  const found = new Map<Record<string, string>, Violation[]>();
  for (const tree of trees) found.set(tree, await planted(tree));
  return new Map(cases.map((one) => [one, (found.get(places.get(one)!) ?? []).filter(({ from }) => from in one.files)]));
}

async function planted(files: Record<string, string>): Promise<Violation[]> {
  const root = mkdtempSync(join(tmpdir(), 'postern-law-'));
  try {
    cpSync(join(checkout, 'package.json'), join(root, 'package.json'));
    symlinkSync(join(checkout, 'node_modules'), join(root, 'node_modules'));
    for (const room of ['broker', 'cli', 'client', 'console', 'dev', 'tools', 'test']) mkdirSync(join(root, room));
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), content);
    }
    return await violations(root);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

describe('the import law', () => {
  let said: Map<Case, Violation[]>;
  beforeAll(async () => {
    said = await judge([...refusedAlways, ...refusedDirectly, ...inOrder, ...spelled]);
  });

  it.each(refusedAlways.map((one) => [one.name, one] as const))('refuses %s', (_name, one) => {
    // At the first file, not only at the one in between: this is what makes the law transitive.
    expect(said.get(one)?.map(({ from }) => from)).toContain(one.from);
  });

  it.each(refusedDirectly.map((one) => [one.name, one] as const))('refuses the direct import %s', (_name, one) => {
    expect(said.get(one)?.map(({ from }) => from)).toContain(one.from);
  });

  it.each(spelled.map((one) => [one.name, one] as const))('takes for an import: %s', (_name, one) => {
    expect(said.get(one)?.map(({ rule }) => rule)).toContain('room-credential');
  });

  it.each(inOrder.map((one) => [one.name, one] as const))('allows %s', (_name, one) => {
    expect(said.get(one)).toEqual([]);
  });

  it('refuses a file that reaches itself, an import that leads nowhere and what stands beside the rooms', async () => {
    const found = await planted({
      'broker/token/a.ts': importOf('broker/token/b.ts'),
      'broker/token/b.ts': importOf('broker/token/a.ts'),
      'broker/vault/c.ts': importOf('broker/vault/nowhere.ts'),
      'broker/vault/d.ts': "export { env } from 'node:process';\n",
      'broker/vault/e.ts': "export { test } from 'vitest';\n",
      'broker/error.ts': "export { inspect } from 'node:util';\n",
    });
    expect([...new Set(found.map(({ rule, from }) => `${rule} ${from}`))].sort()).toEqual([
      'error-imports-nothing broker/error.ts',
      'found broker/vault/c.ts',
      'no-circle broker/token/a.ts',
      'no-development-packages broker/vault/e.ts',
      'no-process-module broker/vault/d.ts',
    ]);
  });
});
