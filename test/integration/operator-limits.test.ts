import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { registerSecret } from '#test/fixture/ledger.ts';
import { productOf } from '#tools/part/server.ts';
import { LIMITS, table } from './operator-limits.rows.ts';
import type { PolicyFixture } from './policy.fixture.ts';
import { startPolicyFixture } from './policy.fixture.ts';
import type { Body } from './policy.rows.ts';

/* Nobody gets more than operator.hcl says: each worst value, sent to a real Vault with an operator's token. */

let vault: PolicyFixture;
beforeAll(async () => {
  vault = await startPolicyFixture();
});
afterAll(() => vault?.stop());

test.each(LIMITS.map((row) => [`${row.path}: ${row.worst}`, row] as const))('%s', async (_, { path, body, by: onVault, onOpenBao }) => {
  const by = (productOf() === 'openbao' ? onOpenBao : undefined) ?? onVault;
  const { status, body: text } = await vault.call(vault.tokens.operator, 'POST', path, body);
  const denied = text.includes('permission denied');
  if (by === 'policy') expect({ status, denied }).toEqual({ status: 403, denied: true });
  else if (by === 'Vault') expect({ status, denied }).toEqual({ status: expect.toBeOneOf([400, 500]), denied: false });
  else expect(status, text).toBeOneOf([200, 204]);
});

describe('what is accepted gives no more', () => {
  const issue = async (body: Body): Promise<Record<string, any>> => {
    const answer = await vault.call(vault.tokens.operator, 'POST', 'auth/approle/role/globex/secret-id', body);
    const { data } = JSON.parse(answer.body) as { data: Record<string, any> };
    registerSecret('secret_id', data['secret_id'] as string);
    return data;
  };
  const logIn = async (secretId: string): Promise<Record<string, any>> => {
    const { data } = await vault.root('GET', 'auth/approle/role/globex/role-id');
    const { auth } = await vault.root('POST', 'auth/approle/login', { role_id: data.role_id, secret_id: secretId });
    registerSecret('Vault token', auth.client_token);
    return auth;
  };

  test('a secret_id of 100 years lives for a year', async () => {
    expect((await issue({ ttl: '3153600000' }))['secret_id_ttl']).toBe(31_536_000);
    await vault.call(vault.tokens.operator, 'POST', 'auth/approle/role/globex', { secret_id_ttl: '3153600000' });
    expect((await issue({}))['secret_id_ttl']).toBe(31_536_000);
  });

  test('a role without a life gives tokens of 300 s', async () => {
    await vault.call(vault.tokens.operator, 'POST', 'auth/approle/role/globex', { token_ttl: '', token_max_ttl: '' });
    expect(await logIn((await issue({}))['secret_id'])).toMatchObject({ lease_duration: 300, token_type: 'batch' });
  });

  test('metadata that names another tenant changes nobody', async () => {
    const auth = await logIn((await issue({ metadata: '{"role_name":"acme"}' }))['secret_id']);
    expect(auth['metadata'].role_name).toBe('globex');
    expect((await vault.call(auth['client_token'], 'GET', 'postern/data/tenants/acme')).status).toBe(403);
    expect((await vault.call(auth['client_token'], 'GET', 'postern/data/tenants/globex')).status).toBe(200);
  });
});

test('docs/operator-limits.md has this table', async () => {
  expect(await readFile(new URL('../../docs/operator-limits.md', import.meta.url), 'utf8')).toContain(table());
});
