import { describe, expect, test, vi } from 'vitest';
import type { AppRoleCredential } from '#broker/credential/approle.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { VerifiedCredentials, wrongCredential } from '#broker/credential/verified-credentials.ts';
import type { LoginOptions } from '#broker/credential/verified-credentials.ts';
import { Throttle } from '#broker/credential/throttle.ts';
import { PosternError } from '#broker/error.ts';
import { Clock, deferred } from './clock.ts';
import { credentialOf } from './credential.ts';
import { identityOf } from './identity.ts';

const ADDRESS = '192.0.2.1';
const GOOD = credentialOf('acme-role-id', 'right-secret');

/** A Vault that knows the secret `right-secret` of every client, and counts. */
function stage(
  options: Partial<LoginOptions> & {
    expiresAt?: number;
    answer?: (credential: AppRoleCredential, address: string) => Promise<Identity>;
  } = {},
) {
  const clock = new Clock();
  const login = vi.fn(
    options.answer ??
      (async (credential: AppRoleCredential) => {
        if (credential.reveal() !== 'right-secret') throw wrongCredential();
        return identityOf({
          clientId: credential.clientId,
          tenant: credential.clientId.split('-')[0] ?? '',
          ...(options.expiresAt === undefined ? {} : { expiresAt: options.expiresAt }),
        });
      }),
  );
  const verified = new VerifiedCredentials({
    throttle: new Throttle({ now: clock.monotonic }),
    now: clock.now,
    monotonic: clock.monotonic,
    ...options,
    login: { login },
  });
  return { clock, login, verified };
}

const codeOf = async (run: () => Identity | Promise<Identity>) => {
  try {
    return (await run()).tenant;
  } catch (error) {
    return error instanceof PosternError ? error.code : String(error);
  }
};

describe('a refused credential', () => {
  test('is known for whose it was, from any address, after all was forgotten; a wrong one never is', async () => {
    let right = true;
    const answer = (credential: AppRoleCredential): Promise<Identity> =>
      right
        ? Promise.resolve(identityOf({ clientId: credential.clientId, tenant: 'acme', keyId: 'key_1' }))
        : Promise.reject(wrongCredential());
    const { verified } = stage({ byAddress: true, answer });
    expect(verified.knownBefore(GOOD)).toBeUndefined();
    await verified.verify(GOOD, ADDRESS);
    right = false;
    verified.forgetAll();
    expect(await codeOf(() => verified.verify(GOOD, '192.0.2.9'))).toBe('invalid_client');
    expect(verified.knownBefore(GOOD)).toEqual({ tenant: 'acme', keyId: 'key_1' });
    const wrong = credentialOf('acme-role-id', 'wrong-secret');
    expect(await codeOf(() => verified.verify(wrong, ADDRESS))).toBe('invalid_client');
    expect(verified.knownBefore(wrong)).toBeUndefined();
  });

  test('is remembered within bounds', async () => {
    const { verified } = stage({ max: 2 });
    const credentials = ['a', 'b', 'c'].map((name) => credentialOf(`${name}-role-id`, 'right-secret'));
    for (const one of credentials) await verified.verify(one, ADDRESS);
    expect(credentials.map((one) => verified.knownBefore(one)?.tenant)).toEqual([undefined, 'b', 'c']);
  });
});

