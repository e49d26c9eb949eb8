import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkout } from '#tools/part/version.ts';
import { ADMIN_AUDIENCE, startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { openWindow, startBrowser } from '#test/fixture/browser.ts';
import type { Window } from '#test/fixture/browser.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { untilAll } from '#test/fixture/until.ts';

const ALL = ['read:tenants', 'read:keys', 'manage:tenants', 'manage:grants', 'manage:keys'];
const NASTY = `"><img src=x onerror="alert(1)">'{{7*7}}\${7*7}`;
/** Written into the documentation by `POSTERN_SCREENSHOTS=1`. */
const PICTURES = process.env['POSTERN_SCREENSHOTS'] === '1';

let house: House;
let broker: LocalReplica;
let browser: Browser;
let origin: string;

beforeAll(async () => {
  house = await startHouse({ admin: true });
  broker = await house.startReplica({ env: { POSTERN_CONSOLE_CLIENT_ID: 'console', POSTERN_USAGE_INTERVAL: '1' } });
  origin = broker.admin.replace(/\/$/, '');
  const { account } = house.auth0;
  account.clients.push({
    id: 'console',
    secrets: [],
    grantTypes: ['authorization_code'],
    callbacks: [`${origin}/console/`],
    webOrigins: [origin],
    logoutUrls: [`${origin}/console/`],
  });
  account.apis.push({ audience: ADMIN_AUDIENCE, scopes: ALL, dialect: 'access_token_authz', lifetime: 3600 });
  browser = await startBrowser();
});
afterAll(async () => {
  await browser?.close();
  await house?.stop();
});

/** Whoever has these permissions, at the console, logged in. */
async function logIn(permissions: readonly string[], options: BrowserContextOptions = {}): Promise<Window> {
  const window = await arrive(permissions, options);
  await window.page.getByRole('button', { name: 'Log in with Auth0' }).click();
  await window.page.getByRole('heading', { level: 1, name: 'Tenants' }).waitFor();
  return window;
}

async function arrive(permissions: readonly string[], options: BrowserContextOptions = {}): Promise<Window> {
  house.auth0.account.people = [
    { id: 'auth0|olivia', email: 'olivia@example.com', name: 'Olivia', permissions: { [ADMIN_AUDIENCE]: [...permissions] } },
  ];
  const window = await openWindow(browser, [origin, new URL(house.auth0.issuer).origin], {
    permissions: ['clipboard-read', 'clipboard-write'],
    ...options,
  });
  await window.page.goto(`${origin}/console/`);
  return window;
}

/** By its API key, at the customers' door. @returns the status */
async function use(key: string): Promise<number> {
  const response = await fetch(`${broker.issuer}verify?audience=https://reports.example.com`, { headers: { 'X-API-Key': key } });
  await response.body?.cancel();
  return response.status;
}

/** Issues a key through the pages. @returns its text */
async function issue({ page }: Window, name: string): Promise<string> {
  await page.getByRole('button', { name: 'Issue a key' }).click();
  await page.getByLabel('Name: what it is for').fill(name);
  await page.getByRole('button', { name: 'Issue it' }).click();
  const key = await page.locator('[data-secret]').innerText();
  registerSecret('api key', key);
  return key;
}

async function visit({ page }: Window, tenant: string): Promise<void> {
  await page.goto(`${origin}/console/#/tenants/${tenant}`);
  await page.getByRole('heading', { name: 'API keys' }).waitFor();
}

test('an operator finds a tenant, issues a key that works once, rotates and revokes it', async () => {
  await using window = await logIn(ALL);
  const { page } = window;
  await page.getByLabel('Search').fill('GLOB');
  await page.getByRole('link', { name: 'globex' }).waitFor();
  await expect.poll(() => page.getByRole('link', { name: 'acme' }).count()).toBe(0);
  await page.getByLabel('Search').fill('');
  await page.getByRole('link', { name: 'acme' }).click();
  await page.getByRole('heading', { level: 1, name: 'acme' }).waitFor();

  const key = await issue(window, NASTY);
  expect(await use(key)).toBe(200);
  await page.getByRole('button', { name: 'Copy' }).click();
  await page.getByText('Copied.').waitFor();
  expect(await page.evaluate('navigator.clipboard.readText()')).toBe(key);
  await page.getByRole('button', { name: 'I have stored it' }).click();
  // Shown this once: neither the page nor anything that the browser keeps holds it.
  expect(await page.content()).not.toContain(key);
  const kept = await page.evaluate<string>('JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, history.state])');
  expect(kept).not.toContain(key);
  expect(kept).not.toMatch(/eyJ/);
  // The name is text wherever it stands.
  const row = page.getByRole('row').filter({ hasText: NASTY });
  await row.waitFor();
  expect(await page.locator('img[onerror]').count()).toBe(0);

  // Its use is told to people a little later.
  await expect
    .poll(async () => (await page.reload(), page.getByRole('row').filter({ hasText: NASTY }).innerText({ timeout: 5_000 })), {
      timeout: 15_000,
    })
    .not.toContain('never');

  await row.getByRole('button', { name: 'Rotate' }).click();
  await page.getByLabel('The old one goes on for').selectOption('not at all');
  await page.getByRole('button', { name: 'Issue its successor' }).click();
  const successor = await page.locator('[data-secret]').innerText();
  registerSecret('api key', successor);
  await page.getByRole('button', { name: 'I have stored it' }).click();
  expect(await use(successor)).toBe(200);
  await untilAll(401, async () => [await use(key)], 5_000);

  await page.getByRole('row').filter({ hasText: NASTY }).filter({ hasText: 'active' }).getByRole('button', { name: 'Revoke' }).click();
  await page.getByRole('button', { name: 'Revoke it' }).click();
  await page.getByText('is revoked: every broker refuses it').waitFor();
  await untilAll(401, async () => [await use(successor)], 5_000);
  await page.getByText('revoke key').first().waitFor();
  expect(window.misdeeds).toEqual({ errors: [], foreign: [] });
});

test('who presses again after an answer that was lost gets the same key, not a second one', async () => {
  await using window = await logIn(ALL);
  const { page } = window;
  await visit(window, 'globex');
  let lost = 0;
  await page.route('**/v1/tenants/globex/keys', async (route) => {
    if (route.request().method() !== 'POST' || lost > 0) return route.continue();
    lost += 1;
    await route.fetch(); // The broker does it, and the answer never comes.
    return route.abort();
  });
  await page.getByRole('button', { name: 'Issue a key' }).click();
  await page.getByLabel('Name: what it is for').fill('lost and found');
  await page.getByRole('button', { name: 'Issue it' }).click();
  await page.getByText('trying again is safe').waitFor();
  await page.getByRole('button', { name: 'Issue it' }).click();
  const key = await page.locator('[data-secret]').innerText();
  registerSecret('api key', key);
  expect([lost, await use(key)]).toEqual([1, 200]);
  await page.getByRole('button', { name: 'I have stored it' }).click();
  await page.getByRole('row').filter({ hasText: 'lost and found' }).first().waitFor();
  expect(await page.getByRole('row').filter({ hasText: 'lost and found' }).count()).toBe(1);
});

test('what is changed after a refusal is another request, not a used-up one', async () => {
  await using window = await logIn(ALL);
  const { page } = window;
  await visit(window, 'globex');
  let lost = 0;
  await page.route('**/v1/tenants/globex/keys', async (route) => {
    if (route.request().method() !== 'POST' || lost++ > 0) return route.continue();
    await route.fetch();
    return route.abort();
  });
  await page.getByRole('button', { name: 'Issue a key' }).click();
  await page.getByLabel('Name: what it is for').fill('mistyped');
  await page.getByRole('button', { name: 'Issue it' }).click();
  await page.getByText('trying again is safe').waitFor();
  await page.getByLabel('Name: what it is for').fill('as meant');
  await page.getByRole('button', { name: 'Issue it' }).click();
  const key = await page.locator('[data-secret]').innerText();
  registerSecret('api key', key);
  await page.getByRole('button', { name: 'I have stored it' }).click();
  await page.getByRole('row').filter({ hasText: 'as meant' }).waitFor();
});

test('offline, and asked too often: said as it is, and tried again when it may be', async () => {
  await using window = await logIn(ALL);
  const { page, context } = window;
  await page.getByRole('link', { name: 'acme' }).waitFor();
  await context.setOffline(true);
  await page.getByRole('link', { name: 'acme' }).click();
  await page.getByText('The broker did not answer').waitFor();
  await context.setOffline(false);
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('heading', { name: 'API keys' }).waitFor();
  await page.route('**/v1/tenants?*', (route) =>
    route.fulfill({
      status: 429,
      contentType: 'application/problem+json',
      headers: { 'Retry-After': '1' },
      body: JSON.stringify({ type: 'https://postern.dev/problems/too-many-requests', status: 429, detail: 'You ask too often' }),
    }),
  );
  await page.getByRole('link', { name: 'Tenants' }).click();
  await page.getByText('You ask too often').waitFor();
  expect(await window.axe()).toEqual([]);
  await page.unroute('**/v1/tenants?*');
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('link', { name: 'acme' }).waitFor();
});

test('a login that ends while a key is asked for: said in the dialog, and logging in again asks for nothing else', async () => {
  await using window = await logIn(ALL);
  const { page } = window;
  await visit(window, 'acme');
  let sent = 0;
  await page.route('**/v1/tenants/acme/keys', (route) =>
    route.request().method() === 'POST'
      ? ((sent += 1), route.fulfill({ status: 401, contentType: 'application/problem+json', body: '{"status":401}' }))
      : route.continue(),
  );
  await page.getByRole('button', { name: 'Issue a key' }).click();
  await page.getByRole('button', { name: 'Issue it' }).click();
  await page.getByText('Your login has ended').waitFor();
  await page.getByRole('button', { name: 'Log in again' }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.getByRole('heading', { level: 1, name: 'acme' }).waitFor();
  expect(sent).toBe(1);
});

test('disabling asks for the name, and stops the tenant; enabling lets it go on', async () => {
  await using window = await logIn(ALL);
  const { page } = window;
  await visit(window, 'globex');
  const key = await issue(window, 'until disabled');
  await page.getByRole('button', { name: 'I have stored it' }).click();
  expect(await use(key)).toBe(200);
  await page.getByRole('button', { name: 'Disable', exact: true }).click();
  const confirm = page.getByRole('button', { name: 'Disable it' });
  expect(await confirm.isDisabled()).toBe(true);
  await page.getByLabel('to confirm').fill('globe');
  expect(await confirm.isDisabled()).toBe(true);
  await page.getByLabel('to confirm').fill('globex');
  await confirm.click();
  await page.getByText('globex is disabled').waitFor();
  await untilAll(403, async () => [await use(key)], 5_000);
  await page.getByRole('button', { name: 'Enable', exact: true }).click();
  await page.getByRole('button', { name: 'Enable it' }).click();
  await page.getByText('globex is enabled').waitFor();
  await untilAll(200, async () => [await use(key)], 10_000);
});

test('a long list comes in pages', async () => {
  const names = Array.from({ length: 105 }, (_, n) => `paged-${String(n).padStart(3, '0')}`);
  for (const name of names) await house.root.write(`postern/data/tenants/${name}`, { data: { grants: [] } });
  try {
    await using window = await logIn(ALL);
    const { page } = window;
    await page.getByLabel('Search').fill('paged-');
    await page.getByRole('link', { name: 'paged-099' }).waitFor();
    await expect.poll(() => page.getByRole('link', { name: /^paged-/ }).count()).toBe(100);
    await page.getByRole('button', { name: 'Show more' }).click();
    await page.getByRole('link', { name: 'paged-104' }).waitFor();
    expect(await page.getByRole('link', { name: /^paged-/ }).count()).toBe(105);
    expect(await page.getByRole('button', { name: 'Show more' }).count()).toBe(0);
    // What was added belongs to that list, and goes with it.
    await page.getByLabel('Search').fill('paged-00');
    await expect.poll(() => page.getByRole('link', { name: /^paged-/ }).count()).toBe(10);
  } finally {
    for (const name of names) await house.root.delete(`postern/metadata/tenants/${name}`);
  }
});

test('an auditor sees all and is offered nothing; the server would refuse it', async () => {
  await using window = await logIn(['read:tenants', 'read:keys']);
  const { page } = window;
  let bearer = '';
  page.on('request', (request) => (bearer = request.headers()['authorization'] ?? bearer));
  await visit(window, 'acme');
  await page.getByText('What happened lately').waitFor();
  for (const name of ['Issue a key', 'Disable', 'Rotate', 'Revoke']) expect(await page.getByRole('button', { name }).count(), name).toBe(0);
  const refused = await fetch(`${origin}/v1/tenants/acme/disable`, { method: 'POST', headers: { Authorization: bearer } });
  expect(refused.status).toBe(403);
  await refused.body?.cancel();
});

test('which workloads are trusted stands on the tenant', async () => {
  const clientId = house.roleIds['acme']!;
  const trust = { tenant: 'acme', client_id: clientId, issuer: 'https://ci.example.com', audience: 'https://postern.example.com' };
  await house.root.write(`postern/data/trusts/${clientId}/ci`, { data: { ...trust, subject: 'repo:acme/app' } });
  await using window = await logIn(['read:tenants', 'read:keys']);
  const { page } = window;
  await visit(window, 'acme');
  const row = page.getByRole('row').filter({ hasText: 'https://ci.example.com' });
  await row.waitFor();
  expect(await row.innerText()).toContain('repo:acme/app');
  expect(window.misdeeds.errors).toEqual([]);
  await house.root.delete(`postern/metadata/trusts/${clientId}/ci`);
});

test('who may do nothing is told so, and who was refused at Auth0 as well', async () => {
  await using window = await arrive([]);
  await window.page.getByRole('button', { name: 'Log in with Auth0' }).click();
  await window.page.getByText('lacks the permission read:tenants').waitFor();
  await window.page.goto(`${origin}/console/?error=access_denied&error_description=%3Cb%3Eno%3C/b%3E&state=made-up`);
  await window.page.getByText('Auth0 did not let you in').waitFor();
  // A link made by somebody else logs nobody in, and its text is text.
  expect(await window.page.locator('b').count()).toBe(0);
  expect(new URL(window.page.url()).search).toBe('');
});

test('loading the page again leads back to where one was, through Auth0; logging out ends it', async () => {
  await using window = await logIn(ALL);
  const { page } = window;
  await visit(window, 'acme');
  await page.reload();
  await page.getByRole('heading', { level: 1, name: 'acme' }).waitFor();
  expect(new URL(page.url()).hash).toBe('#/tenants/acme');
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByRole('button', { name: 'Log in with Auth0' }).waitFor();
  await page.reload();
  await page.getByRole('button', { name: 'Log in with Auth0' }).waitFor();
});

test('a login that has ended is said, with a way on', async () => {
  const api = house.auth0.account.apis.find(({ audience }) => audience === ADMIN_AUDIENCE)!;
  api.lifetime = 62; // auth0-spa-js takes a token as ended 60 s before its end.
  try {
    await using window = await logIn(ALL);
    await sleep(4_000);
    await window.page.getByRole('link', { name: 'Lately' }).click();
    await window.page.getByText('Your login has ended').waitFor();
    api.lifetime = 3600;
    await window.page.getByRole('button', { name: 'Log in again' }).click();
    await window.page.getByRole('heading', { level: 1, name: 'What happened lately' }).waitFor();
  } finally {
    api.lifetime = 3600;
  }
});

test('by keyboard alone: log in, open a tenant, begin a key and leave it', async () => {
  await using window = await arrive(ALL);
  const { page } = window;
  const tabTo = async (name: string): Promise<void> => {
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press('Tab');
      const focused = await page.evaluate<string>('document.activeElement?.textContent?.trim()');
      if (focused === name) return;
    }
    throw new Error(`Tab never reached "${name}"`);
  };
  await page.getByRole('button', { name: 'Log in with Auth0' }).waitFor();
  await tabTo('Log in with Auth0');
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: 'acme' }).waitFor();
  await tabTo('acme');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Issue a key' }).waitFor();
  await tabTo('Issue a key');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  expect(await page.evaluate("document.activeElement?.closest('dialog') !== null")).toBe(true);
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  expect(await page.evaluate('document.activeElement?.textContent')).toBe('Issue a key');
});

