import { describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { Introspection, activeAnswer } from '#broker/token/introspection.ts';
import type { TokenTrace } from '#broker/token/introspection.ts';
import type { IssuedToken } from '#broker/token/issued-tokens.ts';
import { apiOf, authorizationOf, tenantOf } from '#test/unit/authorization/stage.ts';
import { identityOf } from '#test/unit/credential/identity.ts';
import { TENANT_CLAIM } from './signer.ts';

const SHA = 'a'.repeat(64);
const tokenOf = (over: Partial<IssuedToken> = {}): IssuedToken => ({
  sha256: SHA,
  claims: { iss: 'https://tokens.example.com/', sub: 'acme-role-id@clients', gty: 'client-credentials', 'https://e.com/plan': 'gold' },
  tenant: 'acme',
  organization: undefined,
  audience: 'https://orders.example.com',
  scope: 'read:all',
  clientId: 'acme-role-id',
  sharedClient: false,
  iat: 1_800_000_000,
  exp: 1_800_003_600,
  ...over,
});

function stage(
  options: {
    token?: IssuedToken | undefined;
    document?: Record<string, unknown>;
    revoked?: string[];
    disabled?: string[];
    endedAt?: number;
    ended?: string[];
    stale?: boolean;
  } = {},
) {
  const token = 'token' in options ? options.token : tokenOf();
  const isDisabled = (tenant: string) => {
    if (options.stale) throw new PosternError('temporarily_unavailable', 'unknown', { retryAfter: 5 });
    return options.disabled?.includes(tenant) ?? false;
  };
  const introspection = new Introspection({
    authorization: authorizationOf({ tenant: tenantOf(options.document), isDisabled }),
    apis: { byAudience: (audience) => [apiOf('orders'), apiOf('reports')].find((api) => api.audience === audience) },
    issued: { read: async () => token },
    revocations: new Set(options.revoked),
    endings: { tokensEndedAt: () => options.endedAt ?? -Infinity, includesClient: (id) => options.ended?.includes(id) === true },
    isDisabled,
  });
  const trace: TokenTrace = {};
  return { trace, run: (identity = identityOf()) => introspection.run(identity, 'jwt', trace) };
}

describe('a tenant learns', () => {
  test('of its own token', async () => {
    expect(await stage().run()).toEqual(tokenOf());
  });

  test("nothing of a neighbour's, nor of one that was made up", async () => {
    expect(await stage().run(identityOf({ tenant: 'globex' }))).toBe('foreign');
    expect(await stage({ token: undefined }).run()).toBe('unknown');
  });

  test("of every tenant's token for the APIs that it serves, and no other", async () => {
    const orders = identityOf({ tenant: 'orders-service' });
    const document = { introspects: ['orders'] };
    const { run, trace } = stage({ document });
    expect(await run(orders)).toEqual(tokenOf());
    expect(trace).toMatchObject({ api: 'orders', token: { tenant: 'acme' } });
    expect(await stage({ document, token: tokenOf({ audience: 'https://reports.example.com' }) }).run(orders)).toBe('foreign');
    expect(await stage({ document, token: tokenOf({ audience: 'https://gone.example.com' }) }).run(orders)).toBe('foreign');
    expect(await stage({ document: { introspects: ['reports'] } }).run(orders)).toBe('foreign');
  });

  test('of its own alone by a key that is narrowed to some scopes', async () => {
    const limit = { scopes: ['read:all'] };
    expect(await stage({ document: { introspects: ['orders'] } }).run(identityOf({ tenant: 'orders-service', limit }))).toBe('foreign');
    expect(await stage({ document: { introspects: ['orders'] } }).run(identityOf({ limit }))).toEqual(tokenOf());
  });

  test('of one that its organization binds, by its own organization alone', async () => {
    const token = tokenOf({ tenant: undefined, organization: 'org_acme' });
    expect(await stage({ token, document: { organization: 'org_acme' } }).run()).toEqual(token);
    expect(await stage({ token, document: { organization: 'org_other' } }).run()).toBe('foreign');
    expect(await stage({ token, document: {} }).run()).toBe('foreign');
    // Bound by nothing: nobody's.
    expect(await stage({ token: tokenOf({ tenant: undefined }), document: {} }).run()).toBe('foreign');
  });
});

describe('not active', () => {
  test('is what was revoked', async () => {
    expect(await stage({ revoked: [SHA] }).run()).toBe('revoked');
  });

  test('is what a disabled tenant has, to whoever serves the API', async () => {
    expect(await stage({ disabled: ['acme'], document: { introspects: ['orders'] } }).run(identityOf({ tenant: 'orders-service' }))).toBe(
      'disabled',
    );
  });

  test('is what the tenant held when all its tokens were ended, to the second', async () => {
    expect(await stage({ endedAt: tokenOf().iat }).run()).toBe('revoked');
    expect(await stage({ endedAt: tokenOf().iat - 1 }).run()).toEqual(tokenOf());
  });

  test('is what a deleted tenant had, to whoever serves the API and to its successor of the same name', async () => {
    const serves = { ended: ['acme-role-id'], document: { introspects: ['orders'] } };
    expect(await stage(serves).run(identityOf({ tenant: 'orders-service' }))).toBe('revoked');
    expect(await stage().run(identityOf({ clientId: 'successor-role-id' }))).toBe('foreign');
    // All tokens of a shared application have one client_id.
    const shared = tokenOf({ sharedClient: true });
    expect(await stage({ token: shared }).run(identityOf({ clientId: 'another-role-id' }))).toEqual(shared);
  });

  test('is what was issued for an API that was removed', async () => {
    expect(await stage({ token: tokenOf({ audience: 'https://gone.example.com' }) }).run()).toBe('unknown');
  });

  test("a neighbour's stays foreign, whatever became of it", async () => {
    expect(await stage({ revoked: [SHA] }).run(identityOf({ tenant: 'globex' }))).toBe('foreign');
  });
});

describe('nobody is answered', () => {
  test('who is disabled', async () => {
    await expect(stage({ disabled: ['acme'] }).run()).rejects.toMatchObject({ code: 'unauthorized_client' });
    await expect(stage({ document: { disabled: true } }).run()).rejects.toMatchObject({ code: 'unauthorized_client' });
  });

  test('while it is not known what was revoked', async () => {
    await expect(stage({ stale: true }).run()).rejects.toMatchObject({ code: 'temporarily_unavailable', retryAfter: 5 });
  });
});

describe('the answer', () => {
  test('has the members of RFC 7662 and the tenant, and nothing else of the token', () => {
    expect(activeAnswer(tokenOf({ claims: { ...tokenOf().claims, jti: 'x' } }), TENANT_CLAIM)).toEqual({
      active: true,
      scope: 'read:all',
      client_id: 'acme-role-id',
      token_type: 'Bearer',
      exp: 1_800_003_600,
      iat: 1_800_000_000,
      sub: 'acme-role-id@clients',
      aud: 'https://orders.example.com',
      iss: 'https://tokens.example.com/',
      jti: 'x',
      [TENANT_CLAIM]: 'acme',
    });
  });

  test('leaves out what a token does not have', () => {
    const answer = activeAnswer(
      tokenOf({ scope: '', tenant: undefined, organization: 'org_acme', claims: { iss: 'https://i/' } }),
      TENANT_CLAIM,
    );
    expect(Object.keys(answer).sort()).toEqual(['active', 'aud', 'client_id', 'exp', 'iat', 'iss', 'org_id', 'token_type']);
  });
});