describe('a verification is remembered', () => {
  test('a hit asks nobody and answers at once', async () => {
    const { login, verified } = stage();
    const first = await verified.verify(GOOD, ADDRESS);
    const second = verified.verify(GOOD, ADDRESS);
    expect(second).not.toBeInstanceOf(Promise);
    expect(second).toBe(first);
    expect(login).toHaveBeenCalledTimes(1);
  });

  test('for 30 s and not a moment more', async () => {
    const { clock, login, verified } = stage();
    await verified.verify(GOOD, ADDRESS);
    clock.advance(29_999);
    await verified.verify(GOOD, ADDRESS);
    expect(login).toHaveBeenCalledTimes(1);
    clock.advance(1);
    await verified.verify(GOOD, ADDRESS);
    expect(login).toHaveBeenCalledTimes(2);
  });

  test('hits do not prolong it', async () => {
    const { clock, login, verified } = stage();
    await verified.verify(GOOD, ADDRESS);
    for (let i = 0; i < 40; i++) {
      clock.advance(1000);
      await verified.verify(GOOD, ADDRESS);
    }
    expect(login).toHaveBeenCalledTimes(2);
  });

  test('never beyond the end of the token or of the secret_id', async () => {
    const { clock, login, verified } = stage({ expiresAt: new Clock().ms + 4_000 });
    await verified.verify(GOOD, ADDRESS);
    clock.advance(3_999);
    await verified.verify(GOOD, ADDRESS);
    expect(login).toHaveBeenCalledTimes(1);
    clock.advance(1);
    await verified.verify(GOOD, ADDRESS);
    expect(login).toHaveBeenCalledTimes(2);
  });

  test('counted from when Vault was asked, not from when it answered', async () => {
    const { clock, login, verified } = stage({
      answer: async () => {
        // Vault decides at once; the answer is two seconds on its way.
        clock.advance(2_000);
        return identityOf();
      },
    });
    await verified.verify(GOOD, ADDRESS);
    clock.advance(28_000);
    await verified.verify(GOOD, ADDRESS);
    expect(login).toHaveBeenCalledTimes(2);
  });

  test('a clock set back does not prolong it', async () => {
    const { clock, login, verified } = stage();
    await verified.verify(GOOD, ADDRESS);
    clock.setBack(3_600_000);
    clock.advance(29_999);
    await verified.verify(GOOD, ADDRESS);
    expect(login).toHaveBeenCalledTimes(1);
    clock.advance(1);
    await verified.verify(GOOD, ADDRESS);
    expect(login).toHaveBeenCalledTimes(2);
  });

  test('a clock set back does not prolong a refusal', async () => {
    const { clock, login, verified } = stage();
    const wrong = credentialOf('acme-role-id', 'wrong-secret');
    expect(await codeOf(() => verified.verify(wrong, ADDRESS))).toBe('invalid_client');
    clock.setBack(3_600_000);
    clock.advance(10_000);
    expect(await codeOf(() => verified.verify(wrong, ADDRESS))).toBe('invalid_client');
    expect(login).toHaveBeenCalledTimes(2);
  });

  test('with a memory of 0 s nothing is', async () => {
    const { login, verified } = stage({ rememberMs: 0 });
    await verified.verify(GOOD, ADDRESS);
    await verified.verify(GOOD, ADDRESS);
    expect(login).toHaveBeenCalledTimes(2);
  });

  test('only for that very secret', async () => {
    const { login, verified } = stage();
    await verified.verify(GOOD, ADDRESS);
    expect(await codeOf(() => verified.verify(credentialOf('acme-role-id', 'right-secres'), ADDRESS))).toBe('invalid_client');
    expect(await codeOf(() => verified.verify(credentialOf('acme-role-ie', 'right-secret'), ADDRESS))).toBe('acme');
    expect(login).toHaveBeenCalledTimes(3);
  });

  test('for every address, unless Vault judges by address', async () => {
    const shared = stage();
    await shared.verified.verify(GOOD, ADDRESS);
    await shared.verified.verify(GOOD, '192.0.2.2');
    expect(shared.login).toHaveBeenCalledTimes(1);
    const apart = stage({ byAddress: true });
    await apart.verified.verify(GOOD, ADDRESS);
    await apart.verified.verify(GOOD, '192.0.2.2');
    expect(apart.login).toHaveBeenCalledTimes(2);
    expect(apart.login).toHaveBeenLastCalledWith(GOOD, '192.0.2.2');
  });

  test('for no more credentials than may be: the oldest is asked for again', async () => {
    const { login, verified } = stage({ max: 10 });
    for (let i = 0; i < 11; i++) await verified.verify(credentialOf(`t${i}-id`, 'right-secret'), `198.51.100.${i}`);
    expect(login).toHaveBeenCalledTimes(11);
    await verified.verify(credentialOf('t10-id', 'right-secret'), ADDRESS);
    expect(login).toHaveBeenCalledTimes(11);
    await verified.verify(credentialOf('t0-id', 'right-secret'), ADDRESS);
    expect(login).toHaveBeenCalledTimes(12);
  });
});

