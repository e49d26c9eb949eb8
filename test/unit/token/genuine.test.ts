import { beforeAll, describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { isGenuine } from '#broker/token/genuine.ts';
import { IssuedTokens } from '#broker/token/issued-tokens.ts';
import type { TokenJudge } from '#broker/token/issued-tokens.ts';
import { TokenCache } from '#broker/token/cache.ts';
import { Token } from '#broker/token/token.ts';
import { TransitJudge } from '#broker/transit/judge.ts';
import { apiOf, grantOf, tenantOf } from '#test/unit/authorization/stage.ts';
import { identityOf } from '#test/unit/credential/identity.ts';
import { MemoryStore } from './memory-store.ts';
import { TENANT_CLAIM, claimsOf, signer } from './signer.ts';
import type { Signer } from './signer.ts';

const ISSUER = 'https://tokens.example.com/';
const AUTH0 = 'https://acme.eu.auth0.com/';
const now = Math.floor(Date.now() / 1000);
const SCOPE = 'read:all write:all';
let [key, other]: Signer[] = [];
beforeAll(async () => {
  [key, other] = [await signer(), await signer()];
});

/** Of an issuer whose keys can be had, or can't. */
const issuedBy = (judge: (token: string) => ReturnType<TokenJudge['judge']>, sharedClient = false, issuer = ISSUER) =>
  new IssuedTokens({ judges: [{ issuer, sharedClient, judge }], tenantClaim: TENANT_CLAIM });
const known = (): IssuedTokens => {
  const judge = new TransitJudge({ issuer: ISSUER, keys: { jwks: () => ({ keys: [key!.jwk] }) } });
  return issuedBy((token) => judge.judge(token));
};
const away = (): IssuedTokens => issuedBy(() => Promise.reject(new PosternError('temporarily_unavailable', 'The keys are away')));
const made = async (over: Record<string, unknown> = {}, by = key!): Promise<string> =>
  by.sign(claimsOf(ISSUER, now, { scope: SCOPE, ...over }));
const asStored = (jwt: string, over: { scope?: string; exp?: number } = {}): Token =>
  new Token(jwt, over.scope ?? SCOPE, now, over.exp ?? now + 3600, 0);

test('a token of the grant is genuine', async () => {
  const token = asStored(await made());
  for (const issued of [known(), away()]) expect(await isGenuine(issued, await grantOf(), token)).toBe(true);
});

describe('is not genuine, whether or not the keys can be had:', () => {
  test.each<[string, Record<string, unknown>]>([
    ["another tenant's", { [TENANT_CLAIM]: 'globex' }],
    ["nobody's", { [TENANT_CLAIM]: undefined }],
    ['one for another API', { aud: 'https://billing.example.com' }],
    ["another issuer's", { iss: 'https://elsewhere.example.com/' }],
    ['one of a former tenant of the same name', { azp: 'another-role-id' }],
    ['one with a scope that was not granted', { scope: `${SCOPE} admin` }],
    ['one with a permission that was not granted', { permissions: ['admin'] }],
    ["a person's", { sub: 'auth0|ursula', act: { sub: 'key_000000000000000000000001' } }],
    ['one that ends at another time', { exp: now + 7200 }],
    ['one that has ended', { exp: now - 1 }],
  ])('%s', async (_, over) => {
    const jwt = await made(over);
    for (const issued of [known(), away()]) expect(await isGenuine(issued, await grantOf(), asStored(jwt))).toBe(false);
  });

  test('a truncated one, and what is no JWT at all', async () => {
    const jwt = await made();
    for (const text of [jwt.slice(0, jwt.lastIndexOf('.')), jwt.slice(0, jwt.indexOf('.') + 40), 'hello', ''])
      for (const issued of [known(), away()]) expect(await isGenuine(issued, await grantOf(), asStored(text))).toBe(false);
  });

  test('one whose end or scope is told otherwise beside it', async () => {
    const jwt = await made();
    for (const token of [asStored(jwt, { exp: now + 86_400 }), asStored(jwt, { scope: 'read:all' })])
      for (const issued of [known(), away()]) expect(await isGenuine(issued, await grantOf(), token)).toBe(false);
  });
});

test('a wrong signature: refused by the keys, and told from a good one by services alone while they are away', async () => {
  const jwt = await made({}, other);
  expect(await isGenuine(known(), await grantOf(), asStored(jwt))).toBe(false);
  const [head, body] = (await made()).split('.');
  expect(await isGenuine(known(), await grantOf(), asStored(`${head}.${body}.${'A'.repeat(342)}`))).toBe(false);
  expect(await isGenuine(away(), await grantOf(), asStored(jwt))).toBe(true);
});

test("Auth0's are bound by their organization where they name no tenant", async () => {
  const grant = await grantOf({
    apis: [apiOf('orders', { source: 'auth0' })],
    tenant: tenantOf({ organization: 'org_acme' }),
  });
  const issued = issuedBy(() => Promise.reject(new PosternError('temporarily_unavailable', 'The keys are away')), true, AUTH0);
  const bound = async (organization: string | undefined): Promise<Token> =>
    asStored(await made({ iss: AUTH0, azp: 'shared', [TENANT_CLAIM]: undefined, org_id: organization }));
  expect(await isGenuine(issued, grant, await bound('org_acme'))).toBe(true);
  for (const organization of ['org_globex', undefined]) expect(await isGenuine(issued, grant, await bound(organization))).toBe(false);
});

test('what was planted in the store is served to nobody, told, and overwritten by a new token', async () => {
  const grant = await grantOf();
  const store = new MemoryStore();
  const planted = asStored(await made({ [TENANT_CLAIM]: 'globex' }));
  await store.write(grant, planted, undefined, 0);
  const told: string[] = [];
  const good = asStored(await made());
  const cache = new TokenCache({
    store,
    sources: { transit: { issue: () => Promise.resolve(good) } },
    isGenuine: (of, token) => isGenuine(known(), of, token),
    onForgery: (_, { sha256 }) => told.push(sha256),
  });
  const served = await cache.get(grant, identityOf());
  expect([served.token.sha256, served.from]).toEqual([good.sha256, 'source']);
  expect(told).toEqual([planted.sha256]);
  expect((await store.read(grant, identityOf().token)).token?.sha256).toBe(good.sha256);
});
