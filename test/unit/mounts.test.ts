import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DEFAULT_MOUNTS, MOUNTS, mountsFrom } from '#broker/mounts.ts';
import { checkout } from '#tools/part/version.ts';

const snakeCase = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const terraform = (file: string): string => readFileSync(join(checkout, 'terraform', file), 'utf8');

/** `variable "name" { … }` of a module, its whole text. */
function variable(text: string, name: string): string {
  const [, block] = new RegExp(`^variable "${name}" \\{\\n(.*?)^\\}`, 'ms').exec(text) ?? [];
  expect(block, `variable "${name}"`).toBeDefined();
  return block ?? '';
}

describe("Terraform's names in Vault", () => {
  const root = terraform('variables.tf');
  const module = terraform('modules/vault/variables.tf');

  test('have the defaults of the one list, none more and none fewer', () => {
    const defaults = Object.fromEntries(
      [...variable(module, 'mounts').matchAll(/^ +(\w+) += optional\(string, "([^"]*)"\)/gm)].map(([, name, value]) => [name, value]),
    );
    const { transitKey: _key, policyPrefix: _prefix, ...mounts } = DEFAULT_MOUNTS;
    expect(defaults).toEqual(Object.fromEntries(Object.entries(mounts).map(([name, path]) => [snakeCase(name), path])));
  });

  test('of the signing key and the policies are the same', () => {
    expect(variable(root, 'transit_key')).toContain(`"${DEFAULT_MOUNTS.transitKey}"`);
    expect(terraform('modules/vault/main.tf')).toContain(`policy_prefix = "${DEFAULT_MOUNTS.policyPrefix}"`);
  });
});

test('a setting changes the name that it is for, and no other', () => {
  for (const [name, { variable: setting }] of Object.entries(MOUNTS)) {
    const changed = mountsFrom((asked) => (asked === setting ? 'elsewhere' : undefined));
    expect(changed).toEqual(setting === undefined ? DEFAULT_MOUNTS : { ...DEFAULT_MOUNTS, [name]: 'elsewhere' });
  }
});