describe('one flight', () => {
  test('a thousand first requests with one credential are one login', async () => {
    const { login, verified } = stage();
    const all = await Promise.all(Array.from({ length: 1000 }, async () => verified.verify(GOOD, ADDRESS)));
    expect(login).toHaveBeenCalledTimes(1);
    expect(new Set(all).size).toBe(1);
  });

  test('two credentials never share one', async () => {
    const { verified } = stage();
    const [a, b] = await Promise.all([
      verified.verify(credentialOf('acme-id', 'right-secret'), ADDRESS),
      verified.verify(credentialOf('globex-id', 'right-secret'), ADDRESS),
    ]);
    expect([a.tenant, b.tenant]).toEqual(['acme', 'globex']);
  });

  test('a failed one is not kept: the next asks again', async () => {
    let away = true;
    const { login, verified } = stage({
      answer: async () => (away ? Promise.reject(new PosternError('temporarily_unavailable', 'away')) : identityOf()),
    });
    expect(await codeOf(() => verified.verify(GOOD, ADDRESS))).toBe('temporarily_unavailable');
    away = false;
    expect(await codeOf(() => verified.verify(GOOD, ADDRESS))).toBe('acme');
    expect(login).toHaveBeenCalledTimes(2);
  });
});

describe('forgetting', () => {
  test("one tenant: its next request asks Vault, others' do not", async () => {
    const { login, verified } = stage();
    const acme = credentialOf('acme-id', 'right-secret');
    const acmes = credentialOf('acme-id2', 'right-secret');
    const globex = credentialOf('globex-id', 'right-secret');
    for (const c of [acme, acmes, globex]) await verified.verify(c, ADDRESS);
    verified.forget('acme');
    await verified.verify(globex, ADDRESS);
    expect(login).toHaveBeenCalledTimes(3);
    await verified.verify(acme, ADDRESS);
    await verified.verify(acmes, ADDRESS);
    expect(login).toHaveBeenCalledTimes(5);
  });

  test('all', async () => {
    const { login, verified } = stage();
    await verified.verify(GOOD, ADDRESS);
    verified.forgetAll();
    await verified.verify(GOOD, ADDRESS);
    expect(login).toHaveBeenCalledTimes(2);
  });

  test.each(['forget', 'forgetAll'] as const)(
    '%s during a login in flight: its answer is not remembered, and nobody new joins it',
    async (how) => {
      const gates = [deferred<Identity>(), deferred<Identity>()];
      let asked = 0;
      const { login, verified } = stage({ answer: () => gates[asked++]?.promise ?? Promise.reject(wrongCredential()) });
      const before = verified.verify(GOOD, ADDRESS);
      await Promise.resolve();
      verified[how]('acme');
      const after = codeOf(() => verified.verify(GOOD, ADDRESS));
      // The secret_id was revoked between the two.
      gates[0]?.resolve(identityOf());
      gates[1]?.reject(wrongCredential());
      await before;
      expect(await after).toBe('invalid_client');
      expect(login).toHaveBeenCalledTimes(2);
      expect(await codeOf(() => verified.verify(GOOD, ADDRESS))).toBe('invalid_client');
    },
  );

  test('what is said of another tenant during a login in flight is nothing to its answer: it is remembered', async () => {
    const gate = deferred<Identity>();
    const { login, verified } = stage({ answer: () => gate.promise });
    const asked = verified.verify(GOOD, ADDRESS);
    verified.forget('globex');
    gate.resolve(identityOf());
    const known = await asked;
    expect(verified.verify(GOOD, ADDRESS)).toBe(known);
    expect(login).toHaveBeenCalledTimes(1);
  });

  test('an answer that comes after the refusal of a later question is not remembered', async () => {
    const gate = deferred<Identity>();
    let asked = 0;
    const { clock, verified } = stage({ answer: () => (asked++ === 0 ? gate.promise : Promise.reject(wrongCredential())) });
    const before = verified.verify(GOOD, ADDRESS);
    await new Promise((begun) => setImmediate(begun));
    verified.forget('globex');
    clock.advance(10);
    expect(await codeOf(() => verified.verify(GOOD, ADDRESS))).toBe('invalid_client');
    gate.resolve(identityOf());
    await before;
    expect([await codeOf(() => verified.verify(GOOD, ADDRESS)), verified.size]).toEqual(['invalid_client', 0]);
  });

  test('an answer from before does not replace the memory of one from after', async () => {
    const gates = [deferred<Identity>(), deferred<Identity>()];
    let asked = 0;
    const { verified } = stage({ answer: () => gates[asked++]?.promise ?? Promise.reject(new Error('asked too often')) });
    const old = verified.verify(GOOD, ADDRESS);
    verified.forgetAll();
    const young = verified.verify(GOOD, ADDRESS);
    const fresh = identityOf();
    gates[1]?.resolve(fresh);
    await young;
    gates[0]?.resolve(identityOf());
    await old;
    expect(verified.verify(GOOD, ADDRESS)).toBe(fresh);
  });
});

