import { beforeAll, describe, expect, test } from 'vitest';
import { keyPair } from '#test/unit/auth0/fake-auth0.ts';
import type { KeyPair } from '#test/unit/auth0/fake-auth0.ts';
import { stage } from './stage.ts';
import type { Stage } from './stage.ts';

let key: KeyPair;
beforeAll(async () => {
  key = await keyPair('kid-1');
});

const DAY = 86_400_000;

/** Auth0's clock goes with the engine's from here on. */
function follow(s: Stage): void {
  s.auth0.forge = (payload) => {
    const iat = Math.floor((Date.now() + s.clock.offset) / 1000);
    return s.auth0.sign({ ...payload, iat, exp: iat + 86_400, jti: String(s.auth0.exchanges.length) });
  };
}

describe('ahead of its end', () => {
  test('a token that was asked for lately is fetched anew without a request; the one after that is not', async () => {
    await using s = await stage(key);
    await s.setUp();
    follow(s);
    const first = await s.read('creds/acme');
    await s.engine.upkeep();
    expect(s.auth0.exchanges).toHaveLength(1);
    s.clock.offset = 0.9 * DAY;
    await s.engine.upkeep();
    await expect.poll(() => s.auth0.exchanges.length).toBe(2);
    await expect.poll(() => s.storage.json('cache/acme/orders/whole')['access_token']).not.toBe(first['access_token']);
    expect(s.storage.json('cache/acme/orders/whole')['asked']).toBeUndefined();
    // Nobody asks for it: it ends by itself.
    s.clock.offset = 1.79 * DAY;
    await s.engine.upkeep();
    await s.engine.upkeep();
    expect(s.auth0.exchanges).toHaveLength(2);
  });

  test('as long as somebody asks, it goes on, and readers never wait for Auth0', async () => {
    await using s = await stage(key);
    await s.setUp();
    follow(s);
    await s.read('creds/acme');
    for (let round = 1; round <= 3; round++) {
      s.clock.offset = round * 0.9 * DAY;
      await s.engine.upkeep();
      await expect
        .poll(async () => Number(s.storage.json('cache/acme/orders/whole')['issued_at']) * 1000 > Date.now() + s.clock.offset - 60_000)
        .toBe(true);
      await s.read('creds/acme');
      await s.engine.upkeep();
      expect(s.auth0.exchanges).toHaveLength(1 + round);
    }
    expect(s.storage.json('cache/acme/orders/whole')['asked']).toBe(true);
  });

  test('that somebody asked is known after a restart, too', async () => {
    await using s = await stage(key);
    await s.setUp();
    follow(s);
    await s.read('creds/acme');
    await s.read('creds/acme', { scope: 'read:orders' });
    await s.restart();
    await s.engine.upkeep();
    expect((await s.read('info'))['cached_tokens']).toBe(2);
    s.clock.offset = 0.9 * DAY;
    await s.engine.upkeep();
    await expect.poll(() => s.auth0.exchanges.length).toBe(4);
  });

  test('a disabled or deleted role is refreshed no more', async () => {
    await using s = await stage(key);
    await s.setUp();
    follow(s);
    await s.read('creds/acme');
    await s.read('creds/globex');
    await s.write('roles/acme', { disabled: true });
    await s.call('delete', 'roles/globex');
    s.clock.offset = 0.9 * DAY;
    await s.engine.upkeep();
    await s.restart();
    await s.engine.upkeep();
    await s.engine.upkeep();
    expect(s.auth0.exchanges).toHaveLength(2);
  });
});

describe('what has ended', () => {
  test('is removed, from the cache and from what brokers share; what has not stays', async () => {
    await using s = await stage(key);
    await s.setUp();
    follow(s);
    await s.read('creds/acme');
    const now = Math.floor(Date.now() / 1000);
    const grant = 'A'.repeat(43);
    await s.write('tokens/acme/orders', {
      cas: 0,
      grant,
      access_token: 'x',
      token_type: 'Bearer',
      scope: '',
      issued_at: now,
      expires_at: now + 60,
    });
    await s.write('tokens/globex/orders', {
      cas: 0,
      grant,
      access_token: 'x',
      token_type: 'Bearer',
      scope: '',
      issued_at: now,
      expires_at: now + 2 * 86_400,
    });
    await s.write(`tokens/globex/orders/${grant}`, { cas: 0, grant, lease: { holder: 'gone', until: Date.now() + 1_000, paused: false } });
    await s.engine.upkeep();
    expect([...s.storage.entries.keys()].filter((path) => path.includes('/orders/'))).toHaveLength(4);
    s.clock.offset = 1.1 * DAY;
    await s.engine.upkeep();
    expect([...s.storage.entries.keys()].filter((path) => path.includes('/orders/'))).toEqual(['tokens/globex/orders/whole']);
    expect(s.auth0.exchanges).toHaveLength(1);
  });

  test("one that can't be read keeps nobody from the others", async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    await s.read('creds/globex');
    await s.storage.put('cache/acme/orders/whole', new TextEncoder().encode('{'));
    s.clock.offset = 1.1 * DAY;
    await s.engine.upkeep();
    expect([...s.storage.entries.keys()].filter((path) => path.startsWith('cache/'))).toEqual(['cache/acme/orders/whole']);
  });
});

