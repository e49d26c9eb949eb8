import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startAuth0 } from '#dev/auth0.ts';
import { OIDC_CALLBACK, OPERATORS_CLIENT, auth0Account } from '#dev/scenario.ts';
import { applyTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import type { Auth0StandIn } from '#dev/auth0.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startVault } from '#test/fixture/vault.ts';
import type { VaultFixture } from '#test/fixture/vault.ts';

/** People log in to Vault through Auth0, as `vault login -method=oidc` does, but without a browser. */
let vault: VaultFixture;
let auth0: Auth0StandIn;
const folder = mkdtempSync(join(tmpdir(), 'postern-oidc-'));

beforeAll(async () => {
  const { account, operatorsSecret, m2mSecret } = auth0Account(await readFile('terraform/modules/auth0/action.js', 'utf8'));
  registerSecret('oidc client_secret', operatorsSecret);
  registerSecret('auth0 client_secret', m2mSecret);
  [vault, auth0] = await Promise.all([startVault({ reachHost: true }), startAuth0({ account })]);
  await applyTerraform({
    vaultAddress: vault.address,
    vaultToken: await terraformToken(vault),
    stateDirectory: join(folder, 'terraform'),
    variables: { oidc: { discovery_url: auth0.issuer, client_id: OPERATORS_CLIENT, redirect_uris: [OIDC_CALLBACK] } },
  });
  const { status } = await call('POST', 'auth/oidc/config', vault.rootToken, {
    oidc_discovery_url: auth0.issuer,
    oidc_client_id: OPERATORS_CLIENT,
    oidc_client_secret: operatorsSecret,
    default_role: 'auditor',
  });
  expect(status).toBe(204);
}, 120_000);

afterAll(async () => {
  await Promise.allSettled([vault?.stop(), auth0?.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

interface Answer {
  status: number;
  data?: Record<string, unknown>;
  auth?: { client_token: string; policies: string[]; lease_duration: number };
  errors?: string[];
}

async function call(method: string, path: string, token?: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${vault.address}/v1/${path}`, {
    method,
    headers: token ? { 'X-Vault-Token': token } : {},
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    redirect: 'error',
  });
  const text = await response.text();
  return { ...(text === '' ? {} : (JSON.parse(text) as object)), status: response.status };
}

/** Asks Vault where to go, goes there as `email`, comes back with the code. */
async function login(role: string, email: string): Promise<Answer> {
  const asked = await call('POST', 'auth/oidc/oidc/auth_url', undefined, { role, redirect_uri: OIDC_CALLBACK });
  expect(asked.status).toBe(200);
  const url = new URL(String(asked.data?.['auth_url']));
  expect(url.origin + '/').toBe(auth0.issuer);
  url.searchParams.set('login_hint', email);
  const back = await fetch(url, { redirect: 'manual' });
  expect(back.status).toBe(302);
  const callback = new URL(back.headers.get('location') as string);
  expect(callback.href.startsWith(OIDC_CALLBACK)).toBe(true);
  const answer = await call('GET', `auth/oidc/oidc/callback?${callback.searchParams}`);
  if (answer.auth) registerSecret('person vault token', answer.auth.client_token);
  return answer;
}

describe('an operator', () => {
  test('logs in through Auth0 and may manage tenants, and no more', async () => {
    const { status, auth } = await login('operator', 'olivia@example.com');
    expect(status).toBe(200);
    expect(auth?.policies).toContain('postern-operator');
    expect(auth?.policies).not.toContain('root');
    const token = auth?.client_token as string;
    const role = { token_policies: ['postern-tenant'], token_type: 'batch', token_no_default_policy: true, token_ttl: '300' };
    expect((await call('POST', 'auth/approle/role/by-an-operator', token, role)).status).toBe(204);
    expect((await call('POST', 'auth/approle/role/by-an-operator', token, { ...role, token_ttl: '31536000' })).status).toBe(403);
    expect((await call('GET', 'postern-tokens/data/acme/orders', token)).status).toBe(403);
    expect((await call('GET', 'postern/data/upstream/auth0', token)).status).toBe(403);
    expect(
      (await call('POST', 'sys/policies/acl/postern-operator', token, { policy: 'path "*" { capabilities = ["sudo"] }' })).status,
    ).toBe(403);
  });
});

describe('an auditor', () => {
  test('logs in and cannot manage tenants', async () => {
    const { status, auth } = await login('auditor', 'adam@example.com');
    expect(status).toBe(200);
    expect(auth?.policies).toContain('postern-auditor');
    const role = { token_policies: ['postern-tenant'], token_type: 'batch' };
    expect((await call('POST', 'auth/approle/role/by-an-auditor', auth?.client_token, role)).status).toBe(403);
  });
});

describe('refused', () => {
  test.each([
    ['a person without the claim, as operator', 'operator', 'ned@example.com'],
    ['a person without the claim, as auditor', 'auditor', 'ned@example.com'],
    ['an auditor who would be operator', 'operator', 'adam@example.com'],
  ])('%s', async (_name, role, email) => {
    const { status, auth, errors } = await login(role, email);
    expect(status).toBe(400);
    expect(auth).toBeUndefined();
    expect(errors?.join()).toMatch(/claim/);
  });

  test('a callback that nobody asked for', async () => {
    const { status, auth } = await call('GET', 'auth/oidc/oidc/callback?code=x&state=y');
    expect(status).toBe(400);
    expect(auth).toBeUndefined();
  });
});