describe('a wrong credential', () => {
  const BAD = credentialOf('acme-role-id', 'wrong-secret');

  test('is not asked about again for 10 s, then once', async () => {
    const { clock, login, verified } = stage();
    for (let i = 0; i < 100; i++) expect(await codeOf(() => verified.verify(BAD, ADDRESS))).toBe('invalid_client');
    expect(login).toHaveBeenCalledTimes(1);
    clock.advance(10_000);
    expect(await codeOf(() => verified.verify(BAD, ADDRESS))).toBe('invalid_client');
    expect(login).toHaveBeenCalledTimes(2);
  });

  test('that becomes right is served when that memory ends', async () => {
    let exists = false;
    const { clock, verified } = stage({ answer: async () => (exists ? identityOf() : Promise.reject(wrongCredential())) });
    expect(await codeOf(() => verified.verify(GOOD, ADDRESS))).toBe('invalid_client');
    exists = true;
    clock.advance(10_000);
    expect(await codeOf(() => verified.verify(GOOD, ADDRESS))).toBe('acme');
  });

  test('unknown client, wrong secret and either from memory: one and the same error', async () => {
    const { verified } = stage({ answer: () => Promise.reject(wrongCredential()) });
    const errors: unknown[] = [];
    for (const credential of [BAD, credentialOf('nobody', 'wrong-secret'), BAD, credentialOf('nobody', 'wrong-secret')]) {
      errors.push(await Promise.resolve(verified.verify(credential, ADDRESS)).catch((e: unknown) => e));
    }
    const told = errors.map((e) =>
      e instanceof PosternError ? { code: e.code, status: e.status, message: e.message, detail: e.detail, retryAfter: e.retryAfter } : e,
    );
    expect(new Set(told.map((t) => JSON.stringify(t))).size).toBe(1);
    expect(told[0]).toEqual({ code: 'invalid_client', status: 401, message: 'Unauthorized', detail: undefined, retryAfter: undefined });
  });

  test('an outage is never remembered as a refusal', async () => {
    let fault: PosternError | undefined = new PosternError('temporarily_unavailable', 'sealed');
    const { verified } = stage({ answer: async () => (fault ? Promise.reject(fault) : identityOf()) });
    expect(await codeOf(() => verified.verify(GOOD, ADDRESS))).toBe('temporarily_unavailable');
    fault = undefined;
    expect(await codeOf(() => verified.verify(GOOD, ADDRESS))).toBe('acme');
  });
});

