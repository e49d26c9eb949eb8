import { readFile } from 'node:fs/promises';
import { registerSecret } from '#test/fixture/ledger.ts';
import { productOf } from '#tools/part/server.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type PolicyFixture, startPolicyFixture } from './policy.fixture.ts';
import { allowed, type Body, denied, document, ENDS_ITSELF, METHOD, type Policy, type Row } from './policy.rows.ts';

/*
 * Each policy against the real Vault, by really calling each path with a real token of that kind. Each capability of each
 * stanza in vault-policies/ must be used by a row that Vault allows, so that nothing is granted without a test.
 */

let vault: PolicyFixture;
/** Values that rows name in braces. */
const values: Record<string, string> = {};

beforeAll(async () => {
  vault = await startPolicyFixture();
  for (const name of ['accessor', 'spare accessor', 'self spare accessor']) {
    values[name] = (await vault.root('POST', 'auth/approle/role/acme/secret-id')).data.secret_id_accessor;
  }
  const entityOf = async (token: string): Promise<string> => (await vault.root('POST', 'auth/token/lookup', { token })).data.entity_id;
  values['own entity'] = await entityOf(vault.tokens.tenant);
  values['own workload entity'] = await entityOf(vault.tokens.workload);
  values['own self entity'] = await entityOf(vault.tokens.self);
  values['token'] = vault.tokens.tenant;
  values['neighbour token'] = await vault.logIn('approle', 'globex');
  values['neighbour entity'] = await entityOf(values['neighbour token']);
  await vault.root('POST', 'postern-replay/data/480000/used', { options: { cas: 0 }, ...document });
  const { data } = await vault.root('POST', 'auth/approle/role/globex/secret-id');
  registerSecret('secret_id', data.secret_id);
  values['neighbour secret_id'] = data.secret_id;
});

afterAll(() => vault?.stop());

function filledPath(path: string): string {
  return path.replaceAll(/\{([a-z_ ]+)\}/g, (whole, name: string) => values[name] ?? whole);
}

function filled(body: Body | undefined): Body | undefined {
  return body && (JSON.parse(JSON.stringify(body).replaceAll(/\{([a-z_ ]+)\}/g, (whole, name: string) => values[name] ?? whole)) as Body);
}

const title = (row: Row): string => `${row.policy}: ${row.capability} ${row.path}${row.note ? ` (${row.note})` : ''}`;

// Refusals come first: what is allowed changes things.
describe('denies', () => {
  test.each(denied.map((row) => [title(row), row] as const))('%s', async (_, row) => {
    const answer = await vault.call(vault.tokens[row.policy], METHOD[row.capability], filledPath(row.path), filled(row.body));
    expect({ status: answer.status, denied: answer.body.includes('permission denied') }).toEqual({ status: 403, denied: true });
  });

  test.each([
    'postern/data/tenants/acme/../globex',
    'postern/data/tenants/./globex',
    'postern/data/tenants//globex',
    'postern/data/tenants/acme/%2e%2e/globex',
    'postern/data/tenants/acme%2f..%2fglobex',
    'postern-tokens/data/acme/../globex/orders',
    'postern-tokens/data/acme//../../globex/orders',
    'postern-tokens/data/acme/%2e%2e/globex/orders',
    'postern-tokens/data/acme/..%2fglobex%2forders',
    'postern-tokens/data/acme/orders/../../globex/orders',
    'postern-tokens/data/acme/../../../postern/data/upstream/auth0',
  ])('tenant: no way round to a neighbour by %s', async (path) => {
    const answer = await vault.call(vault.tokens.tenant, 'GET', path);
    expect(answer.status).not.toBe(200);
    expect(answer.body).not.toContain('"data"');
  });

  test('the escalations left the roles as they were', async () => {
    expect((await vault.call(vault.rootToken, 'GET', 'auth/approle/role/evil')).status).toBe(404);
    const { data } = await vault.root('GET', 'auth/approle/role/acme');
    expect(data).toMatchObject({
      token_policies: ['postern-tenant'],
      token_type: 'batch',
      bind_secret_id: true,
      token_no_default_policy: true,
      token_ttl: 300,
    });
  });

  test("a token with the tenants' policy that did not come from the tenants' mount reaches no tenant", async () => {
    const stray = await vault.tokenWith('postern-tenant');
    for (const path of [
      'postern/data/tenants/acme',
      'postern-tokens/data/acme/orders',
      'postern/data/tenants/',
      'postern-tokens/data//orders',
    ]) {
      const answer = await vault.call(stray, 'GET', path);
      expect(answer.status, path).not.toBe(200);
    }
  });
});

