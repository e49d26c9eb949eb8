import { describe, expect, test, vi } from 'vitest';
import type { ApiCatalog, GrantRequest } from '#broker/authorization/documents.ts';
import { Generations } from '#broker/credential/generations.ts';
import { VerifiedCredentials, wrongCredential } from '#broker/credential/verified-credentials.ts';
import { PosternError } from '#broker/error.ts';
import { TokenCache } from '#broker/token/cache.ts';
import type { Limits } from '#broker/rate-limit/limits.ts';
import { LocalLimiter } from '#broker/rate-limit/local-limiter.ts';
import { Exchange } from '#broker/token/exchange.ts';
import type { Trace } from '#broker/token/exchange.ts';
import { Token } from '#broker/token/token.ts';
import { apiOf, authorizationOf, requestOf, tenantOf } from '#test/unit/authorization/stage.ts';
import { credentialOf } from '#test/unit/credential/credential.ts';
import { identityOf } from '#test/unit/credential/identity.ts';
import { MemoryStore } from './memory-store.ts';

const ADDRESS = '192.0.2.1';
const acme = credentialOf('acme-id', 'right-secret');
const globex = credentialOf('globex-id', 'right-secret');

function stage(limits?: Limits) {
  let revoked = false;
  let disabled = false;
  let narrow = false;
  let grantsAreRead = Promise.resolve();
  const login = vi.fn(async (credential: typeof acme) => {
    if (revoked || credential.reveal() !== 'right-secret') throw wrongCredential();
    const tenant = credential.clientId.split('-')[0] ?? '';
    return identityOf({
      clientId: credential.clientId,
      tenant,
      ...(credential.clientId.endsWith('-limited') ? { limit: { scopes: ['read:all'] } } : {}),
      ...(credential.clientId.endsWith('-lent') ? { lent: true as const } : {}),
    });
  });
  const verified = new VerifiedCredentials({ login: { login } });
  const issue = vi.fn(async (grant: { key: string; scope: string }) => {
    const iat = Math.floor(Date.now() / 1000);
    return new Token(grant.key, grant.scope, iat, iat + 3600, 0);
  });
  const apis = [apiOf('orders'), apiOf('billing')];
  const catalog: ApiCatalog = {
    byAudience: (audience) => apis.find((api) => api.audience === audience),
    byName: (name) => apis.find((api) => api.name === name),
  };
  const authorization = authorizationOf({
    apis,
    readGrants: async ({ tenant }) => {
      const narrowed = narrow;
      await grantsAreRead;
      const mine = narrowed ? tenantOf({ grants: [{ api: 'orders', scopes: ['read:all'] }] }) : tenantOf({ default_api: 'orders', limits });
      return tenant === 'acme' ? mine : tenantOf({ grants: [] });
    },
    isDisabled: () => disabled,
  });
  const store = new MemoryStore();
  const generations = new Generations();
  const cache = new TokenCache({ generations, store, sources: { transit: { issue }, auth0: undefined } });
  const limiter = new LocalLimiter({ now: () => 0 });
  const exchange = new Exchange({ verified, authorization, cache, apis: catalog, store, generations, limiter });
  return {
    catalog,
    exchange,
    issue,
    login,
    store,
    run: async (credential: typeof acme, request: Partial<GrantRequest> = {}, trace: Trace = {}) =>
      exchange.run(credential, requestOf(request), ADDRESS, trace),
    revoke: () => {
      revoked = true;
      verified.forget('acme');
    },
    disable: () => {
      disabled = true;
      generations.changed('acme');
    },
    narrow: () => {
      narrow = true;
      verified.forget('acme');
      generations.changed('acme');
    },
    holdGrants: (until: Promise<void>) => {
      grantsAreRead = until;
    },
    generations,
  };
}

test('when all is remembered the answer is there at once, and nobody is asked', async () => {
  const { exchange, issue, login, run, store } = stage();
  const first = await run(acme);
  const calls = [store.reads, store.writes, issue.mock.calls.length, login.mock.calls.length];
  const trace: Trace = {};
  const hit = exchange.run(acme, requestOf(), ADDRESS, trace);
  expect(hit).not.toBeInstanceOf(Promise);
  expect(hit).toMatchObject({ from: 'memory', token: first.token });
  expect([store.reads, store.writes, issue.mock.calls.length, login.mock.calls.length]).toEqual(calls);
  expect(trace).toMatchObject({ identity: { tenant: 'acme' }, grant: { tenant: 'acme', api: 'orders' } });
});

test('a thousand first requests: one login, one reading, one token', async () => {
  const { issue, login, run, store } = stage();
  const all = await Promise.all(Array.from({ length: 1000 }, () => run(acme)));
  expect(new Set(all.map(({ token }) => token)).size).toBe(1);
  expect([login.mock.calls.length, store.reads, issue.mock.calls.length]).toEqual([1, 1, 1]);
});

