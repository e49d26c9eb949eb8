import { SignJWT, exportSPKI, importJWK } from 'jose';
import type { CryptoKey } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { TransitJudge } from '#broker/transit/judge.ts';
import { claimsOf, signer } from '#test/unit/token/signer.ts';
import type { Signer } from '#test/unit/token/signer.ts';

const ISSUER = 'https://tokens.example.com/';
const NOW = 1_800_000_000;
let ours: Signer;
let older: Signer;
let foreign: Signer;
beforeAll(async () => {
  [ours, older, foreign] = await Promise.all([signer(), signer(), signer()]);
});

function stage() {
  const published = { keys: [older.jwk, ours.jwk], reads: 0, away: false };
  const judge = new TransitJudge({
    issuer: ISSUER,
    now: () => NOW * 1000,
    keys: {
      jwks: () => {
        published.reads++;
        if (published.away) throw new PosternError('temporarily_unavailable', 'away');
        return { keys: published.keys };
      },
    },
  });
  return { judge, published };
}

describe('a token of ours', () => {
  test('is known by any key that is published, and the claims are as they were signed', async () => {
    const { judge } = stage();
    for (const by of [ours, older]) expect(await judge.judge(await by.sign(claimsOf(ISSUER, NOW)))).toEqual(claimsOf(ISSUER, NOW));
    expect(await judge.judge(await ours.sign(claimsOf(ISSUER, NOW), { typ: 'at+jwt' }))).toMatchObject({ iss: ISSUER });
  });

  test('is none any more when its key is no longer published', async () => {
    const { judge, published } = stage();
    published.keys = [ours.jwk];
    expect(await judge.judge(await older.sign(claimsOf(ISSUER, NOW)))).toBeUndefined();
  });

  test('is not judged while the keys cannot be had', async () => {
    const { judge, published } = stage();
    published.away = true;
    await expect(judge.judge(await ours.sign(claimsOf(ISSUER, NOW)))).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  });
});

describe('none of ours', () => {
  const segment = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const cases: Record<string, () => Promise<string>> = {
    'signed by another key under our kid': async () => foreign.sign(claimsOf(ISSUER, NOW), { kid: ours.kid }),
    'signed by another key that it carries along': async () => foreign.sign(claimsOf(ISSUER, NOW), { kid: ours.kid, jwk: foreign.jwk }),
    'signed by another key that it names an address of': async () =>
      foreign.sign(claimsOf(ISSUER, NOW), { jku: 'http://127.0.0.1:1/jwks', x5u: 'http://127.0.0.1:1/x5u' }),
    'without a kid': async () =>
      `${segment({ alg: 'RS256', typ: 'JWT' })}.${(await ours.sign(claimsOf(ISSUER, NOW))).split('.').slice(1).join('.')}`,
    'unsigned (alg none)': async () => `${segment({ alg: 'none', typ: 'JWT', kid: ours.kid })}.${segment(claimsOf(ISSUER, NOW))}.`,
    'with our public key as an HMAC secret': async () => {
      const secret = Buffer.from(await exportSPKI((await importJWK(ours.jwk, 'RS256', { extractable: true })) as CryptoKey));
      return new SignJWT(claimsOf(ISSUER, NOW)).setProtectedHeader({ alg: 'HS256', typ: 'JWT', kid: ours.kid }).sign(secret);
    },
    'of another issuer': async () => ours.sign(claimsOf('https://evil.example.com/', NOW)),
    'of our issuer without its slash': async () => ours.sign(claimsOf(ISSUER.slice(0, -1), NOW)),
    ended: async () => ours.sign(claimsOf(ISSUER, NOW - 3600)),
    'with a critical header that nobody understands': async () =>
      `${segment({ alg: 'RS256', kid: ours.kid, crit: ['x'], x: 1 })}.${segment(claimsOf(ISSUER, NOW))}.AAAA`,
    'with a changed tenant': async () => {
      const [header, , signature] = (await ours.sign(claimsOf(ISSUER, NOW))).split('.');
      return `${header}.${segment(claimsOf(ISSUER, NOW, { 'https://postern.dev/tenant': 'globex' }))}.${signature}`;
    },
  };

  test.each(Object.keys(cases))('%s', async (name) => {
    const { judge } = stage();
    expect(await judge.judge(await cases[name]!())).toBeUndefined();
  });

  test('5,000 made-up kids read no keys from anywhere but those at hand', async () => {
    const { judge, published } = stage();
    const payload = segment(claimsOf(ISSUER, NOW));
    for (let i = 0; i < 5_000; i++)
      expect(await judge.judge(`${segment({ alg: 'RS256', typ: 'JWT', kid: `kid-${i}` })}.${payload}.AAAA`)).toBeUndefined();
    // Each look is at the memory of TransitKeys, which reads Vault by its own age.
    expect(published.reads).toBe(5_000);
  }, 30_000);
});
