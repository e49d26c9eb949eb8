import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { inspect } from 'node:util';
import { SignJWT } from 'jose';
import type { JWTPayload } from 'jose';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { ClientAssertion } from '#broker/credential/assertion.ts';
import { Assertions } from '#broker/credential/assertions.ts';
import type { AssertionLogin, ClientKeys, Registration, UsedAssertions } from '#broker/credential/assertions.ts';
import { Throttle } from '#broker/credential/throttle.ts';
import { Turnstile } from '#broker/credential/turnstile.ts';
import { PosternError } from '#broker/error.ts';
import { Clock } from './clock.ts';
import { identityOf } from './identity.ts';

const ISSUER = 'https://tokens.example.com/';
const ADDRESS = '192.0.2.1';
const CLIENT = 'acme-id';
const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const own = pair();
const next = pair();
const stranger = pair();

let clock: Clock;
beforeEach(() => {
  clock = new Clock();
});

function stage(options: { client?: number; atOnce?: number } = {}) {
  const registered = new Map<string, Registration>([
    [CLIENT, { clientId: CLIENT, tenant: 'acme', keys: [{ kid: undefined, key: own.publicKey }] }],
  ]);
  const registrationOf = vi.fn<ClientKeys['registrationOf']>(async (clientId) => registered.get(clientId));
  const login = vi.fn<AssertionLogin['login']>(async ({ tenant, clientId }) => identityOf({ tenant, clientId }));
  const used = new Set<string>();
  const claim = vi.fn<UsedAssertions['claim']>(async (key) => !used.has(key) && Boolean(used.add(key)));
  const throttle = new Throttle({ perClient: options.client ?? 10, perAddress: 100, now: clock.monotonic });
  const replica = () =>
    new Assertions({
      keys: { registrationOf },
      login: { login },
      used: { claim },
      throttle,
      turnstile: new Turnstile({ atOnce: options.atOnce }),
      audiences: [ISSUER, `${ISSUER}oauth/token`],
      now: clock.now,
      monotonic: clock.monotonic,
    });
  return { registered, registrationOf, login, claim, replica, assertions: replica() };
}

async function assertionBy(key: typeof own.privateKey, claims: JWTPayload = {}, clientId = CLIENT, header = {}): Promise<ClientAssertion> {
  const now = clock.ms / 1000;
  const jwt = await new SignJWT({ iss: clientId, sub: clientId, aud: ISSUER, iat: now, exp: now + 60, jti: randomUUID(), ...claims })
    .setProtectedHeader({ alg: 'ES256', ...header })
    .sign(key);
  return ClientAssertion.of(jwt) ?? expect.unreachable();
}

const good = (claims?: JWTPayload): Promise<ClientAssertion> => assertionBy(own.privateKey, claims);
const codeOf = (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => 'taken',
    (error: unknown) => (error instanceof PosternError ? error.code : String(error)),
  );

describe('a good one', () => {
  test('goes to Vault once, is written down until it ends and is the tenant', async () => {
    const { assertions, login, claim } = stage();
    const assertion = await good();
    expect(await assertions.verify(assertion, ADDRESS)).toMatchObject({ tenant: 'acme', clientId: CLIENT });
    expect(login).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ tenant: 'acme' }), assertion, ADDRESS);
    // With the tolerance for clocks, within which it would still be taken.
    expect(claim).toHaveBeenCalledExactlyOnceWith(expect.stringMatching(/^[0-9a-f]{64}$/), clock.ms / 1000 + 90);
  });

  test.each([
    'JWT',
    'jwt',
    'client-authentication+jwt',
    'application/client-authentication+jwt',
    'APPLICATION/JWT',
    'Client-Authentication+JWT',
  ])('typ %s is one (RFC 7515 §4.1.9)', async (typ) => {
    const { assertions } = stage();
    expect(await assertions.verify(await assertionBy(own.privateKey, {}, CLIENT, { typ }), ADDRESS)).toMatchObject({ tenant: 'acme' });
  });

  test.each(['at+jwt', 'application/at+jwt', 'text/jwt', 'application/application/jwt', 'dpop+jwt', '', ' jwt'])(
    "typ %j is another's",
    async (typ) => {
      const { assertions } = stage();
      expect(await codeOf(assertions.verify(await assertionBy(own.privateKey, {}, CLIENT, { typ }), ADDRESS))).toBe('invalid_client');
    },
  );

  test('a hundred of them read the keys once', async () => {
    const { assertions, registrationOf } = stage();
    for (let i = 0; i < 100; i++) await assertions.verify(await good(), ADDRESS);
    expect(registrationOf).toHaveBeenCalledTimes(1);
    clock.advance(30_000);
    await assertions.verify(await good(), ADDRESS);
    expect(registrationOf).toHaveBeenCalledTimes(2);
  });

  test('by a key that is new: taken at once when the keys were read a while ago, else within seconds', async () => {
    const { assertions, registered, registrationOf } = stage();
    await assertions.verify(await good(), ADDRESS);
    registered.set(CLIENT, { clientId: CLIENT, tenant: 'acme', keys: [{ kid: undefined, key: next.publicKey }] });
    expect(await codeOf(assertions.verify(await assertionBy(next.privateKey), ADDRESS))).toBe('invalid_client');
    clock.advance(5000);
    expect(await codeOf(assertions.verify(await assertionBy(next.privateKey), ADDRESS))).toBe('taken');
    expect(await codeOf(assertions.verify(await good(), ADDRESS))).toBe('invalid_client');
    expect(registrationOf).toHaveBeenCalledTimes(2);
  });

  test('prints as nothing', async () => {
    const assertion = await good();
    expect(inspect(assertion, { showHidden: true }) + JSON.stringify(assertion) + String(assertion)).not.toContain(
      assertion.reveal().slice(-20),
    );
  });
});