describe("a client_id that is not the credential's own", () => {
  test('is refused before a token is issued, remembered or not, and the audit learns whose it was', async () => {
    const { exchange, issue, run } = stage();
    const trace: Trace = {};
    const wrong = { ...requestOf(), clientId: 'globex-id' };
    await expect(exchange.run(acme, wrong, ADDRESS, trace)).rejects.toMatchObject({ code: 'invalid_request' });
    expect([issue.mock.calls.length, trace.identity?.tenant]).toEqual([0, 'acme']);
    await run(acme);
    expect(() => exchange.run(acme, wrong, ADDRESS, {})).toThrow('client_id is not that of');
    expect(await exchange.run(acme, { ...requestOf(), clientId: trace.identity?.clientId }, ADDRESS, {})).toMatchObject({ from: 'memory' });
  });
});

describe('a token in memory is given to nobody who may not have it', () => {
  test('not to a wrong secret', async () => {
    const { run } = stage();
    await run(acme);
    await expect(run(credentialOf('acme-id', 'wrong-secret'))).rejects.toMatchObject({ code: 'invalid_client' });
  });

  test('not to a revoked one', async () => {
    const { revoke, run } = stage();
    await run(acme);
    revoke();
    await expect(run(acme)).rejects.toMatchObject({ code: 'invalid_client' });
  });

  test('not to a disabled tenant, and the audit still learns who it was', async () => {
    const { disable, run } = stage();
    await run(acme);
    disable();
    const trace: Trace = {};
    await expect(run(acme, {}, trace)).rejects.toMatchObject({ code: 'unauthorized_client' });
    expect(trace.identity?.tenant).toBe('acme');
    expect(trace.grant).toBeUndefined();
  });

  test('not to another tenant without the grant', async () => {
    const { run } = stage();
    await run(acme);
    await expect(run(globex)).rejects.toMatchObject({ code: 'access_denied' });
  });

  test('not for another audience, scope or organization', async () => {
    const { run } = stage();
    await run(acme);
    await expect(run(acme, { audience: 'https://billing.example.com' })).rejects.toBeInstanceOf(PosternError);
    await expect(run(acme, { scope: 'admin' })).rejects.toBeInstanceOf(PosternError);
    await expect(run(acme, { organization: 'org_x' })).rejects.toBeInstanceOf(PosternError);
    const narrow = await run(acme, { scope: 'read:all' });
    expect(narrow.token.scope).toBe('read:all');
  });
});

describe('the early reading', () => {
  test('is made only where it can be the answer', async () => {
    for (const request of [{ scope: 'read:all' }, { audience: undefined }]) {
      const { run, store } = stage();
      const early = vi.spyOn(store, 'readEarly');
      await run(acme, request);
      expect(early).not.toHaveBeenCalled();
    }
  });

  test('is not made for a key that is narrowed: the token with all scopes is not its own', async () => {
    const { run, store } = stage();
    const early = vi.spyOn(store, 'readEarly');
    const all = await run(acme);
    const narrowed = await run(credentialOf('acme-limited', 'right-secret'));
    expect(early).toHaveBeenCalledOnce();
    expect([all.token.scope, narrowed.token.scope]).toEqual(['read:all write:all', 'read:all']);
  });

  test('that fails for a tenant without the grant stays unseen: the refusal is told', async () => {
    const { run, store } = stage();
    store.before = () => {
      throw new Error('sealed');
    };
    await expect(run(globex)).rejects.toMatchObject({ code: 'access_denied' });
  });

  test("is made with the tenant's own Vault token, at the tenant's own place", async () => {
    const { run, store } = stage();
    const early = vi.spyOn(store, 'readEarly');
    await run(acme);
    expect(early).toHaveBeenCalledExactlyOnceWith('acme', 'orders', expect.objectContaining({ tenant: 'acme' }));
  });
});

describe('what changes while an exchange waits', () => {
  test('for the source: a disabled tenant gets nothing, and nothing of it is stored', async () => {
    const { disable, issue, run, store } = stage();
    issue.mockImplementationOnce(async (grant) => {
      disable();
      return new Token(grant.key, grant.scope, Math.floor(Date.now() / 1000), Math.floor(Date.now() / 1000) + 3600, 0);
    });
    await expect(run(acme)).rejects.toMatchObject({ code: 'unauthorized_client' });
    expect([...store.entries.values()].map(({ token }) => token)).toEqual([undefined]);
  });

  test('for the store: likewise', async () => {
    const { disable, issue, run, store } = stage();
    store.before = (operation) => {
      if (operation === 'read') disable();
    };
    await expect(run(acme)).rejects.toMatchObject({ code: 'unauthorized_client' });
    expect(issue).not.toHaveBeenCalled();
  });

  test('about somebody else, or harmlessly: the tenant gets its token, in the second case after one more decision', async () => {
    const { generations, issue, run } = stage();
    issue.mockImplementationOnce(async (grant) => {
      generations.changed('globex');
      return new Token(`${grant.key}1`, grant.scope, Math.floor(Date.now() / 1000), Math.floor(Date.now() / 1000) + 3600, 0);
    });
    expect((await run(acme)).from).toBe('source');
    expect(issue).toHaveBeenCalledTimes(1);
    const other = stage();
    other.issue.mockImplementationOnce(async (grant) => {
      other.generations.changed('acme');
      return new Token(`${grant.key}1`, grant.scope, Math.floor(Date.now() / 1000), Math.floor(Date.now() / 1000) + 3600, 0);
    });
    expect((await other.run(acme)).from).toBe('source');
    expect(other.issue).toHaveBeenCalledTimes(2);
  });
});

