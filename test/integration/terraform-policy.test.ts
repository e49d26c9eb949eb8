import { productOf } from '#tools/part/server.ts';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { terraformToken } from '#dev/terraform-token.ts';
import { type PolicyFixture, startPolicyFixture } from './policy.fixture.ts';
import { type Body, METHOD } from './policy.rows.ts';
import { allowed, denied, type TerraformRow } from './terraform-policy.rows.ts';

/*
 * Terraform's own policy against the real Vault, which Terraform itself set up with such a token. Each capability of each stanza must be
 * used by a row that Vault allows, so that nothing is granted without a test; who else may do what is policy.test.ts's.
 */

let vault: PolicyFixture;
let token: string;
/** Values that rows name in braces. */
const values: Record<string, string> = {};

beforeAll(async () => {
  vault = await startPolicyFixture();
  // AppRole in place of JWT auth: it takes any role's parameters, and asks no issuer for its keys.
  for (const path of ['postern-admin', 'postern-self', 'postern-assertion/acme', 'postern-trust/acme/0a1b'])
    await vault.root('POST', `sys/auth/${path}`, { type: 'approle' });
  await vault.root('POST', 'sys/policies/acl/admin', { policy: '# somebody else' });
  token = await terraformToken({ address: vault.address, rootToken: vault.rootToken });
  const { data: entity } = await vault.root('GET', 'identity/entity/name/postern.acme.ci');
  values['entity'] = entity.id;
  values['alias'] = entity.aliases[0].id;
  values['own accessor'] = entity.aliases[0].mount_accessor;
  values['accessor'] = (await vault.root('GET', 'sys/auth'))['data']['approle-broker/'].accessor;
});

afterAll(() => vault?.stop());

const filled = (text: string): string => text.replaceAll(/\{([a-z ]+)\}/g, (whole, name: string) => values[name] ?? whole);
const body = (row: TerraformRow): Body | undefined => row.body && (JSON.parse(filled(JSON.stringify(row.body))) as Body);
const title = (row: TerraformRow): string =>
  `${row.capability} ${row.path}${row.note ? ` (${row.note})` : ''} ${JSON.stringify(row.body ?? '')}`;

// Refusals come first: what is allowed takes away what they are about.
describe('denies', () => {
  test.each(denied.map((row) => [title(row), row] as const))('%s', async (_, row) => {
    const answer = await vault.call(token, METHOD[row.capability], filled(row.path), body(row));
    expect({ status: answer.status, denied: answer.body.includes('permission denied') }).toEqual({ status: 403, denied: true });
  });

  test('a child of it, as the provider works with, has no policy that it lacks', async () => {
    const child = await vault.call(token, 'POST', 'auth/token/create', { policies: ['postern-operator'], ttl: '1m' });
    expect(child.status).toBe(400);
    expect(child.body).toContain('child policies must be subset of parent');
  });
});

describe('allows', () => {
  test.each(allowed.map((row) => [title(row), row] as const))('%s', async (_, row) => {
    if (row.note === 'a first one') await vault.root('DELETE', row.path.replace('/data/', '/metadata/'));
    const answer = await vault.call(token, METHOD[row.capability], filled(row.path), body(row));
    // The policy lets it through, and OpenBao itself takes audit devices from its configuration only.
    const refuses = productOf() === 'openbao' && row.path.startsWith('sys/audit/');
    expect(answer.status, answer.body).toBeOneOf(refuses ? [400] : [...(row.status ?? [200, 204])]);
    expect(answer.body).not.toContain('permission denied');
  });
});

describe('covers', () => {
  test('each capability of each path is used by an allowed row', async () => {
    const unused = (await stanzas()).flatMap(({ path, capabilities }) =>
      capabilities
        .filter((capability) => capability !== 'sudo')
        .filter((capability) => !allowed.some((row) => row.capability === capability && covers(path, row.path)))
        .map((capability) => `${capability} ${path}`),
    );
    expect(unused).toEqual([]);
  });

  test('no path is a glob, nothing isolates by deny, and sudo stands only where Vault demands it', async () => {
    for (const { path, capabilities } of await stanzas()) {
      expect(path).not.toContain('*');
      expect(capabilities, path).not.toContain('deny');
      // https://developer.hashicorp.com/vault/docs/concepts/policies#root-protected-api-endpoints
      expect(capabilities.includes('sudo'), path).toBe(/^sys\/(auth\/|audit|plugins\/catalog\/)/.test(path));
    }
  });

  test('no two stanzas are for one path: Vault would take the last one only', async () => {
    const paths = (await stanzas()).map(({ path }) => path);
    expect(paths).toEqual([...new Set(paths)]);
  });
});

async function stanzas(): Promise<{ path: string; capabilities: string[] }[]> {
  const text = await readFile(new URL('../../vault-policies/terraform.hcl', import.meta.url), 'utf8');
  const found = [...text.matchAll(/^path "([^"]+)" \{\s*capabilities = \[([^\]]*)\]/gm)];
  // A stanza that is written in another way would be left out unseen.
  expect(found.length).toBe(text.match(/^\s*path\b/gm)?.length);
  return found.map(([, path = '', list = '']) => ({ path, capabilities: [...list.matchAll(/"(\w+)"/g)].map(([, one = '']) => one) }));
}

/** Does a stanza's path match a request's, as Vault reads `+`? */
const covers = (stanza: string, path: string): boolean => new RegExp(`^${stanza.replaceAll('+', '[^/]+')}$`).test(path);
