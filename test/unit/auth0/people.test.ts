import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createManagement } from '#broker/auth0/management.ts';
import { Auth0People } from '#broker/auth0/people.ts';
import { MANAGEMENT_SCOPES, startAuth0 } from '#dev/auth0.ts';
import type { Auth0Account, Auth0Person, Auth0StandIn } from '#dev/auth0.ts';

const SELF = 'https://postern.example.com/self';
const ACME = 'org_acme1';

let auth0: Auth0StandIn;
let people: Auth0People;
let token: string;

const person = (id: string, more: Partial<Auth0Person> = {}): Auth0Person => ({
  id,
  email: `${id.slice(6)}@example.com`,
  name: id,
  organizations: [ACME],
  ...more,
});

const account = (): Auth0Account => ({
  clients: [{ id: 'sync', secrets: ['sync-secret'], grantTypes: ['client_credentials'] }],
  apis: [{ audience: SELF, scopes: ['read:reports', 'read:orders'] }],
  grants: [],
  organizations: [{ id: ACME, name: 'acme' }],
  roles: [{ id: 'rol_reader', name: 'reader', permissions: { [SELF]: ['read:reports'], 'https://other.example.com': ['read:orders'] } }],
  people: [
    person('auth0|own', { permissions: { [SELF]: ['read:reports', 'read:orders'] } }),
    person('auth0|role', { roles: ['rol_reader'] }),
    person('auth0|there', { organizationRoles: { [ACME]: ['rol_reader'] } }),
    person('auth0|group', { groupPermissions: { [SELF]: ['read:reports'] } }),
    person('auth0|group-there', { groupRoles: { [ACME]: ['rol_reader'] } }),
    person('auth0|foreign', { permissions: { 'https://other.example.com': ['read:reports'] } }),
    person('auth0|blocked', { blocked: true }),
    person('auth0|outside', { organizations: [] }),
    person('google-oauth2|1 0%2F', {}),
  ],
});

async function managementToken(scopes?: readonly string[]): Promise<string> {
  const audience = `${auth0.issuer}api/v2/`;
  const response = await fetch(`${auth0.issuer}oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: 'sync',
      client_secret: 'sync-secret',
      audience,
      ...(scopes === undefined ? {} : { scope: scopes.join(' ') }),
    }),
  });
  return ((await response.json()) as { access_token: string }).access_token;
}

const peopleWith = (bearer: string, audience = SELF): Auth0People =>
  new Auth0People({
    management: createManagement({ domain: new URL(auth0.issuer).host, token: bearer, loopback: true, retries: 3 }),
    audience,
  });

beforeAll(async () => {
  auth0 = await startAuth0({ account: account(), managementRate: { requests: 10_000, seconds: 1 } });
});
afterAll(() => auth0.stop());
beforeEach(async () => {
  Object.assign(auth0.account, account());
  auth0.account.grants = [{ clientId: 'sync', audience: `${auth0.issuer}api/v2/`, scopes: [...MANAGEMENT_SCOPES] }];
  auth0.faults.clear();
  token = await managementToken();
  people = peopleWith(token);
});

describe('standing', () => {
  test.each([
    ['auth0|own', 'active'],
    ['auth0|blocked', 'blocked'],
    ['auth0|nobody', 'deleted'],
    ['google-oauth2|1 0%2F', 'active'],
  ])('%s is %s', async (id, standing) => expect(await people.standingOf(id)).toBe(standing));
});

describe('permissions', () => {
  test.each<[string, string[]]>([
    ['auth0|own', []],
    ['auth0|role', ['read:orders']],
    ['auth0|there', ['read:orders']],
    ['auth0|group', ['read:orders']],
    ['auth0|group-there', ['read:orders']],
    ['auth0|foreign', ['read:reports', 'read:orders']],
  ])('of %s: lost are %j', async (id, lost) => {
    const roles = (await people.membersOf(ACME))?.get(id) ?? [];
    expect(await people.lost(id, ACME, roles, ['read:reports', 'read:orders'])).toEqual(lost);
  });

  test('without the scopes for groups, or without groups, what users and roles have decides', async () => {
    const scopes = (auth0.account.grants[0]?.scopes ?? []).filter((scope) => !scope.includes('effective'));
    expect(await peopleWith(await managementToken(scopes)).lost('auth0|group', ACME, [], ['read:reports'])).toEqual(['read:reports']);
  });
});

test('members come page by page, with their roles', async () => {
  auth0.account.people.push(...Array.from({ length: 250 }, (_, at) => person(`auth0|${at}`)));
  const before = auth0.calls.management;
  const members = await people.membersOf(ACME);
  expect(members?.size).toBe(258);
  expect(members?.get('auth0|there')).toEqual(['rol_reader']);
  expect(members?.has('auth0|outside')).toBe(false);
  expect(auth0.calls.management - before).toBe(3);
});

test('an organization that is unknown is told from one without members', async () => {
  expect(await people.membersOf('org_nobody')).toBeUndefined();
  auth0.account.organizations.push({ id: 'org_empty', name: 'empty' });
  expect(await people.membersOf('org_empty')).toEqual(new Map());
});

test('in another Auth0 tenant nobody is taken for gone', async () => {
  await people.check();
  await expect(peopleWith(token, 'https://elsewhere.example.com').check()).rejects.toMatchObject({ code: 'misconfigured' });
});

describe('Auth0 answers otherwise', () => {
  test('429 is waited out as Retry-After says', async () => {
    auth0.faults.set({ kind: 'rate_limit', retryAfter: 1 }, { endpoint: 'management', times: 2 });
    const start = performance.now();
    expect(await people.standingOf('auth0|own')).toBe('active');
    expect(performance.now() - start).toBeGreaterThan(1_900);
  });

  test.each<[string, () => Promise<string>, string]>([
    ['a token that has ended', () => Promise.resolve('a.b.c'), 'access_denied'],
    ['a token without the scope', () => managementToken(['read:roles']), 'access_denied'],
  ])('%s', async (_what, bearer, code) => {
    await expect(peopleWith(await bearer()).standingOf('auth0|own')).rejects.toMatchObject({ code });
  });

  test('an error of a proxy is no word about a person', async () => {
    auth0.faults.set({ kind: 'status', status: 502 }, { endpoint: 'management' });
    await expect(
      new Auth0People({
        management: createManagement({ domain: new URL(auth0.issuer).host, token, loopback: true, retries: 0 }),
        audience: SELF,
      }).standingOf('auth0|own'),
    ).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  });
});
