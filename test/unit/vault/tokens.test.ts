import { describe, expect, test } from 'vitest';
import { Token } from '#broker/token/token.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { VaultTokens } from '#broker/vault/tokens.ts';
import { grantOf, tenantOf } from '#test/unit/authorization/stage.ts';
import { identityOf } from '#test/unit/credential/identity.ts';
import { KvFixture } from './kv-fixture.ts';

const ACME = identityOf({ forwardedFor: '192.0.2.7' });
const JWT = 'eyJ.canary.sig';
const token = () => new Token(JWT, 'read:all', 1_800_000_000, 1_800_003_600);
const lease = { holder: 'replica-1', until: 1_800_000_000_000, paused: false };
const PLACE = 'postern-tokens/data/acme/orders';

function stage() {
  const fixture = new KvFixture('postern-tokens');
  return { fixture, tokens: new VaultTokens(fixture.kv, fixture.session) };
}

describe('who asks Vault', () => {
  test("reading is done with the tenant's own token, writing with the broker's", async () => {
    const { fixture, tokens } = stage();
    const grant = await grantOf();
    await tokens.write(grant, token(), undefined, 0);
    await tokens.read(grant, ACME.token, ACME.forwardedFor);
    await tokens.readEarly('acme', 'orders', ACME);
    expect(fixture.calls.map(({ data: _data, ...call }) => call)).toEqual([
      { operation: 'write', path: PLACE, token: 'own', forwardedFor: undefined },
      { operation: 'read', path: PLACE, token: 'hvb.acme', forwardedFor: '192.0.2.7' },
      { operation: 'read', path: PLACE, token: 'hvb.acme', forwardedFor: '192.0.2.7' },
    ]);
  });

  test('a narrower token lies below, under its digest, so that an Agent reads only the whole one', async () => {
    const { fixture, tokens } = stage();
    const narrow = await grantOf({ request: { scope: 'read:all' } });
    await tokens.write(narrow, token(), undefined, 0);
    expect([...fixture.documents.keys()]).toEqual([`${PLACE}/${narrow.digest}`]);
  });
});

describe('what lies there', () => {
  test('comes back as it was written, with the version that a check-and-set names', async () => {
    const { tokens } = stage();
    const grant = await grantOf();
    expect(await tokens.read(grant, ACME.token, undefined)).toEqual({ token: undefined, lease: undefined, version: 0 });
    expect(await tokens.write(grant, undefined, lease, 0)).toBe(1);
    expect(await tokens.read(grant, ACME.token, undefined)).toEqual({ token: undefined, lease, version: 1 });
    expect(await tokens.write(grant, token(), undefined, 1)).toBe(2);
    const stored = await tokens.read(grant, ACME.token, undefined);
    expect(stored).toMatchObject({
      lease: undefined,
      version: 2,
      token: { scope: 'read:all', issuedAt: 1_800_000_000, expiresAt: 1_800_003_600 },
    });
    expect(stored.token?.reveal()).toBe(JWT);
  });

  test("is what a Vault Agent's template expects", async () => {
    const { fixture, tokens } = stage();
    await tokens.write(await grantOf(), token(), undefined, 0);
    expect(fixture.documents.get(PLACE)?.data).toEqual({
      grant: (await grantOf()).digest,
      access_token: JWT,
      token_type: 'Bearer',
      scope: 'read:all',
      issued_at: 1_800_000_000,
      expires_at: 1_800_003_600,
    });
  });

  test('of another grant is not an answer, and can be overwritten', async () => {
    const { tokens } = stage();
    const silver = await grantOf({ tenant: tenantOf({ claims: { 'https://e.com/plan': 'silver' } }) });
    const gold = await grantOf({ tenant: tenantOf({ claims: { 'https://e.com/plan': 'gold' } }) });
    await tokens.write(silver, token(), lease, 0);
    expect(await tokens.read(gold, ACME.token, undefined)).toEqual({ token: undefined, lease: undefined, version: 1 });
    expect((await tokens.readEarly('acme', 'orders', ACME))(gold)).toEqual({ token: undefined, lease: undefined, version: 1 });
    expect((await tokens.readEarly('acme', 'orders', ACME))(silver).token?.reveal()).toBe(JWT);
    expect(await tokens.write(gold, token(), undefined, 1)).toBe(2);
  });

  test.each<[string, (digest: string) => unknown]>([
    ['nothing', () => null],
    ['a string', () => 'x'],
    ['no grant', () => ({ access_token: JWT, scope: '', issued_at: 1, expires_at: 2 })],
    ['half a token', (grant) => ({ grant, access_token: JWT, scope: '' })],
    ['a token that is not a string', (grant) => ({ grant, access_token: { a: 1 }, scope: '', issued_at: 1, expires_at: 2 })],
    ['an end in words', (grant) => ({ grant, access_token: JWT, scope: '', issued_at: 1, expires_at: 'never' })],
    ['another type of token', (grant) => ({ grant, access_token: JWT, token_type: 'mac', scope: '', issued_at: 1, expires_at: 2 })],
    ['a lease without an end', (grant) => ({ grant, lease: { holder: 'x' } })],
  ])('torn or foreign (%s) counts as no token, and can be overwritten', async (_what, data) => {
    const { fixture, tokens } = stage();
    const grant = await grantOf();
    fixture.set(PLACE, data(grant.digest));
    expect(await tokens.read(grant, ACME.token, undefined)).toEqual({ token: undefined, lease: undefined, version: 1 });
    expect(await tokens.write(grant, token(), undefined, 1)).toBe(2);
  });
});

