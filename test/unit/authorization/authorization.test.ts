import * as fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import type { GrantRequest } from '#broker/authorization/documents.ts';
import { Authorization } from '#broker/authorization/authorization.ts';
import type { AuthorizationOptions, AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import { identityOf } from '#test/unit/credential/identity.ts';
import { AUTH0, ISSUER, ORDERS, apiOf, authorizationOf, grantOf, requestOf, tenantOf } from './stage.ts';
import type { StageOptions } from './stage.ts';

const byText = (a: string, b: string) => (a < b ? -1 : 1);

async function refusalOf(options: StageOptions, request: Partial<GrantRequest> = {}): Promise<PosternError> {
  try {
    await authorizationOf(options).authorize(identityOf(), requestOf(request));
  } catch (error) {
    if (error instanceof PosternError) return error;
    throw error;
  }
  throw new Error('it was authorized');
}

describe("refused, in Auth0's words", () => {
  test.each<[string, StageOptions, Partial<GrantRequest>, { code: string; status: number; message: string }]>([
    [
      'no audience and no default',
      {},
      { audience: undefined },
      { code: 'access_denied', status: 403, message: 'No audience parameter was provided, and no default audience has been configured' },
    ],
    [
      'a default that is not an API',
      { tenant: tenantOf({ default_api: 'gone' }) },
      { audience: undefined },
      { code: 'access_denied', status: 403, message: 'No audience parameter was provided, and no default audience has been configured' },
    ],
    [
      'an unknown API',
      {},
      { audience: 'https://nope.example.com' },
      { code: 'access_denied', status: 403, message: 'Service not enabled within domain: https://nope.example.com' },
    ],
    [
      "an API's name in place of its audience",
      {},
      { audience: 'orders' },
      { code: 'access_denied', status: 403, message: 'Service not enabled within domain: orders' },
    ],
    [
      'an audience in other case',
      {},
      { audience: 'https://ORDERS.example.com' },
      { code: 'access_denied', status: 403, message: 'Service not enabled within domain: https://ORDERS.example.com' },
    ],
    [
      'an audience with a slash more',
      {},
      { audience: `${ORDERS}/` },
      { code: 'access_denied', status: 403, message: `Service not enabled within domain: ${ORDERS}/` },
    ],
    [
      'an API without a grant',
      {},
      { audience: 'https://billing.example.com' },
      {
        code: 'access_denied',
        status: 403,
        message:
          'Client "acme-role-id" is not authorized to access resource server "https://billing.example.com". It needs a grant for this API.',
      },
    ],
    [
      'a default without a grant',
      { tenant: tenantOf({ default_api: 'billing' }) },
      { audience: undefined },
      {
        code: 'access_denied',
        status: 403,
        message:
          'Client "acme-role-id" is not authorized to access resource server "https://billing.example.com". It needs a grant for this API.',
      },
    ],
    [
      'scopes not granted',
      {},
      { scope: 'read:all admin root' },
      { code: 'invalid_scope', status: 400, message: 'Client has not been granted scopes: admin, root' },
    ],
    [
      'a scope that the API has and the tenant has not',
      { tenant: tenantOf({ grants: [{ api: 'orders', scopes: ['read:all'] }] }) },
      { scope: 'write:all' },
      { code: 'invalid_scope', status: 400, message: 'Client has not been granted scopes: write:all' },
    ],
    [
      'a scope that the tenant has and the API no longer has',
      { apis: [apiOf('orders', { scopes: ['read:all'] })] },
      { scope: 'write:all' },
      { code: 'invalid_scope', status: 400, message: 'Client has not been granted scopes: write:all' },
    ],
    [
      'a scope of another API',
      {
        tenant: tenantOf({
          grants: [
            { api: 'orders', scopes: ['read:all'] },
            { api: 'billing', scopes: ['write:all'] },
          ],
        }),
      },
      { scope: 'write:all' },
      { code: 'invalid_scope', status: 400, message: 'Client has not been granted scopes: write:all' },
    ],
    [
      'a malformed scope',
      {},
      { scope: 'read:all "quoted"' },
      { code: 'invalid_scope', status: 400, message: 'The scope parameter is malformed' },
    ],
    [
      'a scope with a tab between',
      {},
      { scope: 'read:all\twrite:all' },
      { code: 'invalid_scope', status: 400, message: 'The scope parameter is malformed' },
    ],
    [
      'another organization',
      { tenant: tenantOf({ organization: 'org_acme' }) },
      { organization: 'org_globex' },
      { code: 'access_denied', status: 403, message: 'Client is not authorized to access this organization' },
    ],
    [
      'an organization where the tenant has none',
      {},
      { organization: 'org_acme' },
      { code: 'access_denied', status: 403, message: 'Client is not authorized to access this organization' },
    ],
    [
      'a tenant that does not exist',
      { tenant: undefined },
      {},
      { code: 'unauthorized_client', status: 403, message: 'Client has no grants' },
    ],
    [
      'a disabled tenant, by its document',
      { tenant: tenantOf({ disabled: true }) },
      {},
      { code: 'unauthorized_client', status: 403, message: 'Client is disabled' },
    ],
    [
      'a disabled tenant, by announcement',
      { isDisabled: (tenant) => tenant === 'acme' },
      {},
      { code: 'unauthorized_client', status: 403, message: 'Client is disabled' },
    ],
    [
      'a source that is not set up',
      { issuers: { transit: undefined, auth0: AUTH0 } },
      {},
      { code: 'misconfigured', status: 503, message: 'This API is not available' },
    ],
  ])('%s', async (_fault, options, request, expected) => {
    const { code, status, message } = await refusalOf(options, request);
    expect({ code, status, message }).toEqual(expected);
  });

  test('what the client wrote comes back as printable ASCII, and not at length', async () => {
    const hostile = `https://x/"\\\r\n\u202e<script>${'a'.repeat(5000)}`;
    const byAudience = await refusalOf({}, { audience: hostile });
    const byScope = await refusalOf({}, { scope: Array.from({ length: 300 }, (_, i) => `s${i}`).join(' ') });
    for (const { message } of [byAudience, byScope]) {
      expect(message).toMatch(/^[\x20-\x7e]*$/);
      expect(message).not.toMatch(/["\\]/);
      expect(message.length).toBeLessThan(6000);
    }
    expect(byAudience.message.length).toBeLessThan(300);
  });
});

describe('granted', () => {
  test('all scopes when none are asked for, sorted, each once', async () => {
    const grant = await grantOf({ tenant: tenantOf({ grants: [{ api: 'orders', scopes: ['write:all', 'read:all', 'write:all'] }] }) });
    expect(grant).toMatchObject({
      tenant: 'acme',
      clientId: 'acme-role-id',
      api: 'orders',
      audience: ORDERS,
      issuer: ISSUER,
      source: 'transit',
      scopes: ['read:all', 'write:all'],
      scope: 'read:all write:all',
      whole: true,
      lifetime: 86_400,
      organization: undefined,
    });
  });

  test('never a scope that the API has not', async () => {
    const grant = await grantOf({ apis: [apiOf('orders', { scopes: ['read:all'] })] });
    expect(grant.scope).toBe('read:all');
    expect(grant.whole).toBe(true);
  });

  test('a subset is a subset, and says that it is not the whole', async () => {
    const grant = await grantOf({ request: { scope: 'write:all' } });
    expect([grant.scope, grant.whole]).toEqual(['write:all', false]);
  });

  test('the same scopes in another order, repeated, with more spaces: the same grant', async () => {
    const keys = new Set<string>();
    for (const scope of [undefined, 'read:all write:all', 'write:all read:all', ' write:all  read:all write:all ', '  '])
      keys.add((await grantOf({ request: { scope } })).key);
    expect(keys.size).toBe(1);
  });

  test('the default API where no audience is given', async () => {
    const options = { tenant: tenantOf({ default_api: 'orders' }) };
    const grant = await grantOf({ ...options, request: { audience: undefined } });
    expect(grant.audience).toBe(ORDERS);
    expect(grant.key).toBe((await grantOf(options)).key);
  });

  test("the tenant's organization, asked for or not", async () => {
    const tenant = tenantOf({ organization: 'org_acme' });
    expect((await grantOf({ tenant })).organization).toBe('org_acme');
    expect((await grantOf({ tenant, request: { organization: 'org_acme' } })).organization).toBe('org_acme');
  });

  test("the issuer of the API's own source", async () => {
    const tenant = tenantOf({ grants: [{ api: 'billing', scopes: [] }] });
    expect((await grantOf({ tenant, request: { audience: 'https://billing.example.com' } })).issuer).toBe(AUTH0);
  });
});

describe('the key holds all that a token depends on', () => {
  test.each<[string, Parameters<typeof grantOf>[0]]>([
    ['issuer', { issuers: { transit: 'https://other.example.com/', auth0: AUTH0 } }],
    ['issuer, by its trailing slash', { issuers: { transit: ISSUER.slice(0, -1), auth0: AUTH0 } }],
    ['tenant', { identity: { tenant: 'globex' } }],
    ['client', { identity: { clientId: 'acme-role-id-made-anew' } }],
    [
      'audience',
      { apis: [apiOf('orders', { audience: 'https://orders.example.org' })], request: { audience: 'https://orders.example.org' } },
    ],
    ['scope set', { request: { scope: 'read:all' } }],
    ['organization', { tenant: tenantOf({ organization: 'org_acme' }) }],
    ['claims', { tenant: tenantOf({ claims: { 'https://e.com/plan': 'gold' } }) }],
    ['type of a claim', { tenant: tenantOf({ claims: { 'https://e.com/plan': 1 } }) }],
    ['source', { apis: [apiOf('orders', { source: 'auth0' })], issuers: { transit: ISSUER, auth0: ISSUER } }],
    ['binding of the token', { layout: 'organization https://example.com/tenant' }],
    ['dialect', { apis: [apiOf('orders', { dialect: 'rfc9068_profile' })] }],
    ['lifetime', { apis: [apiOf('orders', { lifetime: 3600 })] }],
  ])('%s', async (_part, options) => {
    const base = await grantOf();
    const other = await grantOf(options);
    expect(other.key).not.toBe(base.key);
    expect(other.digest).not.toBe(base.digest);
    expect(other.digest).toMatch(/^[A-Za-z0-9_-]{43}$/);
  });

  test('1 and "1" are two claims; the order of claims does not count', async () => {
    const keyOf = async (claims: Record<string, unknown>) => (await grantOf({ tenant: tenantOf({ claims }) })).key;
    expect(await keyOf({ 'https://e.com/a': '1' })).not.toBe(await keyOf({ 'https://e.com/a': 1 }));
    expect(await keyOf({ 'https://e.com/a': 1, 'https://e.com/b': 2 })).toBe(await keyOf({ 'https://e.com/b': 2, 'https://e.com/a': 1 }));
  });

  test('two different tuples never share a key, whatever delimiters their parts hold', async () => {
    const nasty = fc.oneof(
      fc.constantFrom('a', 'b', 'a/b', 'a b', 'a","b', 'a\\', 'a|b', 'a:b', '["a"]', 'null', '', ' ', 'a,b', '"', '\\"', 'ab'),
      fc.string({ unit: fc.constantFrom('a', 'b', '"', ',', '\\', '/', ':', '|', '[', ']', ' ', '\n', '.'), maxLength: 4 }),
    );
    const scope = fc.constantFrom('a', 'b', 'a,b', 'a:b', 'ab', '[a]', "a','b", 'null');
    const tuple = fc.record({
      issuer: nasty.map((s) => `https://i/${s}`),
      tenant: nasty,
      clientId: nasty,
      audience: nasty.map((s) => `x${s}`),
      scopes: fc.uniqueArray(scope, { maxLength: 3 }),
      organization: fc.option(
        nasty.map((s) => `o${s}`),
        { nil: null },
      ),
      claims: fc.dictionary(
        fc.constantFrom('https://e.com/a', 'https://e.com/b'),
        fc.oneof(nasty, fc.array(nasty, { maxLength: 2 }), fc.integer({ max: 2, min: 0 }), fc.boolean()),
      ),
    });
    type Tuple = typeof tuple extends fc.Arbitrary<infer T> ? T : never;
    const grant = ({ issuer, tenant, clientId, audience, scopes, organization, claims }: Tuple) =>
      grantOf({
        identity: { tenant, clientId },
        issuers: { transit: issuer, auth0: undefined },
        apis: [apiOf('orders', { audience, scopes })],
        tenant: tenantOf({ grants: [{ api: 'orders', scopes }], organization, claims }),
        request: { audience },
      });
    const canonical = ({ scopes, claims, ...rest }: Tuple) =>
      JSON.stringify([
        rest.issuer,
        rest.tenant,
        rest.clientId,
        rest.audience,
        rest.organization,
        scopes.toSorted(byText),
        Object.entries(claims).toSorted(([a], [b]) => byText(a, b)),
      ]);
    const seen = new Map<string, string>();
    await fc.assert(
      fc.asyncProperty(tuple, async (t) => {
        const { key, digest } = await grant(t);
        const before = seen.get(key);
        expect(before ?? canonical(t)).toBe(canonical(t));
        seen.set(key, canonical(t));
        expect(digest).toHaveLength(43);
      }),
      { numRuns: 3000 },
    );
    // Else the property would have tested nothing.
    expect(seen.size).toBeGreaterThan(1000);
  });
});

describe('what is remembered for an identity', () => {
  test('a grant that is kept with its token is had again by whoever is verified anew, and no other', async () => {
    const held: AuthorizedGrant[] = [];
    const granted = async (tenant: Record<string, unknown> = {}, identity: Partial<Identity> = {}) =>
      authorizationOf({ tenant: tenantOf(tenant), kept: (made) => held.find((one) => one.equals(made)) }).authorize(
        identityOf(identity),
        requestOf(),
      );
    const kept = await granted();
    held.push(kept);
    expect(await granted()).toBe(kept);
    // The quota is no part of the digest.
    for (const tenant of [{ quota: { monthly: 1 } }, { claims: { 'https://e.com/plan': 'gold' } }, { organization: 'org_acme' }])
      expect(await granted(tenant)).not.toBe(kept);
    for (const identity of [{ tenant: 'globex' }, { clientId: 'another' }]) expect(await granted({}, identity)).not.toBe(kept);
  });

  test('the same question is answered at once, by the same grant, with one reading', async () => {
    const readGrants = vi.fn(async () => tenantOf());
    const authorization = authorizationOf({ readGrants });
    const identity = identityOf();
    const first = await authorization.authorize(identity, requestOf());
    expect(authorization.authorize(identity, requestOf())).toBe(first);
    await authorization.authorize(identity, requestOf({ scope: 'read:all' }));
    expect(readGrants).toHaveBeenCalledTimes(1);
  });

  test('a thousand first questions are one reading', async () => {
    const readGrants = vi.fn(async () => tenantOf());
    const authorization = authorizationOf({ readGrants });
    const identity = identityOf();
    await Promise.all(Array.from({ length: 1000 }, async () => authorization.authorize(identity, requestOf())));
    expect(readGrants).toHaveBeenCalledTimes(1);
  });

  test('a new identity reads anew: grants are as fresh as the verification', async () => {
    let tenant = tenantOf();
    const authorization = authorizationOf({ readGrants: async () => tenant });
    await authorization.authorize(identityOf(), requestOf());
    tenant = tenantOf({ grants: [] });
    await expect(Promise.resolve(authorization.authorize(identityOf(), requestOf()))).rejects.toMatchObject({ code: 'access_denied' });
  });

  test('two identities of different tenants never meet', async () => {
    const authorization = authorizationOf({
      readGrants: async ({ tenant }) => (tenant === 'acme' ? tenantOf() : tenantOf({ grants: [] })),
    });
    await authorization.authorize(identityOf(), requestOf());
    await expect(Promise.resolve(authorization.authorize(identityOf({ tenant: 'globex' }), requestOf()))).rejects.toMatchObject({
      code: 'access_denied',
    });
  });

  test('an announced disabling holds for what is remembered too', async () => {
    let disabled = false;
    const authorization = authorizationOf({ isDisabled: () => disabled });
    const identity = identityOf();
    await authorization.authorize(identity, requestOf());
    disabled = true;
    expect(() => authorization.authorize(identity, requestOf())).toThrow('Client is disabled');
  });

  test('a disabling announced while the grants are read holds', async () => {
    let disabled = false;
    const gate = Promise.withResolvers<void>();
    const authorization = authorizationOf({ isDisabled: () => disabled, readGrants: () => gate.promise.then(() => tenantOf()) });
    const asking = Promise.resolve(authorization.authorize(identityOf(), requestOf()));
    disabled = true;
    gate.resolve();
    await expect(asking).rejects.toMatchObject({ code: 'unauthorized_client' });
  });

  test('a failed reading is not', async () => {
    let away = true;
    const authorization = authorizationOf({
      readGrants: async () => (away ? Promise.reject(new PosternError('temporarily_unavailable', 'away')) : tenantOf()),
    });
    const identity = identityOf();
    await expect(Promise.resolve(authorization.authorize(identity, requestOf()))).rejects.toMatchObject({
      code: 'temporarily_unavailable',
    });
    away = false;
    expect((await authorization.authorize(identity, requestOf())).tenant).toBe('acme');
  });

  test('a refusal is not mistaken for another question', async () => {
    const authorization = authorizationOf();
    const identity = identityOf();
    await authorization.authorize(identity, requestOf());
    await expect(Promise.resolve(authorization.authorize(identity, requestOf({ organization: 'org_x' })))).rejects.toMatchObject({
      code: 'access_denied',
    });
    await expect(Promise.resolve(authorization.authorize(identity, requestOf({ audience: undefined })))).rejects.toMatchObject({
      code: 'access_denied',
    });
  });

  test('is bounded in number: a customer that asks in ever new ways fills no memory', async () => {
    const scopes = Array.from({ length: 100 }, (_, i) => `s${i}`);
    const authorization = authorizationOf({
      apis: [apiOf('orders', { scopes })],
      tenant: tenantOf({ grants: [{ api: 'orders', scopes }] }),
    });
    const identity = identityOf();
    await authorization.authorize(identity, requestOf({ scope: 's0' }));
    const second = await authorization.authorize(identity, requestOf({ scope: 's1' }));
    expect(authorization.authorize(identity, requestOf({ scope: 's1' }))).toBe(second);
    for (const scope of scopes) await authorization.authorize(identity, requestOf({ scope }));
    const again = authorization.authorize(identity, requestOf({ scope: 's1' }));
    expect(again).toBeInstanceOf(Promise);
    expect((await again).key).toBe(second.key);
    // What it asked first, as nearly all do and nothing else, is the one that stays.
    expect(authorization.authorize(identity, requestOf({ scope: 's0' }))).toMatchObject({ scope: 's0' });
  });

  test('and in size: a long-winded question is answered and not kept', async () => {
    const authorization = authorizationOf();
    const identity = identityOf();
    const scope = `read:all${' '.repeat(15_000)}`;
    await authorization.authorize(identity, requestOf({ scope }));
    expect(authorization.authorize(identity, requestOf({ scope }))).toBeInstanceOf(Promise);
  });
});

test('asked for in another way, it is the same grant: it is kept once', async () => {
  const [authorization, identity] = [authorizationOf({}), identityOf()];
  const first = await authorization.authorize(identity, requestOf({ scope: undefined }));
  for (const scope of [first.scope, first.scopes.toReversed().join(' '), ` ${first.scope}`]) {
    expect(await authorization.authorize(identity, requestOf({ scope }))).toBe(first);
  }
  expect(await authorization.authorize(identity, requestOf({ scope: first.scopes[0] }))).not.toBe(first);
});

describe('an API whose document is not valid', () => {
  const apis = {
    byAudience: () => undefined,
    byName: () => undefined,
    faultOf: (api: { name?: string; audience?: string }) =>
      api.name === 'orders' || api.audience === ORDERS ? 'lifetime: must be a number' : undefined,
  };
  const authorize = (audience: string | undefined) =>
    new Authorization({
      grants: { readGrants: async () => tenantOf({ default_api: 'orders' }) },
      apis,
      issuers: {},
      isDisabled: () => false,
    } as unknown as AuthorizationOptions).authorize(identityOf(), { audience, scope: undefined, organization: undefined });

  test.each([ORDERS, undefined])('%s: the operator hears of it, and the client that it must wait', async (audience) => {
    await expect(authorize(audience)).rejects.toMatchObject({ code: 'misconfigured', detail: expect.stringContaining('lifetime') });
  });

  test('any other is not there', async () => {
    await expect(authorize('https://other.example.com')).rejects.toMatchObject({ code: 'access_denied' });
  });
});

describe('while what a client may do can not be read', () => {
  const unanswered = new PosternError('temporarily_unavailable', 'away', { unasked: 'unanswered' });

  async function stageOf({ bridges = true }: { bridges?: boolean } = {}) {
    const says: { now: Error | undefined } = { now: undefined };
    const readGrants = async (): Promise<ReturnType<typeof tenantOf>> => {
      if (says.now !== undefined) throw says.now;
      return tenantOf();
    };
    const authorization = authorizationOf({ readGrants });
    const before = identityOf();
    const granted = await authorization.authorize(before, requestOf());
    const identity = identityOf({ before: { identity: before, bridges: () => bridges } });
    says.now = unanswered;
    return { authorization, granted, identity, says };
  }

  test('what it might when it was verified before holds, and is marked; what Vault says then counts again', async () => {
    const { authorization, granted, identity, says } = await stageOf();
    for (let times = 0; times < 2; times++) {
      const grant = await authorization.authorize(identity, requestOf());
      expect([grant.equals(granted), identity.unasked]).toEqual([true, true]);
    }
    expect(await authorization.allowancesOf(identity)).toEqual([]);
    says.now = undefined;
    await authorization.authorize(identity, requestOf());
    expect([identity.unasked, identity.before]).toEqual([false, undefined]);
    says.now = unanswered;
    expect(await authorization.authorize(identity, requestOf())).toBeDefined();
    expect(identity.unasked).toBe(false);
  });

  test('not where Vault has judged, or for longer than it may', async () => {
    const { authorization, identity } = await stageOf({ bridges: false });
    await expect(authorization.authorize(identity, requestOf())).rejects.toBe(unanswered);
    expect(identity.unasked).toBeUndefined();
  });

  test('nor after Vault has judged: an outage that comes then brings nothing back', async () => {
    const { authorization, identity, says } = await stageOf();
    says.now = new PosternError('temporarily_unavailable', 'denied');
    await expect(authorization.authorize(identity, requestOf())).rejects.toBe(says.now);
    says.now = unanswered;
    await expect(authorization.authorize(identity, requestOf())).rejects.toBe(unanswered);
  });

  test('nor for somebody who had nothing read before', async () => {
    const { authorization } = await stageOf();
    const identity = identityOf({ before: { identity: identityOf(), bridges: () => true } });
    await expect(authorization.authorize(identity, requestOf())).rejects.toBe(unanswered);
  });
});
