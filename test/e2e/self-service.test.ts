import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Auth0Person } from '#dev/auth0.ts';
import { freePort } from '#dev/port.ts';
import { addSaas } from '#dev/organization.ts';
import { APIS, SAAS_CLIENT } from '#dev/scenario.ts';
import { startSelfService } from '#dev/self-service.ts';
import { callAdmin } from '#test/fixture/admin.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { openWindow, startBrowser } from '#test/fixture/browser.ts';
import type { Window } from '#test/fixture/browser.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { manage, managementToken } from '#test/fixture/management.ts';
import { SELF_AUDIENCE, personToken } from '#test/fixture/person.ts';
import { startReaper } from '#tools/process/reaper.ts';
import { checkout } from '#tools/part/version.ts';

const ACME = 'org_acme1';
const REPORTS = APIS.reports.audience;
const NASTY = `"><img src=x onerror="alert(1)">'{{7*7}}\${7*7}</td>`;
/** Written into the documentation by `POSTERN_SCREENSHOTS=1`. */
const PICTURES = process.env['POSTERN_SCREENSHOTS'] === '1';

let house: House;
let broker: LocalReplica;
let browser: Browser;
let origin: string;
let folder: string;
const undo = new AsyncDisposableStack();

const PEOPLE: readonly Auth0Person[] = ['ursula', 'victor', 'leo', 'anna'].map((name) => ({
  id: `auth0|${name}`,
  email: `${name}@acme.example.com`,
  name: `${name} of acme`,
  organizations: [ACME],
  permissions: {
    [SELF_AUDIENCE]: ['read:reports', 'read:orders', ...(name === 'anna' ? ['manage:organization-keys'] : [])],
  },
}));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-self-service-'));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const streamSecret = randomBytes(32).toString('hex');
  registerSecret('log stream secret', streamSecret);
  await writeFile(join(folder, 'stream'), streamSecret);
  const grants = [
    { api: 'orders', scopes: ['read:orders'] },
    { api: 'reports', scopes: ['read:reports'] },
  ];
  house = undo.use(
    await startHouse({ self: true, tenants: { acme: { organization: ACME, grants, self_service: { keys_per_user: 50 } } } }),
  );
  broker = await house.startReplica({ env: { POSTERN_LOG_STREAM_SECRET_FILE: join(folder, 'stream'), POSTERN_SELF_RATE: '10000' } });
  const { account } = house.auth0;
  account.people.push(...PEOPLE);
  account.apis.push({
    audience: SELF_AUDIENCE,
    scopes: ['read:reports', 'read:orders', 'manage:organization-keys'],
    dialect: 'access_token_authz',
    lifetime: 3600,
  });
  account.logStreams = [
    { id: 'lst_1', name: 'postern', httpEndpoint: `${broker.issuer}self/v1/auth0-logs`, httpAuthorization: `Bearer ${streamSecret}` },
  ];
  const reaper = startReaper();
  undo.defer(() => reaper.close());
  const { address, child } = await startSelfService({
    port: await freePort(),
    auth0Issuer: house.auth0.issuer,
    application: (at) => addSaas(house.auth0, at),
    organization: ACME,
    brokerIssuer: broker.issuer,
    audience: SELF_AUDIENCE,
    logFile: join(process.env['POSTERN_TEST_LOGS'] ?? folder, `self-service-${process.pid}.log`),
    reaper,
  });
  undo.defer(() => child.stop());
  origin = address;
  browser = await startBrowser();
  undo.defer(() => browser.close());
}, 180_000);
afterAll(() => undo.disposeAsync());

/** Somebody of acme at the page, logged in. */
async function arrive(name: string, options: BrowserContextOptions = {}): Promise<Window> {
  house.auth0.account.clients.find(({ id }) => id === SAAS_CLIENT)!.people = [`auth0|${name}`];
  const window = await openWindow(browser, [origin, new URL(house.auth0.issuer).origin], options);
  await window.page.goto(origin);
  await window.page.getByRole('heading', { level: 1, name: 'My API keys' }).waitFor();
  return window;
}

