import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { PosternError } from '#broker/error.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { OwnAppRole } from '#broker/vault/own/approle.ts';
import { VaultSession } from '#broker/vault/session.ts';
import type { SessionEvent } from '#broker/vault/session.ts';
import { Loopback } from './loopback.ts';
import type { Received } from './loopback.ts';

const SECRET = 'canary-broker-secret-id';
const WRAPPING = 'hvs.canary-wrapping-token';
/** Within a few seconds; far more on a busy machine, where nothing here is about the time. */
const SOON = { timeout: 20_000, interval: 20 };

/** A Vault that knows one role, whose tokens can be killed, and that can be sealed. */
class BrokersVault {
  readonly live = new Set<string>();
  issued = 0;
  sealed = false;
  ttl = 3600;
  renewable = true;
  wrapped: string | undefined = WRAPPING;
  /** Paths that the policy does not allow. */
  readonly forbidden = new Set<string>();
  /** ms that a login takes. */
  slow = 0;

  readonly answer = async ({ url, headers, body }: Received): Promise<[number, unknown]> => {
    if (this.sealed) return [503, { errors: ['Vault is sealed'] }];
    const token = String(headers['x-vault-token'] ?? '');
    switch (url) {
      case '/v1/auth/approle-broker/login': {
        if (this.slow) await sleep(this.slow);
        const { role_id: role, secret_id: secret } = JSON.parse(body) as Record<string, string>;
        if (role !== 'broker-role' || secret !== SECRET) return [400, { errors: ['invalid role or secret ID'] }];
        const fresh = `token-${++this.issued}`;
        this.live.add(fresh);
        return [200, { auth: { client_token: fresh, lease_duration: this.ttl, renewable: this.renewable } }];
      }
      case '/v1/sys/wrapping/unwrap':
        if (token !== this.wrapped) return [400, { errors: ['wrapping token is not valid or does not exist'] }];
        this.wrapped = undefined;
        return [200, { data: { secret_id: SECRET } }];
    }
    if (!this.live.has(token)) return [403, { errors: ['permission denied', 'invalid token'] }];
    if (url === '/v1/auth/token/renew-self')
      return [200, { auth: { client_token: token, lease_duration: this.ttl, renewable: this.renewable } }];
    if (url === '/v1/auth/token/lookup-self') return [200, { data: { ttl: this.ttl } }];
    if (url === '/v1/auth/token/revoke-self') {
      this.live.delete(token);
      return [204, undefined];
    }
    return this.forbidden.has(url) ? [403, { errors: ['permission denied'] }] : [200, { data: { token } }];
  };
}

