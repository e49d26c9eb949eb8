import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { RemoteIssuer } from '#broker/token/remote-issuer.ts';
import type { RemoteIssuerOptions } from '#broker/token/remote-issuer.ts';
import { Clock } from '#test/unit/credential/clock.ts';
import { claimsOf, signer } from './signer.ts';
import type { Signer } from './signer.ts';

let server: Server;
let url: string;
let key: Signer;
let next: Signer;
let clock: Clock;
const answer = {
  status: 200,
  keys: [] as unknown[],
  text: undefined as string | undefined,
  age: undefined as number | undefined,
  silent: false,
  asked: 0,
};

beforeAll(async () => {
  [key, next] = await Promise.all([signer(), signer()]);
  server = createServer((_request, response) => {
    answer.asked++;
    if (answer.silent) return;
    const age = answer.age === undefined ? {} : { Age: answer.age };
    response
      .writeHead(answer.status, { 'Content-Type': 'application/json', ...age })
      .end(answer.text ?? JSON.stringify({ keys: answer.keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  clock = new Clock();
  Object.assign(answer, { status: 200, keys: [key.jwk], text: undefined, age: undefined, silent: false, asked: 0 });
});

const issuer = (options: Partial<RemoteIssuerOptions> = {}) =>
  new RemoteIssuer({ issuer: url, now: clock.now, monotonic: clock.monotonic, ...options });
const seconds = () => Math.floor(clock.now() / 1000);
const token = (by: Signer, over: Record<string, unknown> = {}, header: Record<string, unknown> = {}) =>
  by.sign(claimsOf(url, seconds(), over), header);
const away = { code: 'temporarily_unavailable', status: 503 };

describe('a token', () => {
  test('of the issuer has its claims', async () => {
    expect((await issuer().verify(await token(key))).claims).toMatchObject({ iss: url });
    expect((await issuer().verify(await token(key, {}, { typ: 'application/at+jwt' }))).claims).toBeDefined();
  });

  test.each<[string, () => Promise<string>, Record<string, unknown>]>([
    ['by a stranger under the same kid', () => token(next, {}, { kid: key.kid }), { fault: 'signature' }],
    ['by an unknown key', () => token(next), { fault: 'signature' }],
    ['of another issuer', () => token(key, { iss: 'https://evil.example.com/' }), { fault: 'claim', claim: 'iss' }],
    ['for another audience', () => token(key, { aud: 'other' }), { fault: 'claim', claim: 'aud' }],
    ['that has ended', () => token(key, { exp: seconds() - 31 }), { fault: 'ended' }],
    ['that begins later', () => token(key, { nbf: seconds() + 31 }), { fault: 'claim', claim: 'nbf' }],
    ['of another kind', () => token(key, {}, { typ: 'logout+jwt' }), { fault: 'type' }],
    ['in words', async () => 'not.a.jwt', { fault: 'malformed' }],
    ['without a signature', async () => `${btoa('{"alg":"none"}')}.e30.`, { fault: 'algorithm' }],
  ])('%s has its fault told', async (_which, made, fault) => {
    const [{ aud }] = [claimsOf(url, seconds())];
    const verdict = await issuer().verify(await made(), { audience: String(aud), clockTolerance: 30 });
    expect(verdict).toEqual(fault);
  });
});

describe('the keys', () => {
  test('are fetched once for many who wait, and again for a new kid', async () => {
    const one = issuer();
    const [old, rotated] = await Promise.all([token(key), token(next)]);
    await Promise.all(Array.from({ length: 20 }, () => one.verify(old)));
    answer.keys = [key.jwk, next.jwk];
    expect(await one.verify(rotated)).toEqual({ fault: 'signature' });
    clock.advance(30_000);
    expect((await Promise.all([one.verify(rotated), one.verify(rotated)])).every(({ claims }) => claims !== undefined)).toBe(true);
    expect([answer.asked, one.fetches]).toEqual([2, 2]);
  });

  test('are fetched again after ten minutes, so that a withdrawn key is forgotten', async () => {
    const one = issuer();
    expect((await one.verify(await token(key))).claims).toBeDefined();
    answer.keys = [next.jwk];
    clock.advance(599_999);
    expect((await one.verify(await token(key))).claims).toBeDefined();
    clock.advance(1);
    expect(await one.verify(await token(key))).toEqual({ fault: 'signature' });
    expect(answer.asked).toBe(2);
  });

  test('grow old though the wall clock is set back', async () => {
    const one = issuer();
    const [old, rotated] = await Promise.all([token(key), token(next)]);
    expect((await one.verify(old)).claims).toBeDefined();
    answer.keys = [next.jwk];
    clock.setBack(3_600_000);
    clock.advance(30_000);
    expect((await one.verify(rotated)).claims).toBeDefined();
  });

  test.each<[string, Partial<typeof answer>]>([
    ['an error', { status: 500 }],
    ['a redirect', { status: 302 }],
    ['not JSON', { text: '<html>' }],
    ['not a key set', { text: '{"keys":1}' }],
    ['null', { text: 'null' }],
    ['none at all', { text: '{"keys":[]}' }],
    ['nothing before the deadline', { silent: true }],
  ])('that are %s say nothing of a token, and are left alone for 5 s', async (_fault, broken) => {
    const one = issuer({ timeoutMs: 200 });
    Object.assign(answer, broken);
    await expect(one.verify(await token(key))).rejects.toMatchObject({ ...away, retryAfter: 5 });
    Object.assign(answer, { status: 200, text: undefined, silent: false });
    clock.advance(4_000);
    await expect(one.verify(await token(key))).rejects.toMatchObject({ ...away, retryAfter: 2 });
    clock.advance(1_000);
    expect((await one.verify(await token(key))).claims).toBeDefined();
    expect(answer.asked).toBe(2);
  });

  test('of which one is no key are fetched again when the pause is over, and told as that', async () => {
    const remote = issuer();
    const jwt = await token(key);
    const { n: _n, ...broken } = key.jwk as Record<string, unknown>;
    answer.keys = [broken];
    await expect(remote.verify(jwt)).rejects.toMatchObject({ ...away, detail: `the keys of ${url} hold one that cannot be used` });
    answer.keys = [key.jwk];
    clock.advance(4_900);
    await expect(remote.verify(jwt)).rejects.toMatchObject(away);
    expect(answer.asked).toBe(1);
    clock.advance(200);
    expect((await remote.verify(jwt)).claims).toBeDefined();
    expect(answer.asked).toBe(2);
  });

  test('that fail to come are not left alone where no pause is wanted', async () => {
    const one = issuer({ pauseMs: 0 });
    answer.status = 503;
    await expect(one.verify(await token(key))).rejects.toMatchObject({ ...away, retryAfter: 2 });
    answer.status = 200;
    expect((await one.verify(await token(key))).claims).toBeDefined();
  });

  test('that cannot be fetched again are good for an hour, and no longer', async () => {
    const one = issuer();
    expect((await one.verify(await token(key))).claims).toBeDefined();
    answer.status = 503;
    clock.advance(3_599_999);
    expect((await one.verify(await token(key))).claims).toBeDefined();
    // Of a new key they say nothing.
    await expect(one.verify(await token(next))).rejects.toMatchObject(away);
    clock.advance(5_000);
    await expect(one.verify(await token(key))).rejects.toMatchObject(away);
    await expect(one.ready()).rejects.toMatchObject(away);
    Object.assign(answer, { status: 200, keys: [next.jwk] });
    clock.advance(5_000);
    expect((await one.verify(await token(next))).claims).toBeDefined();
  });

  test('that failed to come are waited for by nobody but who finds out', async () => {
    const one = issuer({ timeoutMs: 300 });
    answer.silent = true;
    await expect(one.ready()).rejects.toMatchObject(away);
    clock.advance(5_000);
    const finding = one.ready().catch(() => 'late');
    const begun = performance.now();
    await expect(one.ready()).rejects.toMatchObject(away);
    expect(performance.now() - begun).toBeLessThan(300);
    expect(await finding).toBe('late');
    expect(answer.asked).toBe(2);
  });

  test('that failed to come long ago are waited for by all', async () => {
    const one = issuer();
    answer.status = 503;
    await expect(one.ready()).rejects.toMatchObject(away);
    answer.status = 200;
    clock.advance(10_000);
    await Promise.all(Array.from({ length: 5 }, () => one.ready()));
    expect(answer.asked).toBe(2);
  });

  test('known already serve on while a made-up kid finds the issuer away', async () => {
    const one = issuer();
    expect((await one.verify(await token(key))).claims).toBeDefined();
    answer.status = 503;
    clock.advance(30_000);
    await expect(one.verify(await token(next))).rejects.toMatchObject(away);
    expect((await one.verify(await token(key))).claims).toBeDefined();
  });
});

describe('a key', () => {
  /** What is asked makes the keys be fetched, behind who asks. */
  const look = async (of: RemoteIssuer, kid: string): Promise<boolean> => {
    const { fetches } = of;
    of.hasWithdrawn(kid);
    if (of.fetches > fetches) await sleep(30);
    return of.hasWithdrawn(kid);
  };

  /** A look that nobody has asked for. */
  const looking = (): { issuer: RemoteIssuer; later: () => Promise<void>; pending: () => number } => {
    const waiting: (() => void)[] = [];
    const after = (ms: number, work: () => void) => {
      if (ms === 60_000) waiting.push(work);
      return () => {};
    };
    const of = issuer({ after });
    const later = async (): Promise<void> => {
      clock.advance(60_000);
      const { asked } = answer;
      for (const work of waiting.splice(0)) work();
      await sleep(30);
      expect(answer.asked).toBe(asked + 1);
    };
    return { issuer: of, later, pending: () => waiting.length };
  };

  test('that the set had and lacks for a minute, at two looks, is out of use; back in it, in use', async () => {
    const { issuer: auth0, later } = looking();
    expect(await look(auth0, key.kid)).toBe(false);
    answer.keys = [next.jwk];
    clock.advance(299_000);
    expect([await look(auth0, key.kid), answer.asked]).toEqual([false, 1]);
    clock.advance(2_000);
    expect([await look(auth0, key.kid), answer.asked]).toEqual([false, 2]);
    await later();
    expect([await look(auth0, key.kid), answer.asked]).toEqual([true, 3]);
    expect([auth0.hasWithdrawn(next.kid), auth0.hasWithdrawn('never-there')]).toEqual([false, false]);
    answer.keys = [key.jwk, next.jwk];
    clock.advance(301_000);
    expect(await look(auth0, key.kid)).toBe(false);
  });

  test('is in use where an older set is shown by turns, and where none can be had', async () => {
    const auth0 = issuer();
    await look(auth0, key.kid);
    for (let turn = 0; turn < 6; turn++) {
      answer.keys = turn % 2 === 0 ? [next.jwk] : [key.jwk];
      clock.advance(301_000);
      expect(await look(auth0, key.kid)).toBe(false);
    }
    // Twice in a row within a minute, an older set at one of the caches.
    answer.keys = [next.jwk];
    clock.advance(301_000);
    await look(auth0, key.kid);
    clock.advance(31_000);
    await auth0.verify(await token(key)).catch(() => {});
    expect(auth0.hasWithdrawn(key.kid)).toBe(false);
    answer.keys = [key.jwk];
    clock.advance(61_000);
    expect(await look(auth0, key.kid)).toBe(false);
    for (const change of [{ status: 503 }, { keys: [] }, { text: '<html>' }]) {
      Object.assign(answer, { status: 200, keys: [next.jwk], text: undefined }, change);
      for (let minute = 0; minute < 10; minute++) {
        clock.advance(60_000);
        expect(await look(auth0, key.kid)).toBe(false);
      }
    }
  });

  test('that is missing is looked for again though nobody asks, also where that fails, and not any more when it is sure', async () => {
    const { issuer: auth0, later, pending } = looking();
    await auth0.ready();
    expect(pending()).toBe(0);
    answer.keys = [next.jwk];
    clock.advance(3_600_000);
    await look(auth0, key.kid);
    expect(pending()).toBe(1);
    answer.status = 503;
    await later();
    answer.status = 200;
    expect(pending()).toBe(1);
    await later();
    const { asked } = answer;
    expect([auth0.hasWithdrawn(key.kid), pending(), answer.asked]).toEqual([true, 0, asked]);
  });

  test('that is new is in use though a cache shows an older set, however often and long', async () => {
    const { issuer: auth0, later } = looking();
    answer.keys = [key.jwk, next.jwk];
    await auth0.ready();
    for (let age = 360; age < 960; age += 60) {
      Object.assign(answer, { keys: [key.jwk], age });
      clock.advance(age === 360 ? 301_000 : 60_000);
      await auth0.look();
      expect([auth0.hasWithdrawn(next.kid), auth0.lacks(next.kid)]).toEqual([false, true]);
    }
    // As of later than it was seen, twice.
    Object.assign(answer, { age: 0 });
    clock.advance(60_000);
    await auth0.look();
    await later();
    expect(auth0.hasWithdrawn(next.kid)).toBe(true);
  });

  test('that is out of use stays that though a cache shows a set of before', async () => {
    const auth0 = issuer();
    await auth0.ready();
    answer.keys = [next.jwk];
    for (let minute = 0; minute < 2; minute++) {
      clock.advance(60_000);
      await auth0.look();
    }
    expect(auth0.hasWithdrawn(key.kid)).toBe(true);
    Object.assign(answer, { keys: [key.jwk], age: 180 });
    clock.advance(60_000);
    await auth0.look();
    expect(auth0.hasWithdrawn(key.kid)).toBe(true);
    Object.assign(answer, { age: 1 });
    clock.advance(60_000);
    await auth0.look();
    expect(auth0.hasWithdrawn(key.kid)).toBe(false);
  });
});
