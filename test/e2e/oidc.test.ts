import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startAuth0 } from '#dev/auth0.ts';
import { OIDC_CALLBACK, OPERATORS_CLIENT, auth0Account } from '#dev/scenario.ts';
import { applyTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import type { Auth0StandIn } from '#dev/auth0.ts';
import { openWindow, startBrowser } from '#test/fixture/browser.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { until } from '#test/fixture/until.ts';
import { startVault } from '#test/fixture/vault.ts';
import type { VaultFixture } from '#test/fixture/vault.ts';
import { postern } from '#test/integration/cli-run.ts';

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
    variables: {
      oidc: { discovery_url: auth0.issuer, client_id: OPERATORS_CLIENT, redirect_uris: [OIDC_CALLBACK] },
      break_glass: { ttl: 600, max_ttl: 1200 },
    },
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

describe('postern login', () => {
  const home = join(folder, 'home with a space');
  const token = join(home, '.vault-token');
  const env = (): Record<string, string> => ({ VAULT_ADDR: vault.address, HOME: home, BROWSER: join(folder, 'browser') });

  beforeAll(async () => {
    await mkdir(home);
    // Stands for the person's browser: what it is told to open is opened below, in a real one.
    await writeFile(join(folder, 'browser'), `#!/bin/sh\nprintf %s "$1" > '${join(folder, 'opened')}'\n`, { mode: 0o700 });
  });

  /** Follows the address that the command opened, in Chromium. @returns what the page says in the end, and the way back */
  async function browse(email: string): Promise<{ title: string; text: string; misdeeds: object; back: URL }> {
    const opened = join(folder, 'opened');
    await until(async () => (await readFile(opened, 'utf8').catch(() => '')) !== '', 20_000);
    const url = new URL(await readFile(opened, 'utf8'));
    rmSync(opened);
    url.searchParams.set('login_hint', email);
    const browser = await startBrowser();
    try {
      await using window = await openWindow(browser, [new URL(auth0.issuer).origin, new URL(OIDC_CALLBACK).origin]);
      await window.page.goto(url.href);
      return {
        title: await window.page.title(),
        text: await window.page.innerText('body'),
        misdeeds: window.misdeeds,
        back: new URL(window.page.url()),
      };
    } finally {
      await browser.close();
    }
  }

  test('through a real browser, then whoami, then logout', async () => {
    // Whoever could read the file before must not be able to read the new token.
    await writeFile(token, 'an old one', { mode: 0o644 });
    const logging = postern(['login', '--json'], { env: env() });
    const [seen, login] = await Promise.all([browse('olivia@example.com'), logging]);
    expect(login.code, login.stderr).toBe(0);
    const kept = await readFile(token, 'utf8');
    registerSecret('person vault token', kept);
    expect(seen).toMatchObject({ title: 'You are logged in', misdeeds: { errors: [], foreign: [] } });
    expect(login.json).toMatchObject({ logged_in: true, name: 'olivia@example.com', method: 'oidc', ttl: 3600 });
    expect(login.json['policies']).toContain('postern-operator');
    expect(login.stdout + login.stderr).not.toContain(kept);
    expect(statSync(token).mode & 0o777).toBe(0o600);

    const who = await postern(['whoami', '--json'], { env: env() });
    expect(who.code, who.stderr).toBe(0);
    expect(who.json).toMatchObject({
      person: 'olivia@example.com',
      role: 'operator',
      root: false,
      policies: ['postern-operator'],
    });
    expect(who.json['allowed']).toEqual([
      'see_tenants',
      'look_at_vault',
      'manage_tenants',
      'issue_credentials',
      'revoke_credentials',
      'manage_trusts',
      'set_upstream',
      'rotate_signing_key',
      'drop_cached_tokens',
    ]);
    expect(who.json['refused']).toEqual([]);
    expect(who.json['ttl']).toBeGreaterThan(3000);

    // Beside the subject stands a person, so that a reader of the list knows whom to ask.
    expect(await postern(['tenant', 'create', 'initech'], { env: env() })).toMatchObject({ code: 0 });
    const issued = await postern(['secret', 'issue', 'initech', '--json'], { env: env() });
    expect(issued.json['issued_by']).toBe('olivia@example.com (oidc-auth0|olivia)');

    // What the address bar kept is worth nothing to whoever finds it.
    const again = await call('GET', `auth/oidc/oidc/callback?${seen.back.searchParams}`);
    expect(again.auth).toBeUndefined();

    const out = await postern(['logout', '--json'], { env: env() });
    expect(out.json).toMatchObject({ logged_out: true, revoked: true });
    expect(() => statSync(token)).toThrow(/ENOENT/);
    expect((await call('GET', 'auth/token/lookup-self', kept)).status).toBe(403);
    expect(await postern(['logout'], { env: env() })).toMatchObject({ code: 4 });
    expect(await postern(['whoami'], { env: env() })).toMatchObject({ code: 3, stdout: '' });
  }, 60_000);

  test('an auditor may look, and is told what else they may not', async () => {
    const { auth } = await login('auditor', 'adam@example.com');
    const who = await postern(['whoami', '--json'], { env: { ...env(), VAULT_TOKEN: auth?.client_token } });
    expect(who.json).toMatchObject({ allowed: ['see_tenants', 'look_at_vault'], role: 'auditor', person: 'adam@example.com' });
    expect(who.json['refused']).toContain('revoke_credentials');
  });

  test('whom Auth0 gives no role is told so, in the browser and in the terminal, and is not logged in', async () => {
    const logging = postern(['login'], { env: env() });
    const [seen, login] = await Promise.all([browse('ned@example.com'), logging]);
    expect(seen.title).toBe('You are not logged in');
    expect(login).toMatchObject({ code: 3, stdout: '' });
    expect(login.stderr).toMatch(/lacks the role operator/);
    expect(() => statSync(token)).toThrow(/ENOENT/);
  }, 60_000);

  test('break-glass: by a password from stdin or a file, no longer than Terraform says', async () => {
    const password = 'correct horse battery staple';
    registerSecret('break-glass password', password);
    const user = { password, token_policies: 'postern-operator', token_no_default_policy: true, token_ttl: '24h', token_max_ttl: '24h' };
    expect((await call('POST', 'auth/userpass/users/olivia', vault.rootToken, user)).status).toBe(204);
    const args = ['login', '--method', 'userpass', '--username', 'olivia'];
    const { code, stderr, json } = await postern([...args, '--json'], { env: env(), input: `${password}\n` });
    expect(code, stderr).toBe(0);
    registerSecret('person vault token', await readFile(token, 'utf8'));
    expect(json).toMatchObject({ name: 'olivia', method: 'userpass', ttl: 1200 });
    expect(json['policies']).toContain('postern-operator');
    expect((await postern(['whoami', '--json'], { env: env() })).json['allowed']).toContain('revoke_credentials');
    expect(await postern(['logout'], { env: env() })).toMatchObject({ code: 0 });

    for (const [more, input] of [
      [['--username', 'olivia'], 'incorrect horse'],
      [['--username', 'nobody'], password],
      [['--username', 'olivia', '--userpass-mount', 'elsewhere'], password],
    ] as const) {
      const refused = await postern(['login', '--method', 'userpass', ...more], { env: env(), input });
      expect(refused).toMatchObject({ code: 3, stdout: '' });
      expect(refused.stderr).toMatch(/does not let you in/);
      expect(refused.stderr).not.toContain(input);
    }
    expect(() => statSync(token)).toThrow(/ENOENT/);
  }, 60_000);

  test('a role or a mount that Vault does not know', async () => {
    for (const more of [
      ['--role', 'nobody'],
      ['--oidc-mount', 'elsewhere'],
    ]) {
      const { code, stdout, stderr } = await postern(['login', ...more], { env: env() });
      expect([2, 6], stderr).toContain(code);
      expect(stdout).toBe('');
      expect(stderr).toMatch(/Terraform/);
    }
  });
});
