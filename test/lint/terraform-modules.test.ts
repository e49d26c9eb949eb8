import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkout } from '#tools/part/version.ts';

const MODULES = join(checkout, 'terraform/modules');

interface Row {
  readonly name: string;
  readonly what: string;
  readonly default?: string;
}

/** `variable` or `output` blocks of a module, in their order. */
function declared(module: string, kind: 'variable' | 'output'): Row[] {
  const text = readFileSync(join(MODULES, module, `${kind}s.tf`), 'utf8');
  return [...text.matchAll(new RegExp(`^${kind} "(\\w+)" \\{\\n(.*?)^\\}`, 'gms'))].map(([, name = '', block = '']) => {
    const [, quoted, long] = /description = (?:"((?:[^"\\]|\\.)*)"\n|<<-EOT\n(.*?)EOT)/s.exec(block) ?? [];
    const value = /^ {2}default\s+= (.*)$/m.exec(block)?.[1];
    const what = (quoted?.replaceAll('\\"', '"') ?? long ?? '').replaceAll(/\s+/g, ' ').trim();
    return { name, what, ...(kind === 'variable' ? { default: value === undefined ? 'needed' : `\`${value}\`` } : {}) };
  });
}

function told(module: string, heading: string): Row[] {
  const text = readFileSync(join(MODULES, module, 'README.md'), 'utf8');
  const [, part = ''] = new RegExp(`^## ${heading}\\n(.*?)(?=^## |(?![\\s\\S]))`, 'ms').exec(text) ?? [];
  return [...part.matchAll(/^\| `(\w+)` \| (.*?) \|(?: (.*?) \|)?$/gm)].map(([, name = '', what = '', value]) => ({
    name,
    what,
    ...(value === undefined ? {} : { default: value }),
  }));
}

describe.each(readdirSync(MODULES))('module %s', (module) => {
  test.each([
    ['variable', 'Variables'],
    ['output', 'Outputs'],
  ] as const)('its README has every %s as the files describe it', (kind, heading) => {
    const rows = declared(module, kind);
    expect(rows.length).toBeGreaterThan(0);
    for (const { name, what } of rows) expect([name, what.length > 10]).toEqual([name, true]);
    expect(told(module, heading)).toEqual(rows);
  });
});

test('a validation looks at its own variable alone, and at no local: more needs Terraform 1.9, and 1.5.7 is what can be built', () => {
  for (const module of ['', ...readdirSync(MODULES).map((name) => `modules/${name}/`)]) {
    const text = readFileSync(join(checkout, 'terraform', module, 'variables.tf'), 'utf8');
    for (const [, name = '', block = ''] of text.matchAll(/^variable "(\w+)" \{\n(.*?)^\}/gms))
      for (const [condition] of block.matchAll(/^ {4}condition +=(.*?)^ {2}\}/gms)) {
        const others = [...condition.matchAll(/\b(?:var\.(\w+)|(local|module|data)\.\w+)/g)].filter(([, variable]) => variable !== name);
        expect([module, name, others.map(([reference]) => reference)]).toEqual([module, name, []]);
      }
  }
});

/**
 * While an audit device is being enabled, Vault 1.21 answers 500 to writes that it has done; the provider repeats them, and what can't be
 * made twice then "already exists".
 */
test('what cannot be made twice waits for the audit device: mounts by themselves, entities by what a mount gives', () => {
  const blocks = readdirSync(MODULES).flatMap((module) =>
    readdirSync(join(MODULES, module))
      .filter((file) => file.endsWith('.tf'))
      .flatMap((file) => [
        ...readFileSync(join(MODULES, module, file), 'utf8').matchAll(
          /^resource "(vault_(?:mount|auth_backend|jwt_auth_backend|identity_entity))" "(\w+)" \{\n(.*?)^\}/gms,
        ),
      ])
      .map(([, type = '', name = '', text = '']) => ({ module, type, name, text })),
  );
  expect(blocks.length).toBeGreaterThan(8);
  const early = blocks.filter(({ module, type, text }) =>
    // A tenant's own mounts and entities come after the mounts of all tenants, by an accessor, a role_id or a policy of theirs.
    type === 'vault_identity_entity' ? !/\.role_id|self_accessor/.test(text) : module === 'vault' && !text.includes('vault_audit.postern'),
  );
  expect(early.map(({ module, type, name }) => `${module} ${type}.${name}`)).toEqual([]);
});
