import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Auth0Judge } from '#broker/auth0/judge.ts';
import { claimsOf, signer } from '#test/unit/token/signer.ts';
import type { Signer } from '#test/unit/token/signer.ts';

let server: Server;
let issuer: string;
let key: Signer;
let next: Signer;
const answer = { status: 200, keys: [] as unknown[], text: undefined as string | undefined, asked: 0 };

beforeAll(async () => {
  [key, next] = await Promise.all([signer(), signer()]);
  server = createServer((_request, response) => {
    answer.asked++;
    response.writeHead(answer.status, { 'Content-Type': 'application/json' }).end(answer.text ?? JSON.stringify({ keys: answer.keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  Object.assign(answer, { status: 200, keys: [key.jwk], text: undefined, asked: 0 });
});

const NOW = Math.floor(Date.now() / 1000);
const SHARED = 'shared-m2m';
const clock = { now: NOW * 1000 };
beforeEach(() => {
  clock.now = NOW * 1000;
});
const judgeOf = () => new Auth0Judge({ issuer, clientId: async () => SHARED, now: () => clock.now });
const shared = (over: Record<string, unknown> = {}) => claimsOf(issuer, NOW, { azp: SHARED, sub: `${SHARED}@clients`, ...over });

describe("a token of Auth0's", () => {
  test('for the shared application is known, in both dialects', async () => {
    const judge = judgeOf();
    expect(await judge.judge(await key.sign(shared()))).toEqual(shared());
    expect(await judge.judge(await key.sign(shared({ azp: undefined, client_id: SHARED, jti: 'x' }), { typ: 'at+jwt' }))).toMatchObject({
      jti: 'x',
    });
    expect(answer.asked).toBe(1);
  });

  test.each<[string, Record<string, unknown>]>([
    ['another application', { azp: 'another' }],
    ['no application', { azp: undefined }],
    ['two that differ', { client_id: SHARED, azp: 'another' }],
  ])('for %s is not ours, though Auth0 signed it for the same API', async (_whose, claims) => {
    expect(await judgeOf().judge(await key.sign(shared(claims)))).toBeUndefined();
  });

  test.each<[string, () => Promise<string>]>([
    ['signed by another key under its kid', async () => next.sign(shared(), { kid: key.kid })],
    ['ended', async () => key.sign(shared({ exp: NOW - 1 }))],
    ['of another issuer', async () => key.sign(shared({ iss: 'https://evil.example.com/' }))],
    ['an ID token by its typ', async () => key.sign(shared(), { typ: 'logout+jwt' })],
  ])('%s is refused', async (_fault, made) => {
    expect(await judgeOf().judge(await made())).toBeUndefined();
  });
});

describe('the key set', () => {
  test('is fetched once, and 50,000 made-up kids do not fetch it again within 30 s', async () => {
    const judge = judgeOf();
    expect(await judge.judge(await key.sign(shared()))).toBeDefined();
    const payload = Buffer.from(JSON.stringify(shared())).toString('base64url');
    for (let i = 0; i < 50_000; i++) {
      const header = Buffer.from(JSON.stringify({ alg: 'RS256', typ: 'JWT', kid: `kid-${i}` })).toString('base64url');
      expect(await judge.judge(`${header}.${payload}.AAAA`)).toBeUndefined();
    }
    expect([answer.asked, judge.fetches]).toEqual([1, 1]);
  }, 60_000);

  test.each<[string, Partial<typeof answer>]>([
    ['an error', { status: 500 }],
    ['a redirect', { status: 302 }],
    ['no JSON', { text: '<html>' }],
    ['no key set', { text: '{"keys":1}' }],
  ])('that is %s says nothing of a token', async (_fault, broken) => {
    Object.assign(answer, broken);
    await expect(judgeOf().judge(await key.sign(shared()))).rejects.toMatchObject({ code: 'temporarily_unavailable', retryAfter: 5 });
  });

  test('that cannot be had is not asked for again with each token that is presented', async () => {
    const judge = judgeOf();
    const token = await key.sign(shared());
    answer.status = 503;
    for (let i = 0; i < 100; i++) await expect(judge.judge(token)).rejects.toMatchObject({ code: 'temporarily_unavailable' });
    expect(answer.asked).toBe(1);
    answer.status = 200;
    clock.now += 5_000;
    expect(await judge.judge(token)).toBeDefined();
    expect(answer.asked).toBe(2);
  });
});