describe('where nothing may be written', () => {
  test.each([
    ['a performance standby', { performanceStandby: true, performanceSecondary: false, drSecondary: false }, false, false],
    ['a DR secondary', { performanceStandby: false, performanceSecondary: false, drSecondary: true }, true, false],
    ['a performance secondary', { performanceStandby: false, performanceSecondary: true, drSecondary: false }, false, false],
    [
      'a performance secondary with a local mount',
      { performanceStandby: false, performanceSecondary: true, drSecondary: false },
      true,
      true,
    ],
  ])('%s', async (_, state, local, works) => {
    await using s = await stage(key);
    await s.setUp();
    follow(s);
    await s.read('creds/acme');
    s.clock.offset = 0.9 * DAY;
    Object.assign(s.system, { state, local });
    s.storage.calls.length = 0;
    await s.engine.upkeep();
    if (works) await expect.poll(() => s.auth0.exchanges.length).toBe(2);
    else expect({ storage: s.storage.calls, auth0: s.auth0.exchanges.length }).toEqual({ storage: [], auth0: 1 });
  });

  test('a storage that says so at the last moment', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    s.clock.offset = 1.1 * DAY;
    s.storage.readOnly = true;
    await s.engine.upkeep();
    expect(s.log.text).not.toContain('broken off');
  });
});

test('it goes on by itself, and ends with the mount', async () => {
  await using s = await stage(key, { upkeepMs: 10 });
  await s.setUp();
  follow(s);
  await s.read('creds/acme');
  s.clock.offset = 0.9 * DAY;
  await expect.poll(() => s.auth0.exchanges.length).toBe(2);
  await s.engine.cleanup();
  const callsMeanwhile = async (): Promise<string[]> => {
    s.storage.calls.length = 0;
    await new Promise((resolve) => setTimeout(resolve, 50));
    return [...s.storage.calls];
  };
  // What was under way ends first.
  await expect.poll(callsMeanwhile).toEqual([]);
  expect(await callsMeanwhile()).toEqual([]);
});

test('a storage that fails breaks off the round, and the next one goes on', async () => {
  await using s = await stage(key);
  await s.setUp();
  await s.read('creds/acme');
  s.clock.offset = 1.1 * DAY;
  s.storage.failing = /./;
  await s.engine.upkeep();
  expect(s.log.text).toContain('broken off');
  s.storage.failing = undefined;
  s.clock.offset = 1.2 * DAY;
  await s.engine.upkeep();
  await s.engine.upkeep();
  expect([...s.storage.entries.keys()].filter((path) => path.startsWith('cache/'))).toEqual([]);
});

test('a stored token of another grant than the role now has is not taken into memory, nor Auth0 asked for its successor', async () => {
  await using s = await stage(key);
  await s.setUp();
  await s.read('creds/acme');
  const role = { ...s.storage.json('roles/acme'), grants: [{ api: 'orders', scopes: ['read:orders'] }] };
  await s.storage.put('roles/acme', new TextEncoder().encode(JSON.stringify(role)));
  await s.restart();
  await s.engine.upkeep();
  expect(s.auth0.exchanges).toHaveLength(1);
});

describe('the end of a mount', () => {
  /** 40 tokens of which storage doesn't say yet that somebody asked for them: a round reads and writes each. */
  async function busy(s: Stage): Promise<void> {
    await s.setUp();
    const tenants = Array.from({ length: 40 }, (_, i) => `t${i}`);
    for (const tenant of tenants) await s.write(`roles/${tenant}`, { grants: { orders: ['read:orders'] } });
    await Promise.all(tenants.map((tenant) => s.read(`creds/${tenant}`)));
    for (const path of s.storage.entries.keys()) {
      if (!path.startsWith('cache/')) continue;
      const { asked: _, ...document } = s.storage.json(path);
      await s.storage.put(path, new TextEncoder().encode(JSON.stringify(document)), true);
    }
    await s.restart();
    await Promise.all(tenants.map((tenant) => s.read(`creds/${tenant}`)));
    s.storage.calls.length = 0;
  }

  test('does not wait for a round of upkeep, which ends with the call it is at', async () => {
    await using s = await stage(key);
    await busy(s);
    s.storage.delayMs = 50;
    const round = s.engine.upkeep();
    await expect.poll(() => s.storage.calls.length).toBeGreaterThan(0);
    const begun = Date.now();
    await s.engine.cleanup();
    expect(Date.now() - begun).toBeLessThan(900);
    const calls = s.storage.calls.length;
    await round;
    expect(calls).toBeLessThan(20);
    expect(s.storage.calls).toHaveLength(calls);
  });

  test('waits a second for storage that hangs, and no longer', async () => {
    await using s = await stage(key);
    await busy(s);
    s.storage.delayMs = 4_000;
    const round = s.engine.upkeep();
    await expect.poll(() => s.storage.calls.length).toBeGreaterThan(0);
    const begun = Date.now();
    await s.engine.cleanup();
    expect(Date.now() - begun).toBeGreaterThan(900);
    expect(Date.now() - begun).toBeLessThan(3_000);
    s.storage.delayMs = 0;
    await round;
    expect(s.log.text).toBe('');
  });
});