describe('used before', () => {
  test('is refused at this replica without a word to Vault, and at another by what they share', async () => {
    const { assertions, replica, login } = stage();
    const assertion = await good();
    await assertions.verify(assertion, ADDRESS);
    expect(await codeOf(assertions.verify(assertion, ADDRESS))).toBe('invalid_client');
    expect(login).toHaveBeenCalledTimes(1);
    expect(await codeOf(replica().verify(assertion, ADDRESS))).toBe('invalid_client');
  });

  test('a thousand at once: one is taken', async () => {
    const { assertions, replica } = stage();
    const other = replica();
    const assertion = await good();
    const codes = await Promise.all(
      Array.from({ length: 1000 }, (_, i) => codeOf((i % 2 ? assertions : other).verify(assertion, ADDRESS))),
    );
    expect(codes.filter((code) => code === 'taken')).toHaveLength(1);
    expect(new Set(codes)).toEqual(new Set(['taken', 'invalid_client']));
  });

  test('Vault away is no use: it is good when Vault is back', async () => {
    const { assertions, login, claim } = stage();
    const assertion = await good();
    for (const port of [login, claim] as const) {
      port.mockRejectedValueOnce(new PosternError('temporarily_unavailable', 'away'));
      expect(await codeOf(assertions.verify(assertion, ADDRESS))).toBe('temporarily_unavailable');
    }
    expect(await codeOf(assertions.verify(assertion, ADDRESS))).toBe('taken');
  });

  test("one client's jti is not another's, and no two run into each other", async () => {
    const { assertions, registered, claim } = stage();
    registered.set(`${CLIENT}a`, { clientId: `${CLIENT}a`, tenant: 'globex', keys: [{ kid: undefined, key: next.publicKey }] });
    expect(await codeOf(assertions.verify(await good({ jti: 'ab' }), ADDRESS))).toBe('taken');
    expect(await codeOf(assertions.verify(await assertionBy(next.privateKey, { jti: 'b' }, `${CLIENT}a`), ADDRESS))).toBe('taken');
    expect(await codeOf(assertions.verify(await assertionBy(next.privateKey, { jti: 'ab' }, `${CLIENT}a`), ADDRESS))).toBe('taken');
    expect(new Set(claim.mock.calls.map(([key]) => key)).size).toBe(3);
  });

  test('a key that was removed while it was read is not remembered', async () => {
    const { assertions, registered, registrationOf } = stage();
    const reading = Promise.withResolvers<Registration | undefined>();
    registrationOf.mockReturnValueOnce(reading.promise);
    const verifying = codeOf(assertions.verify(await good(), ADDRESS));
    await vi.waitFor(() => expect(registrationOf).toHaveBeenCalledTimes(1));
    const before = registered.get(CLIENT);
    registered.delete(CLIENT);
    assertions.forgetAll();
    reading.resolve(before);
    await verifying;
    expect(await codeOf(assertions.verify(await good(), ADDRESS))).toBe('invalid_client');
  });
});

describe('times, to the second', () => {
  test.each<[string, (now: number) => JWTPayload, string]>([
    ['ends in 330 s', (now) => ({ exp: now + 330 }), 'taken'],
    ['ends in 331 s', (now) => ({ exp: now + 331 }), 'invalid_client'],
    ['ended 29 s ago', (now) => ({ exp: now - 29 }), 'taken'],
    ['ended 30 s ago', (now) => ({ exp: now - 30 }), 'invalid_client'],
    ['begins in 30 s', (now) => ({ nbf: now + 30 }), 'taken'],
    ['begins in 31 s', (now) => ({ nbf: now + 31 }), 'invalid_client'],
    ['issued in 30 s', (now) => ({ iat: now + 30 }), 'taken'],
    ['issued in 31 s', (now) => ({ iat: now + 31 }), 'invalid_client'],
  ])('%s', async (_when, claims, outcome) => {
    const { assertions } = stage();
    expect(await codeOf(assertions.verify(await good(claims(clock.ms / 1000)), ADDRESS))).toBe(outcome);
  });
});