describe('allows', () => {
  test.each(allowed.map((row) => [title(row), row] as const))('%s', async (_, row) => {
    if (row.note === 'a first one') await vault.root('DELETE', row.path.replace('/data/', '/metadata/'));
    const token = row.note === ENDS_ITSELF ? await vault.tokenWith(`postern-${row.policy}`) : vault.tokens[row.policy];
    const answer = await vault.call(token, METHOD[row.capability], filledPath(row.path), filled(row.body));
    if (row.status) expect(answer.status).toBe(row.status);
    else expect(answer.status, answer.body).toBeOneOf([200, 204]);
  });

  test('a role that an operator makes without a token type still gives batch tokens only', async () => {
    const made = await vault.call(vault.tokens.operator, 'POST', 'auth/approle/role/hooli', {
      token_policies: productOf() === 'openbao' ? 'postern-tenant' : ['postern-tenant'],
    });
    expect(made.status).toBe(204);
    const token = await vault.logIn('approle', 'hooli');
    expect((await vault.root('POST', 'auth/token/lookup', { token })).data).toMatchObject({
      type: 'batch',
      policies: ['default', 'postern-tenant'],
    });
  });

  test('a wrapped secret_id, as the CLI issues it', async () => {
    const response = await fetch(`${vault.address}/v1/auth/approle/role/globex/secret-id`, {
      method: 'POST',
      headers: { 'X-Vault-Token': vault.tokens.operator, 'X-Vault-Wrap-TTL': '60s' },
    });
    const { wrap_info } = (await response.json()) as { wrap_info: { token: string } };
    registerSecret('wrapping token', wrap_info.token);
    const unwrapped = await fetch(`${vault.address}/v1/sys/wrapping/unwrap`, {
      method: 'POST',
      headers: { 'X-Vault-Token': wrap_info.token },
    });
    const { data } = (await unwrapped.json()) as { data: { secret_id: string } };
    registerSecret('secret_id', data.secret_id);
    expect(data.secret_id).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('covers', () => {
  test.each(['tenant', 'workload', 'broker', 'operator', 'auditor', 'self'] as const)(
    'each capability of each path in %s.hcl is used by an allowed row',
    async (policy) => {
      const stanzas = await stanzasOf(policy);
      expect(stanzas.length).toBeGreaterThan(1);
      const unused = stanzas.flatMap(({ path, capabilities }) =>
        capabilities
          // Vault asks for sudo beside another capability.
          .filter((capability) => capability !== 'sudo')
          .filter((capability) => !allowed.some((row) => row.policy === policy && row.capability === capability && covers(path, row.path)))
          .map((capability) => `${capability} ${path}`),
      );
      expect(unused).toEqual([]);
    },
  );

  test.each(['tenant', 'workload', 'broker', 'operator', 'auditor', 'self'] as const)(
    '%s.hcl isolates nothing by deny and gives sudo only to read',
    async (policy) => {
      for (const { path, capabilities } of await stanzasOf(policy)) {
        expect(capabilities, path).not.toContain('deny');
        if (capabilities.includes('sudo')) expect(capabilities, path).toEqual(['read', 'sudo']);
      }
    },
  );
});

interface Stanza {
  path: string;
  capabilities: string[];
}

/** The stanzas of a policy file, with this test's names in place of the template's. */
async function stanzasOf(policy: Policy): Promise<Stanza[]> {
  const names: Record<string, string> = {
    approle: 'approle',
    broker_approle: 'approle-broker',
    broker_kubernetes: 'kubernetes-broker',
    broker_jwt: 'jwt-broker',
    oidc: 'oidc',
    kv: 'postern',
    tokens: 'postern-tokens',
    replay: 'postern-replay',
    trust: 'postern-trust',
    transit: 'transit',
    plugin: 'auth0',
    transit_key: 'postern',
    policy_prefix: 'postern-',
  };
  const text = await readFile(new URL(`../../vault-policies/${policy}.hcl`, import.meta.url), 'utf8');
  const stanzas = [...text.matchAll(/^path "([^"]+)" \{\s*capabilities = \[([^\]]*)\]/gm)];
  // A stanza that is written in another way would be left out unseen.
  expect(stanzas.length).toBe(text.match(/^\s*path\b/gm)?.length);
  return stanzas.map(([, path = '', list = '']) => ({
    path: path
      .replaceAll(
        '{{identity.entity.id}}',
        { workload: '{own workload entity}', self: '{own self entity}' }[policy as string] ?? '{own entity}',
      )
      .replaceAll(/\{\{.*?\}\}/g, 'acme')
      .replaceAll(/\$\{(\w+)\}/g, (_, name: string) => names[name] ?? `unknown ${name}`),
    capabilities: [...list.matchAll(/"(\w+)"/g)].map(([, capability = '']) => capability),
  }));
}

/** Does a stanza's path match a request's, as Vault reads `+` and a trailing `*`? */
function covers(stanza: string, path: string): boolean {
  const pattern = stanza.replaceAll(/[.]/g, '\\.').replaceAll('+', '[^/]+').replace(/\*$/, '.*');
  // A list's path is one with a slash at its end.
  return [path, `${path}/`].some((candidate) => new RegExp(`^${pattern}$`).test(candidate));
}