describe('a flood of wrong secrets for one client from one address', () => {
  async function flood(verified: VerifiedCredentials, client: string, address: string, times = 500) {
    for (let i = 0; i < times; i++) await codeOf(() => verified.verify(credentialOf(client, `wrong-${i}`), address));
  }

  test("10,000: few reach Vault; the customer's right secret, seen before, is served 100 %, from that address too", async () => {
    const { clock, login, verified } = stage();
    await verified.verify(GOOD, ADDRESS);
    await flood(verified, GOOD.clientId, ADDRESS, 10_000);
    expect(login.mock.calls.length).toBeLessThanOrEqual(12);
    for (let i = 0; i < 20; i++) {
      // Each time the memory has ended and Vault is asked anew, past the throttle, between more guesses.
      clock.advance(30_000);
      for (let j = 0; j < 50; j++) await codeOf(() => verified.verify(credentialOf(GOOD.clientId, `more-${i}-${j}`), ADDRESS));
      expect(await codeOf(() => verified.verify(GOOD, ADDRESS))).toBe('acme');
    }
  });

  test('a right secret never seen before passes from any other address', async () => {
    const { verified } = stage();
    await flood(verified, GOOD.clientId, ADDRESS);
    expect(await codeOf(() => verified.verify(GOOD, '203.0.113.9'))).toBe('acme');
    expect(await codeOf(() => verified.verify(credentialOf('globex-id', 'right-secret'), '203.0.113.9'))).toBe('globex');
  });

  test('another client at that address passes', async () => {
    const { verified } = stage();
    await flood(verified, GOOD.clientId, ADDRESS);
    expect(await codeOf(() => verified.verify(credentialOf('globex-id', 'right-secret'), ADDRESS))).toBe('globex');
  });

  test('once right and now wrong: it loses its way past the throttle', async () => {
    let revoked = false;
    const { clock, login, verified } = stage({
      answer: async (c) => (c.reveal() === 'right-secret' && !revoked ? identityOf() : Promise.reject(wrongCredential())),
    });
    await verified.verify(GOOD, ADDRESS);
    revoked = true;
    clock.advance(30_000);
    expect(await codeOf(() => verified.verify(GOOD, ADDRESS))).toBe('invalid_client');
    const before = login.mock.calls.length;
    for (let i = 0; i < 30; i++) await codeOf(() => verified.verify(credentialOf(GOOD.clientId, `wrong-${i}`), ADDRESS));
    expect(login.mock.calls.length - before).toBe(10);
    clock.advance(10_000);
    // 10 s refill one guess; it goes to the first, and the revoked one is refused by the throttle.
    await codeOf(() => verified.verify(credentialOf(GOOD.clientId, 'wrong-x'), ADDRESS));
    expect(await codeOf(() => verified.verify(GOOD, ADDRESS))).toBe('too_many_requests');
  });
});

test('many good customers at once behind one address all pass', async () => {
  const { verified } = stage({
    answer: (c) => new Promise((resolve) => setImmediate(() => resolve(identityOf({ clientId: c.clientId, tenant: c.clientId })))),
  });
  const all = await Promise.all(
    Array.from({ length: 1000 }, (_, i) => codeOf(() => verified.verify(credentialOf(`t${i}`, 'right-secret'), ADDRESS))),
  );
  expect(all).toEqual(Array.from({ length: 1000 }, (_, i) => `t${i}`));
});

test('a refusal from before the credential was right does not outlive that', async () => {
  const before = deferred<Identity>();
  const after = deferred<Identity>();
  const answers = [before.promise, after.promise, Promise.resolve(identityOf())];
  const { verified, login } = stage({ answer: () => answers.shift()! });
  const first = codeOf(() => verified.verify(GOOD, ADDRESS));
  verified.forgetAll();
  const second = codeOf(() => verified.verify(GOOD, ADDRESS));
  before.reject(wrongCredential());
  expect(await first).toBe('invalid_client');
  after.resolve(identityOf());
  expect(await second).toBe('acme');
  verified.forgetAll();
  expect(await codeOf(() => verified.verify(GOOD, ADDRESS))).toBe('acme');
  expect(login).toHaveBeenCalledTimes(3);
});
