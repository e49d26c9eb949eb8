import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { IssuedTokens } from '#broker/token/issued-tokens.ts';
import type { TokenJudge } from '#broker/token/issued-tokens.ts';
import { TransitJudge } from '#broker/transit/judge.ts';
import { TENANT_CLAIM, claimsOf, signer } from './signer.ts';
import type { Signer } from './signer.ts';

const ISSUER = 'https://tokens.example.com/';
const NOW = 1_800_000_000;
let key: Signer;
beforeAll(async () => {
  key = await signer();
});

function stage() {
  const asked: string[] = [];
  const counting = (judge: TokenJudge): TokenJudge => ({
    sharedClient: judge.sharedClient,
    issuer: judge.issuer,
    judge(token) {
      asked.push(judge.issuer);
      return judge.judge(token);
    },
  });
  const judgeOf = (issuer: string) =>
    counting(new TransitJudge({ issuer, keys: { jwks: () => ({ keys: [key.jwk] }) }, now: () => NOW * 1000 }));
  return {
    asked,
    issued: new IssuedTokens({
      judges: [judgeOf(ISSUER), judgeOf('https://acme.eu.auth0.com/')],
      tenantClaim: TENANT_CLAIM,
      now: () => NOW * 1000,
    }),
  };
}

test('a token is read as its claims tell, by its own issuer', async () => {
  const { asked, issued } = stage();
  const token = await key.sign(claimsOf(ISSUER, NOW, { org_id: 'org_acme' }));
  expect(await issued.read(token)).toEqual({
    sha256: createHash('sha256').update(token).digest('hex'),
    sharedClient: false,
    claims: expect.objectContaining({ iss: ISSUER }),
    tenant: 'acme',
    organization: 'org_acme',
    audience: 'https://orders.example.com',
    scope: 'read:all',
    clientId: 'acme-role-id',
    iat: NOW,
    exp: NOW + 3600,
  });
  expect(await issued.read(await key.sign(claimsOf('https://acme.eu.auth0.com/', NOW, { scope: undefined })))).toMatchObject({
    scope: '',
    organization: undefined,
  });
  expect(asked).toEqual([ISSUER, 'https://acme.eu.auth0.com/']);
});

describe('is not an access token of ours, though rightly signed', () => {
  test.each<[string, Record<string, unknown>]>([
    ['without an audience', { aud: undefined }],
    ['for several APIs', { aud: ['https://orders.example.com', 'https://reports.example.com'] }],
    ['without an end', { exp: undefined }],
    ['that ends now', { exp: NOW }],
    ['without a beginning', { iat: undefined }],
    ['that begins in the future', { iat: NOW + 31 }],
    ['without an application', { azp: undefined }],
    ['with an application that is not text', { azp: 7 }],
    ['with a tenant that none can be', { [TENANT_CLAIM]: '../globex' }],
    ['with a tenant that is not text', { [TENANT_CLAIM]: ['acme', 'globex'] }],
    ['with scopes that are not text', { scope: ['read:all'] }],
    ['with an organization that is not text', { org_id: 7 }],
  ])('one %s', async (_fault, over) => {
    expect(await stage().issued.read(await key.sign(claimsOf(ISSUER, NOW, over)))).toBeUndefined();
  });
});

test('a token is one text: with another last character its signature may be as right, and nobody revoked that', async () => {
  const { asked, issued } = stage();
  const token = await key.sign(claimsOf(ISSUER, NOW));
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const same = letters.indexOf(token.at(-1)!) & 0b110000;
  const others = Array.from({ length: 16 }, (_, n) => token.slice(0, -1) + letters.charAt(same + n)).filter((other) => other !== token);
  expect(others).toHaveLength(15);
  for (const other of others) {
    expect(Buffer.from(other.split('.')[2]!, 'base64url')).toEqual(Buffer.from(token.split('.')[2]!, 'base64url'));
    expect([await issued.read(other), issued.unverified(other)]).toEqual([undefined, undefined]);
  }
  expect(asked).toEqual([]);
  expect(await issued.read(token)).toBeDefined();
});

describe('costs nothing', () => {
  test.each<[string, string]>([
    ['empty', ''],
    ['no JWS', 'hello'],
    ['a JWE', 'a.b.c.d.e'],
    ['one with white space', 'a.b.c '],
    ['one in standard base64', 'a+/=.b.c'],
    ['no JSON', 'aaaa.bbbb.cccc'],
    ['of an unknown issuer', `e30.${Buffer.from('{"iss":"https://evil.example.com/"}').toString('base64url')}.AAAA`],
    ['with an issuer that is not text', `e30.${Buffer.from('{"iss":["https://tokens.example.com/"]}').toString('base64url')}.AAAA`],
    ['with an issuer such as objects inherit', `e30.${Buffer.from('{"iss":"constructor"}').toString('base64url')}.AAAA`],
    ['longer than 8,192 characters', `${'a'.repeat(8_190)}.b.c`],
  ])('%s', async (_what, text) => {
    const { asked, issued } = stage();
    expect([await issued.read(text), asked]).toEqual([undefined, []]);
  });
});

test('one that has ended is none, though a judge let it pass', async () => {
  const claims = claimsOf(ISSUER, NOW);
  const read = async (exp: number) =>
    new IssuedTokens({
      judges: [{ issuer: ISSUER, sharedClient: false, judge: async () => ({ ...claims, exp }) }],
      tenantClaim: TENANT_CLAIM,
      now: () => NOW * 1000,
    }).read(await key.sign(claims));
  expect(await read(NOW)).toBeUndefined();
  expect(await read(NOW + 1)).toMatchObject({ exp: NOW + 1 });
});

test("each issuer's tokens are judged by the clock that is theirs", async () => {
  const claims = claimsOf(ISSUER, NOW);
  const read = async (now: (issuer: string) => number) =>
    new IssuedTokens({
      judges: [{ issuer: ISSUER, sharedClient: false, judge: async () => claims }],
      tenantClaim: TENANT_CLAIM,
      now,
    }).read(await key.sign(claims));
  expect(await read((issuer) => (issuer === ISSUER ? NOW * 1000 : Infinity))).toMatchObject({ iat: claims.iat });
  expect(await read((issuer) => (issuer === ISSUER ? Infinity : NOW * 1000))).toBeUndefined();
});