describe('faults', () => {
  test('somebody was faster: undefined, and nothing is overwritten', async () => {
    const { fixture, tokens } = stage();
    const grant = await grantOf();
    await tokens.write(grant, undefined, lease, 0);
    expect(await tokens.write(grant, token(), undefined, 0)).toBeUndefined();
    expect(fixture.documents.get(PLACE)?.version).toBe(1);
  });

  test.each(['unreachable', 'timeout', 'unavailable', 'throttled', 'denied', 'not_found'] as const)(
    '%s: 503 for reading and writing',
    async (reason) => {
      const { fixture, tokens } = stage();
      const grant = await grantOf();
      fixture.fault = new VaultFault(reason, 'x', { retryAfter: 4 });
      for (const run of [
        () => tokens.read(grant, ACME.token, undefined),
        () => tokens.readEarly('acme', 'orders', ACME),
        () => tokens.write(grant, token(), undefined, 0),
      ]) {
        await expect(run()).rejects.toMatchObject({ code: 'temporarily_unavailable', retryAfter: 4 });
      }
    },
  );
});

describe('a revoked token is taken out', () => {
  const sha256 = token().sha256;

  test(
    'of the place for all scopes and of the narrower ones, read as the tenant, written as the broker; the ' +
      'lease of whoever fetches the next stays',
    async () => {
      const { fixture, tokens } = stage();
      const [whole, narrow] = [await grantOf(), await grantOf({ request: { scope: 'read:all' } })];
      await tokens.write(whole, token(), lease, 0);
      await tokens.write(narrow, token(), undefined, 0);
      fixture.calls.length = 0;
      expect(await tokens.discard(sha256, { api: 'orders', digests: [whole.digest, narrow.digest] }, ACME)).toBe(2);
      expect(await tokens.read(whole, ACME.token, undefined)).toEqual({ token: undefined, lease, version: 2 });
      expect(JSON.stringify([...fixture.documents])).not.toContain(JWT);
      expect(new Set(fixture.calls.map(({ operation, token: as }) => `${operation} ${as}`))).toEqual(
        new Set(['read hvb.acme', 'write own']),
      );
    },
  );

  test('and another one in its place stays', async () => {
    const { fixture, tokens } = stage();
    await tokens.write(await grantOf(), new Token('another', 'read:all', 1_800_000_000, 1_800_003_600), undefined, 0);
    fixture.calls.length = 0;
    expect(await tokens.discard(sha256, { api: 'orders', digests: [] }, ACME)).toBe(0);
    expect(fixture.calls.map(({ operation }) => operation)).toEqual(['read']);
  });

  test('though somebody writes the place meanwhile', async () => {
    const { fixture, tokens } = stage();
    const grant = await grantOf();
    await tokens.write(grant, token(), undefined, 0);
    const read = fixture.session.use.bind(fixture.session);
    let raced = false;
    (fixture.session as { use: typeof read }).use = async (call) => {
      if (!raced) {
        raced = true;
        fixture.set(PLACE, { ...(fixture.documents.get(PLACE)?.data as object), lease });
      }
      return read(call);
    };
    expect(await tokens.discard(sha256, { api: 'orders', digests: [] }, ACME)).toBe(1);
    expect(await tokens.read(grant, ACME.token, undefined)).toEqual({ token: undefined, lease, version: 3 });
  });

  test('or it is told that this could not be done', async () => {
    const { fixture, tokens } = stage();
    fixture.fault = new VaultFault('unavailable', 'sealed');
    await expect(tokens.discard(sha256, { api: 'orders', digests: [] }, ACME)).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  });
});