async function stage(options: { wrapped?: boolean; secretId?: string } = {}) {
  const vault = new BrokersVault();
  const server = await Loopback.start(vault.answer);
  const client = new VaultClient({ address: server.origin, timeoutMs: 10_000 });
  const events: SessionEvent[] = [];
  const session = new VaultSession({
    client,
    login: new OwnAppRole(client, {
      method: 'approle',
      mount: 'approle-broker',
      roleId: 'broker-role',
      secretId: options.wrapped
        ? { from: options.secretId ?? WRAPPING, variable: 'POSTERN_WRAPPED_SECRET_ID', wrapped: true }
        : { from: options.secretId ?? SECRET, variable: 'POSTERN_SECRET_ID', wrapped: false },
    }),
    onEvent: (event) => events.push(event),
  });
  const paths = () => server.received.map(({ url }) => url.replace('/v1/', ''));
  return {
    vault,
    server,
    session,
    events,
    paths,
    logins: () => paths().filter((p) => p === 'auth/approle-broker/login').length,
    read: () => session.use(async (token) => (await client.read('kv/data/x', { token }))?.data?.['token']),
    async [Symbol.asyncDispose]() {
      await session.stop();
      await client.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

describe('using it', () => {
  test('before anything ran: it logs in, once for all who come', async () => {
    await using s = await stage();
    s.vault.slow = 30;
    const tokens = await Promise.all(Array.from({ length: 100 }, () => s.read()));
    expect(new Set(tokens)).toEqual(new Set(['token-1']));
    expect(s.logins()).toBe(1);
    expect(s.session.ready).toBe(true);
  });

  test('while it starts to run: still one login', async () => {
    await using s = await stage();
    s.vault.slow = 30;
    void s.session.run();
    await Promise.all(Array.from({ length: 50 }, () => s.read()));
    expect(s.logins()).toBe(1);
  });

  test('the token died: one login for all, and nobody notices', async () => {
    await using s = await stage();
    await s.read();
    s.vault.live.clear();
    const tokens = await Promise.all(Array.from({ length: 200 }, () => s.read()));
    expect(new Set(tokens)).toEqual(new Set(['token-2']));
    expect(s.logins()).toBe(2);
  });

  test('it dies again and again: one login each time', async () => {
    await using s = await stage();
    await s.read();
    for (let i = 0; i < 20; i++) {
      s.vault.live.clear();
      await Promise.all(Array.from({ length: 5 }, () => s.read()));
    }
    expect(s.logins()).toBe(21);
  });

  test('denied by the policy: told, and no login, or each denied call would leave a lease behind', async () => {
    await using s = await stage();
    await s.read();
    s.vault.forbidden.add('/v1/kv/data/x');
    for (let i = 0; i < 20; i++) await expect(s.read()).rejects.toMatchObject({ reason: 'denied' });
    expect(s.logins()).toBe(1);
    expect(s.session.ready).toBe(true);
  });

  test('a call is made twice at most', async () => {
    await using s = await stage();
    await s.read();
    s.vault.live.clear();
    s.vault.forbidden.add('/v1/kv/data/x');
    await expect(s.read()).rejects.toMatchObject({ reason: 'denied' });
    expect(s.paths().filter((p) => p === 'kv/data/x')).toHaveLength(3);
  });

  test('anything but a denial is told as it is, without a login', async () => {
    await using s = await stage();
    await s.read();
    for (const reason of ['unavailable', 'conflict', 'throttled', 'invalid'] as const) {
      await expect(s.session.use(() => Promise.reject(new VaultFault(reason, 'x')))).rejects.toMatchObject({ reason });
    }
    expect(s.logins()).toBe(1);
  });

  test('Vault is away: told so, and tried afresh by the next', async () => {
    await using s = await stage();
    s.vault.sealed = true;
    await expect(s.read()).rejects.toMatchObject({ reason: 'unavailable' });
    expect(s.session.ready).toBe(false);
    s.vault.sealed = false;
    expect(await s.read()).toBe('token-1');
  });
});

describe('running', () => {
  test('it starts while Vault is sealed, keeps trying, and is ready soon after', async () => {
    await using s = await stage();
    s.vault.sealed = true;
    void s.session.run();
    await expect.poll(() => s.logins(), SOON).toBeGreaterThanOrEqual(2);
    expect(s.session.ready).toBe(false);
    s.vault.sealed = false;
    await expect.poll(() => s.session.ready, SOON).toBe(true);
    expect(s.events.some((e) => e.event === 'failed')).toBe(true);
    expect(s.events.at(-1)).toEqual({ event: 'login', ttl: 3600 });
  });

  test('a token that lives 1 s is replaced in time: nobody is ever denied', async () => {
    await using s = await stage();
    s.vault.ttl = 1;
    void s.session.run();
    await expect.poll(() => s.logins(), SOON).toBeGreaterThanOrEqual(2);
    expect(s.paths()).toContain('auth/token/renew-self');
    expect(s.events.map(({ event }) => event)).not.toContain('failed');
  });

  test('the renewal finds the token dead: it logs in, and is ready again', async () => {
    await using s = await stage();
    s.vault.ttl = 1;
    void s.session.run();
    await expect.poll(() => s.session.ready, SOON).toBe(true);
    s.vault.ttl = 3600;
    s.vault.live.clear();
    await expect.poll(() => s.logins(), SOON).toBe(2);
    await expect.poll(() => s.session.ready, SOON).toBe(true);
  });

  test('Vault is away at the renewal: the token is kept, for it may live still', async () => {
    await using s = await stage();
    s.vault.ttl = 1;
    void s.session.run();
    await expect.poll(() => s.session.ready, SOON).toBe(true);
    s.vault.sealed = true;
    await expect.poll(() => s.events.some((e) => e.event === 'failed'), SOON).toBe(true);
    expect(s.session.ready).toBe(true);
  });

  test('a wrong secret_id: not ready, no flood of logins', async () => {
    await using s = await stage({ secretId: 'wrong' });
    void s.session.run();
    await sleep(700);
    expect(s.session.ready).toBe(false);
    expect(s.logins()).toBeLessThanOrEqual(3);
  });

  test('stopped, it gives the token back and asks no more', async () => {
    await using s = await stage();
    void s.session.run();
    await expect.poll(() => s.session.ready, SOON).toBe(true);
    await s.session.stop();
    expect(s.vault.live.size).toBe(0);
    const asked = s.server.received.length;
    await sleep(50);
    expect(s.server.received.length).toBe(asked);
    await s.session.stop();
  });
});

describe('a wrapped secret_id', () => {
  test('is opened once, however many come at the start', async () => {
    await using s = await stage({ wrapped: true });
    void s.session.run();
    await Promise.all(Array.from({ length: 50 }, () => s.read()));
    expect(s.paths().filter((p) => p === 'sys/wrapping/unwrap')).toHaveLength(1);
    expect(s.events.map(({ event }) => event)).not.toContain('failed');
  });

  test('is remembered: a later login does not open it again', async () => {
    await using s = await stage({ wrapped: true });
    await s.read();
    s.vault.live.clear();
    expect(await s.read()).toBe('token-2');
    expect(s.paths().filter((p) => p === 'sys/wrapping/unwrap')).toHaveLength(1);
  });

  test('that somebody opened before: told to the operator as what it may be', async () => {
    await using s = await stage({ wrapped: true });
    s.vault.wrapped = undefined;
    await expect(s.read()).rejects.toMatchObject({ code: 'misconfigured', detail: expect.stringContaining('somebody else did') });
    expect(s.logins()).toBe(0);
  });

  test('that Vault opened for this broker, whose answer was lost, is told as no theft', async () => {
    await using s = await stage({ wrapped: true });
    const { answer } = s.vault;
    s.server.answer = async (request) => {
      const answered = await answer(request);
      return request.url.endsWith('/unwrap') ? [502, 'a gateway lost it'] : answered;
    };
    await expect(s.read()).rejects.toMatchObject({ reason: 'unavailable' });
    s.server.answer = answer;
    const error = await s.read().catch((one: unknown) => one as PosternError);
    expect(error).toMatchObject({ code: 'misconfigured', detail: expect.stringContaining('This broker unwrapped it itself') });
    expect((error as PosternError).detail).not.toContain('somebody else');
  });

  test('is not given up because Vault was sealed', async () => {
    await using s = await stage({ wrapped: true });
    s.vault.sealed = true;
    await expect(s.read()).rejects.toMatchObject({ reason: 'unavailable' });
    s.vault.sealed = false;
    expect(await s.read()).toBe('token-1');
  });
});

test('nothing that it tells or shows holds a secret', async () => {
  await using s = await stage({ wrapped: true });
  s.vault.sealed = true;
  const error: unknown = await s.read().catch((e: unknown) => e);
  s.vault.sealed = false;
  await s.read();
  void s.session.run();
  await sleep(20);
  expect(inspect([error, s.events], { depth: 12, showHidden: true })).not.toMatch(/canary|token-1/);
  expect(inspect(s.session, { depth: 12 })).not.toMatch(/canary|token-1/);
});