describe('guesses', () => {
  test('an unknown client is looked for once in a while, and what is remembered of unknown ones is bounded', async () => {
    const { assertions, registrationOf, login, claim } = stage({ client: 1000 });
    for (let i = 0; i < 20; i++)
      expect(await codeOf(assertions.verify(await assertionBy(stranger.privateKey, {}, 'nobody'), ADDRESS))).toBe('invalid_client');
    expect(registrationOf).toHaveBeenCalledTimes(1);
    expect([login.mock.calls.length, claim.mock.calls.length]).toEqual([0, 0]);
  });

  test('a client that is registered a moment later is known when the memory of its absence ends', async () => {
    const { assertions, registered } = stage();
    expect(await codeOf(assertions.verify(await assertionBy(next.privateKey, {}, 'late'), ADDRESS))).toBe('invalid_client');
    registered.set('late', { clientId: 'late', tenant: 'late', keys: [{ kid: undefined, key: next.publicKey }] });
    clock.advance(5_000);
    expect(await codeOf(assertions.verify(await assertionBy(next.privateKey, {}, 'late'), ADDRESS))).toBe('taken');
  });

  test.each([CLIENT, 'nobody'])(
    'of %s: refused ten times, then held back, the same for a known client as for an unknown',
    async (clientId) => {
      const { assertions } = stage();
      await assertions.verify(await good(), ADDRESS);
      const codes = [];
      for (let i = 0; i < 12; i++)
        codes.push(await codeOf(assertions.verify(await assertionBy(stranger.privateKey, {}, clientId), ADDRESS)));
      expect(codes).toEqual([...Array.from({ length: 10 }, () => 'invalid_client'), 'too_many_requests', 'too_many_requests']);
      // And the customer behind the same address goes on.
      expect(await codeOf(assertions.verify(await good(), ADDRESS))).toBe('taken');
    },
  );

  test.each([CLIENT, 'nobody'])(
    'of %s from an address that has shown no good one: held back before a signature is looked at',
    async (clientId) => {
      const { assertions } = stage();
      const forged = await assertionBy(stranger.privateKey, {}, clientId);
      const verify = vi.spyOn(crypto.subtle, 'verify');
      for (let i = 0; i < 50; i++) await codeOf(assertions.verify(forged, '198.51.100.1'));
      const cost = verify.mock.calls.length;
      for (let i = 0; i < 50; i++) expect(await codeOf(assertions.verify(forged, '198.51.100.1'))).toBe('too_many_requests');
      expect(verify.mock.calls.length).toBe(cost);
      verify.mockRestore();
      // Nobody elsewhere is held back.
      expect(await codeOf(assertions.verify(await good(), ADDRESS))).toBe('taken');
    },
  );

  test('a thousand at once in the name of a client from its own address: few signatures are looked at, and it goes on', async () => {
    const { assertions } = stage();
    await assertions.verify(await good(), ADDRESS);
    const forged = await assertionBy(stranger.privateKey);
    const verify = vi.spyOn(crypto.subtle, 'verify');
    for (let i = 0; i < 20; i++) await codeOf(assertions.verify(forged, ADDRESS));
    await Promise.all(Array.from({ length: 1000 }, () => codeOf(assertions.verify(forged, ADDRESS))));
    expect(verify.mock.calls.length).toBeLessThan(300);
    verify.mockRestore();
    expect(await codeOf(assertions.verify(await good(), ADDRESS))).toBe('taken');
  });

  test(
    'spaced so that they are never held back, a known client is looked for as often as an unknown one: no ' +
      'question of Vault tells them apart',
    async () => {
      const looks = async (clientId: string): Promise<number[]> => {
        const { assertions, registrationOf } = stage();
        const seen = [];
        for (let i = 0; i < 20; i++) {
          expect(await codeOf(assertions.verify(await assertionBy(stranger.privateKey, {}, clientId), ADDRESS))).toBe('invalid_client');
          seen.push(registrationOf.mock.calls.length);
          clock.advance(i % 3 === 0 ? 3_000 : 6_000);
        }
        return seen;
      };
      expect(await looks(CLIENT)).toEqual(await looks('nobody'));
    },
  );

  test('the reason is for the operator alone, and says nothing of the assertion', async () => {
    const { assertions } = stage();
    const error: unknown = await assertions.verify(await good({ aud: 'https://canary.example.com/' }), ADDRESS).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'invalid_client', message: 'Unauthorized', detail: 'client_assertion: aud check_failed' });
    expect(inspect(error)).not.toContain('canary');
  });
});

test('good ones pass a turnstile: one client’s don’t take every way to Vault', async () => {
  const { assertions, login } = stage({ atOnce: 3 });
  await assertions.verify(await good(), ADDRESS);
  const atVault = { now: 0, most: 0 };
  login.mockImplementation(async ({ tenant, clientId }) => {
    atVault.most = Math.max(atVault.most, ++atVault.now);
    await new Promise((resolve) => setImmediate(resolve));
    atVault.now--;
    return identityOf({ tenant, clientId });
  });
  const all = await Promise.all(Array.from({ length: 30 }, () => good()));
  await Promise.all(all.map((one) => assertions.verify(one, ADDRESS)));
  expect(atVault.most).toBe(3);
});