async function make({ page }: Window, name: string): Promise<string> {
  await page.getByLabel('What it is for').fill(name);
  await page.getByRole('button', { name: 'Make it' }).click();
  return shown(page);
}

async function shown(page: Window['page']): Promise<string> {
  await page.getByRole('heading', { name: 'Your new key' }).waitFor();
  const key = await page.locator('[data-secret]').innerText();
  registerSecret('api key', key);
  return key;
}

async function verify(key: string): Promise<number> {
  const response = await fetch(`${broker.issuer}verify?audience=${encodeURIComponent(REPORTS)}`, { headers: { 'X-API-Key': key } });
  await response.body?.cancel();
  return response.status;
}

const back = ({ page }: Window): Promise<void> => page.getByRole('link', { name: 'Back to your keys' }).click();

/** Requests with this window's session that its pages did not make. */
const forge = async ({ context }: Window, path: string, form: Record<string, string>, headers: Record<string, string>): Promise<number> =>
  (await context.request.post(`${origin}${path}`, { form, headers, maxRedirects: 0 })).status();

test('a key is made, shown once, used, rotated and revoked', async () => {
  await using window = await arrive('ursula');
  const { page } = window;
  const key = await make(window, 'nightly export');
  expect(await verify(key)).toBe(200);
  await back(window);
  await page.getByRole('row', { name: /nightly export/ }).waitFor();
  expect(await page.content()).not.toContain(key);
  expect(JSON.stringify(await page.evaluate(() => [Object.entries(localStorage), Object.entries(sessionStorage)]))).toBe('[[],[]]');
  await page.getByRole('button', { name: 'Rotate nightly export' }).click();
  const rotated = await shown(page);
  expect(rotated).not.toBe(key);
  expect([await verify(key), await verify(rotated)]).toEqual([200, 200]);
  await back(window);
  for (let left = 2; left > 0; left -= 1) {
    await page.getByRole('button', { name: 'Revoke nightly export' }).first().click();
    await expect.poll(() => page.getByRole('button', { name: 'Revoke nightly export' }).count()).toBe(left - 1);
  }
  await expect.poll(async () => [await verify(key), await verify(rotated)], { timeout: 10_000 }).toEqual([401, 401]);
  expect(window.misdeeds).toEqual({ errors: [], foreign: [] });
});

test('a form that is sent twice makes one key', async () => {
  await using window = await arrive('victor');
  const form = Object.fromEntries(
    await window.page
      .locator('form[action="/keys"] input[type=hidden]')
      .evaluateAll((all) => all.map((one) => [one.getAttribute('name'), one.getAttribute('value')])),
  ) as Record<string, string>;
  const twice = { ...form, name: 'twice', scope: 'read:reports', ttl: '604800' };
  expect([await forge(window, '/keys', twice, { Origin: origin }), await forge(window, '/keys', twice, { Origin: origin })]).toEqual([
    201, 201,
  ]);
  await window.page.reload();
  expect(await window.page.getByRole('row', { name: /twice/ }).count()).toBe(1);
});

test('no other page sends its forms, and none frames it', async () => {
  await using window = await arrive('victor');
  const csrf = (await window.page.locator('input[name=csrf]').first().getAttribute('value')) ?? '';
  await using other = await arrive('ursula');
  const foreign = (await other.page.locator('input[name=csrf]').first().getAttribute('value')) ?? '';
  const form = { name: 'forged', scope: 'read:reports', ttl: '604800', attempt: randomBytes(16).toString('hex') };
  for (const [fields, headers] of [
    [{ ...form, csrf }, {}],
    [{ ...form, csrf }, { Origin: 'null' }],
    [{ ...form, csrf }, { Origin: 'https://evil.example.com' }],
    [{ ...form, csrf }, { Origin: `${origin}.evil.example.com` }],
    [form, { Origin: origin }],
    [{ ...form, csrf: foreign }, { Origin: origin }],
    [{ ...form, csrf: '' }, { Origin: origin }],
  ] as const)
    expect(await forge(window, '/keys', fields, headers)).toBe(403);
  await window.page.reload();
  expect(await window.page.getByText('forged').count()).toBe(0);
  const { headers } = await fetch(`${origin}/style.css`);
  expect(headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'self';.*frame-ancestors 'none'$/);
  expect([headers.get('x-frame-options'), headers.get('cache-control')]).toEqual(['DENY', expect.stringContaining('no-store')]);
});

