import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SOURCE_NAMES } from '#broker/sources.ts';
import { checkout } from '#tools/part/version.ts';

/**
 * Code that names a token source: its name as a whole string or as a part of a path, as a key, a property or a variable, or an
 * identifier that begins with it. Prose isn't meant: messages and comments speak of Auth0, the product, and of Vault's transit engine.
 * The same by hand, `git grep -lE` with this pattern, is in CONTRIBUTING.md.
 */
function naming(sources: readonly string[]): RegExp {
  const any = sources.join('|');
  const capitalized = sources.map((name) => name[0]!.toUpperCase() + name.slice(1)).join('|');
  return new RegExp(`['"/](${any})['"/]|(?:^|[^-\\w])(${any}) *[:,}]|\\.(${any})\\b[^.]|\\b(${any}|${capitalized})[A-Z]`, 'm');
}

/** It names the npm package, which is called as the product is. */
const PACKAGES = 'tools/dist/bundle.ts';
const ROOMS = ['broker', 'cli', 'client', 'tools'];
/** Where a source is at home, and the registry. */
const HOME = new RegExp(`^broker/((${SOURCE_NAMES.join('|')})/|sources\\.ts$)`);

function filesNaming(): string[] {
  const pattern = naming(SOURCE_NAMES);
  return ROOMS.flatMap((room) => readdirSync(join(checkout, room), { recursive: true, encoding: 'utf8' }).map((file) => `${room}/${file}`))
    .filter((file) => file.endsWith('.ts') && !HOME.test(file) && !file.includes('/generated/') && file !== PACKAGES)
    .filter((file) => pattern.test(readFileSync(join(checkout, file), 'utf8')))
    .sort();
}

test('a token source is named in its folder, in the registry and in at most five files beside', () => {
  const files = filesNaming();
  expect(files.length, files.join('\n')).toBeLessThanOrEqual(5);
  // The plugin is wired for its one source: were it not found, nothing would be.
  expect(files).toContain('broker/plugin/main.ts');
});

test.each([
  "source: z.enum(['auth0', 'transit'])",
  "import { Auth0Source } from '#broker/auth0/source.ts';",
  'issuers: { transit: issuer, auth0: other }',
  'const { transit, transitKey } = mounts;',
  'return sources.auth0 ?? sources.transit;',
  'new TransitKeys(options)',
  "readUpstream('upstream/auth0')",
])('counts as naming one: %s', (code) => {
  expect(naming(SOURCE_NAMES).test(`${code}\n`)).toBe(true);
});

test.each([
  "detail: 'Auth0 answered 429'",
  "'e.g. acme.eu.auth0.com'",
  'config.POSTERN_AUTH0_ISSUER',
  "'postern-auth0-v1'",
  "'the transit key'",
])('does not: %s', (code) => {
  expect(naming(SOURCE_NAMES).test(`${code}\n`)).toBe(false);
});