test('no other page can put it into a frame', async () => {
  await using window = await openWindow(browser, [origin]);
  await window.page.route('http://elsewhere.example/', (route) =>
    route.fulfill({ contentType: 'text/html', body: `<iframe src="${origin}/console/"></iframe>` }),
  );
  await window.page.goto('http://elsewhere.example/');
  await expect.poll(() => window.page.frames()[1]?.url()).toMatch(/^chrome-error:/);
});

describe.each(['light', 'dark'] as const)('in %s', (colorScheme) => {
  test.each([
    ['a desk', { width: 1200, height: 850 }],
    ['a small phone', { width: 320, height: 640 }],
  ])('on %s: axe-core finds nothing, and nothing sticks out', async (where, viewport) => {
    await using window = await arrive(ALL, { colorScheme, viewport });
    const { page } = window;
    const look = async (what: string): Promise<void> => {
      expect(await window.axe(), what).toEqual([]);
      expect(await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth'), what).toBeLessThanOrEqual(0);
    };
    await page.getByRole('button', { name: 'Log in with Auth0' }).waitFor();
    await look('door');
    await page.getByRole('button', { name: 'Log in with Auth0' }).click();
    await page.getByRole('link', { name: 'acme' }).waitFor();
    await look('tenants');
    await visit(window, 'acme');
    await page.getByText('through the broker that answers').waitFor();
    const key = await issue(window, `nightly export ${colorScheme} ${where}`);
    await look('the new key');
    await page.getByRole('button', { name: 'I have stored it' }).click();
    await page
      .getByRole('row')
      .filter({ hasText: `nightly export ${colorScheme} ${where}` })
      .waitFor();
    await look('tenant');
    if (PICTURES && colorScheme === 'light' && where === 'a desk')
      await page.screenshot({ path: join(checkout, 'docs/console-tenant.png'), fullPage: true });
    await page.getByRole('button', { name: 'Disable', exact: true }).click();
    await look('disable');
    await page.keyboard.press('Escape');
    await page.getByRole('link', { name: 'Lately' }).click();
    await page.getByText('issue key').first().waitFor();
    await look('lately');
    expect(await use(key)).toBe(200);
    expect(window.misdeeds).toEqual({ errors: [], foreign: [] });
  });
});