test('script in a name is text', async () => {
  await using window = await arrive('victor');
  await make(window, NASTY);
  await back(window);
  await window.page.getByText(NASTY, { exact: true }).first().waitFor();
  expect(await window.page.locator('img').count()).toBe(0);
  expect(window.misdeeds).toEqual({ errors: [], foreign: [] });
});

test("somebody else's key looks like none; an administrator sees and revokes it", async () => {
  const jwt = await personToken(house, 'auth0|victor', { organization: ACME, permissions: ['read:reports'] });
  const { body } = await callAdmin(broker.issuer, { jwt }, 'POST', '/self/v1/keys', { name: 'of victor' });
  await using ursula = await arrive('ursula');
  const csrf = (await ursula.page.locator('input[name=csrf]').first().getAttribute('value')) ?? '';
  const attempt = randomBytes(16).toString('hex');
  for (const what of ['revoke', 'rotate'])
    expect(await forge(ursula, `/keys/${String(body['key_id'])}/${what}`, { csrf, attempt }, { Origin: origin })).toBe(404);
  expect(await verify(String(body['key']))).toBe(200);
  expect(await ursula.page.getByText('Keys of your organization').count()).toBe(0);
  await using anna = await arrive('anna');
  await anna.page.getByRole('heading', { name: 'Keys of your organization' }).waitFor();
  await anna.page.getByRole('button', { name: 'Revoke of victor' }).click();
  await expect.poll(() => verify(String(body['key'])), { timeout: 10_000 }).toBe(401);
});

test('whoever leaves the company finds the page shut and the key dead', async () => {
  await using window = await arrive('leo');
  const key = await make(window, 'last one');
  expect(await verify(key)).toBe(200);
  await manage(house.auth0, await managementToken(house.auth0), 'PATCH', `users/${encodeURIComponent('auth0|leo')}`, { blocked: true });
  await expect.poll(() => verify(key), { timeout: 10_000 }).toBe(401);
  await back(window);
  await expect.poll(() => window.page.getByRole('alert').innerText(), { timeout: 10_000 }).toContain('log in again');
  await window.page.getByRole('link', { name: 'log in again' }).click();
  await sleep(200);
  expect(await window.page.content()).not.toContain('last one');
});

describe.each(['light', 'dark'] as const)('in %s', (colorScheme) => {
  test.each([
    ['a desk', { width: 1280, height: 900 }],
    ['a small phone', { width: 320, height: 640 }],
  ])('on %s: axe-core finds nothing, and nothing sticks out', async (where, viewport) => {
    await using window = await arrive('ursula', { colorScheme, viewport });
    const { page } = window;
    const look = async (what: string): Promise<void> => {
      expect(await window.axe(), what).toEqual([]);
      expect(await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth'), what).toBeLessThanOrEqual(0);
    };
    await look('keys');
    await make(window, 'reports to the warehouse');
    await look('the new key');
    await back(window);
    await page
      .getByRole('row', { name: /reports to the warehouse/ })
      .first()
      .waitFor();
    await look('keys with one');
    if (PICTURES && colorScheme === 'light' && where === 'a desk')
      await page.screenshot({ path: join(checkout, 'docs/self-service.png'), fullPage: true });
    await page.goto(`${origin}/nothing-here`);
    await page.goto(`${origin}/keys/key_000000000000000000000000/revoke`);
    expect(window.misdeeds).toEqual({ errors: [], foreign: [] });
  });
});