describe('the token is looked for before the grants are known', () => {
  test.each([
    ['acme-id', 1],
    ['acme-limited', 0],
    ['acme-lent', 0],
  ])('for %s: %i times', async (clientId, times) => {
    const { run, store } = stage();
    const readEarly = vi.spyOn(store, 'readEarly');
    await run(credentialOf(clientId, 'right-secret'));
    expect(readEarly).toHaveBeenCalledTimes(times);
  });
});

test('nothing is issued for a tenant that was disabled while its grants were read', async () => {
  const { disable, holdGrants, issue, login, run } = stage();
  const reading = Promise.withResolvers<void>();
  holdGrants(reading.promise);
  const running = run(acme);
  await vi.waitFor(() => expect(login).toHaveBeenCalled());
  disable();
  reading.resolve();
  await expect(running).rejects.toMatchObject({ code: 'unauthorized_client' });
  expect(issue).not.toHaveBeenCalled();
});

test('nothing is issued for what the tenant no longer has, where that changed while its grants were read', async () => {
  const { narrow, holdGrants, issue, login, run } = stage();
  const reading = Promise.withResolvers<void>();
  holdGrants(reading.promise);
  const running = run(acme);
  await vi.waitFor(() => expect(login).toHaveBeenCalled());
  await new Promise((resolve) => setTimeout(resolve, 20));
  narrow();
  reading.resolve();
  expect((await running).token.scope).toBe('read:all');
  expect(issue.mock.calls.map(([{ scope }]) => scope)).toEqual(['read:all']);
});

test('a catalogue that can not be read is no rejection that nobody hears of', async () => {
  const unheard: unknown[] = [];
  const hear = (error: unknown): void => void unheard.push(error);
  process.on('unhandledRejection', hear);
  try {
    const s = stage();
    s.catalog.byAudience = () => Promise.reject(new PosternError('temporarily_unavailable', 'away'));
    await s.run(acme);
    await new Promise((resolve) => setImmediate(resolve));
    expect(unheard).toEqual([]);
  } finally {
    process.off('unhandledRejection', hear);
  }
});

describe('a limited tenant', () => {
  const exceeded = expect.objectContaining({ code: 'limit_exceeded', status: 429, oauthError: 'too_many_requests', retryAfter: 1 });

  test('is let through so often, hits and cold exchanges alike, and its answers say what is left', async () => {
    const s = stage({ per_second: 3 });
    const left: unknown[] = [];
    for (let at = 0; at < 3; at++) {
      const trace: Trace = {};
      await s.run(acme, {}, trace);
      left.push(trace.admission?.fields.at(-1));
    }
    expect(left).toEqual(['"tenant-second";r=2;t=1', '"tenant-second";r=1;t=1', '"tenant-second";r=0;t=1']);
    const trace: Trace = {};
    await expect(s.run(acme, {}, trace)).rejects.toEqual(exceeded);
    expect(trace.identity?.tenant).toBe('acme');
    expect(trace.admission?.fields).toContain('"tenant-second";q=3;w=1');
    expect(s.issue).toHaveBeenCalledTimes(1);
  });

  test('spends it with requests that are refused for what they ask, too', async () => {
    const s = stage({ per_minute: 2 });
    for (let at = 0; at < 2; at++) await expect(s.run(acme, { scope: 'no:such' })).rejects.toMatchObject({ code: 'invalid_scope' });
    await expect(s.run(acme)).rejects.toMatchObject({ code: 'limit_exceeded', retryAfter: 60 });
  });

  test('loses nothing by strangers who know its client_id', async () => {
    const s = stage({ per_minute: 1 });
    for (let at = 0; at < 5; at++)
      await expect(s.run(credentialOf('acme-id', `guess-${at}`))).rejects.toMatchObject({ code: 'invalid_client' });
    await s.run(acme);
    await expect(s.run(acme)).rejects.toMatchObject({ code: 'limit_exceeded' });
    await expect(s.run(credentialOf('acme-id', 'guess'))).rejects.toMatchObject({ code: 'invalid_client' });
  });

  test('counts a request once that is decided again', async () => {
    const s = stage({ per_minute: 2 });
    const read = Promise.withResolvers<void>();
    s.holdGrants(read.promise);
    const running = s.run(acme);
    await new Promise(setImmediate);
    s.narrow();
    read.resolve();
    await running;
    await s.run(acme);
  });

  test('takes nothing from others', async () => {
    const s = stage({ per_minute: 1 });
    await s.run(acme);
    await expect(s.run(acme)).rejects.toMatchObject({ code: 'limit_exceeded' });
    await expect(s.run(globex)).rejects.toMatchObject({ code: 'access_denied' });
  });
});
