import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { identityOf } from '#test/unit/credential/identity.ts';
import { ORDERS, apiOf, authorizationOf, grantOf, requestOf, tenantOf } from './stage.ts';

const limitedTo = (...scopes: string[]) => ({ keyId: 'key_000000000000000000000001', limit: { scopes } });

describe('a key that is narrowed', () => {
  test('gets by default what it is narrowed to, which is not the whole', async () => {
    const grant = await grantOf({ identity: limitedTo('read:all') });
    expect([grant.scope, grant.whole]).toEqual(['read:all', false]);
  });

  test('to all that its tenant has gets the whole', async () => {
    const narrowed = await grantOf({ identity: limitedTo('write:all', 'read:all', 'read:other') });
    const plain = await grantOf();
    expect([narrowed.scope, narrowed.whole, narrowed.key]).toEqual(['read:all write:all', true, plain.key]);
  });

  test('shares no token with one of more scopes, and shares one with a request for the same', async () => {
    const narrowed = await grantOf({ identity: limitedTo('read:all') });
    expect(narrowed.key).not.toBe((await grantOf()).key);
    expect(narrowed.key).toBe((await grantOf({ request: { scope: 'read:all' } })).key);
  });

  test.each([['write:all'], ['read:all write:all']])('is refused %j beyond it, in the words for what is not granted', async (scope) => {
    const refusal = { code: 'invalid_scope', message: 'Client has not been granted scopes: write:all' };
    await expect(grantOf({ identity: limitedTo('read:all'), request: { scope } })).rejects.toMatchObject(refusal);
    await expect(
      grantOf({ tenant: tenantOf({ grants: [{ api: 'orders', scopes: ['read:all'] }] }), request: { scope } }),
    ).rejects.toMatchObject(refusal);
  });

  test('never gets more than its tenant, whatever it is narrowed to', async () => {
    await expect(grantOf({ identity: limitedTo('read:all', 'admin'), request: { scope: 'admin' } })).rejects.toMatchObject({
      code: 'invalid_scope',
    });
    const less = tenantOf({ grants: [{ api: 'orders', scopes: ['read:all'] }] });
    expect((await grantOf({ tenant: less, identity: limitedTo('read:all', 'write:all') })).scope).toBe('read:all');
  });

  test.each([
    ['the API has none of its scopes', limitedTo('read:other'), {}],
    ['the API has no scopes at all', limitedTo('read:all'), { apis: [apiOf('orders', { scopes: [] })] }],
    ['it is narrowed to nothing', limitedTo(), {}],
  ])('gets no token, not even an empty one, where %s', async (_what, identity, options) => {
    await expect(grantOf({ ...options, identity })).rejects.toMatchObject({ code: 'access_denied', status: 403 });
  });

  test('by any request: what it gets lies within limit and grant', async () => {
    const scope = fc.constantFrom<string>('a', 'b', 'c', 'd', 'e');
    const set = fc.uniqueArray(scope, { minLength: 1 });
    await fc.assert(
      fc.asyncProperty(set, set, fc.option(set, { nil: undefined }), async (limit, granted, asked) => {
        const apis = [apiOf('orders', { scopes: ['a', 'b', 'c', 'd'] })];
        const authorization = authorizationOf({ apis, tenant: tenantOf({ grants: [{ api: 'orders', scopes: granted }] }) });
        const has = granted.filter((one) => one !== 'e');
        const left = has.filter((one) => limit.includes(one)).sort();
        const answer = await Promise.resolve()
          .then(() => authorization.authorize(identityOf(limitedTo(...limit)), requestOf({ audience: ORDERS, scope: asked?.join(' ') })))
          .catch((error: { code: string }) => error.code);
        if (typeof answer !== 'string') {
          expect(answer.scopes).toEqual(asked === undefined ? left : [...asked].sort());
          expect(answer.scopes.every((one) => left.includes(one))).toBe(true);
          expect(answer.whole).toBe(answer.scopes.length === has.length);
        } else expect(answer).toBe(left.length === 0 ? 'access_denied' : 'invalid_scope');
      }),
    );
  });
});
