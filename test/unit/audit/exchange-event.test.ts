import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { granted, refused } from '#broker/audit/exchange-event.ts';
import type { Attempt } from '#broker/audit/exchange-event.ts';
import { PosternError } from '#broker/error.ts';
import { Token } from '#broker/token/token.ts';
import type { Served, ServedFrom } from '#broker/token/cache.ts';
import { grantOf, tenantOf } from '#test/unit/authorization/stage.ts';
import { identityOf } from '#test/unit/credential/identity.ts';

const JWT = 'eyJ.canary.sig';
const GRANT = await grantOf({ tenant: tenantOf({ organization: 'org_acme' }) });
const servedFrom = (from: ServedFrom): Served => ({ token: new Token(JWT, 'read:all', 1000, 2000), from, grant: GRANT });
const parse = (line: string) => JSON.parse(line) as Record<string, unknown>;

async function attemptOf(over: Partial<Attempt> = {}): Promise<Attempt> {
  const grant = GRANT;
  return {
    clientId: 'acme-role-id',
    audience: grant.audience,
    trace: { identity: identityOf(), grant },
    address: '192.0.2.1',
    requestId: 'request-1',
    startedAt: performance.now(),
    ...over,
  };
}

describe('granted', () => {
  test.each<[ServedFrom, string]>([
    ['memory', 'memory'],
    ['store', 'store'],
    ['source', 'transit'],
  ])('from %s', async (from, source) => {
    const line = granted(await attemptOf(), servedFrom(from), 42);
    expect(parse(line)).toMatchObject({
      outcome: 'granted',
      source,
      expires_in: 42,
      organization: 'org_acme',
      token_sha256: createHash('sha256').update(JWT).digest('hex'),
    });
    expect(line).not.toContain('canary');
    expect(line.endsWith('}\n')).toBe(true);
  });

  test.each(['"', '\\', '\n', '\u0000', 'ä', '\u2028', '\ud800', '</script>'])(
    '%j in an organization and a scope is written as JSON does',
    async (odd) => {
      const organization = `org${odd}x`;
      const grant = await grantOf({ tenant: tenantOf({ organization }) });
      const token = new Token(JWT, `read${odd}all`, 1000, 2000);
      expect(parse(granted(await attemptOf(), { token, from: 'memory', grant }, 42))).toMatchObject({
        organization,
        scope: `read${odd}all`,
      });
    },
  );

  test('the same token to another address, later: only that changes', async () => {
    const served = servedFrom('memory');
    const first = parse(granted(await attemptOf(), served, 42));
    const second = parse(granted(await attemptOf({ address: '2001:db8::1' }), served, 41));
    expect(second).toEqual({ ...first, address: '2001:db8::1', expires_in: 41, ms: expect.any(Number), time: expect.any(String) });
  });

  test('two keys that share a token are told apart, and a credential other than a key names none', async () => {
    const served = servedFrom('memory');
    const attempt = await attemptOf();
    const by = (keyId: string | undefined) =>
      parse(granted({ ...attempt, trace: { ...attempt.trace, identity: identityOf({ keyId }) } }, served, 42))['key_id'];
    expect(['key_000000000000000000000001', undefined, 'key_000000000000000000000002'].map(by)).toEqual([
      'key_000000000000000000000001',
      undefined,
      'key_000000000000000000000002',
    ]);
    expect(
      parse(
        refused(
          { ...attempt, trace: { identity: identityOf({ keyId: 'key_000000000000000000000001' }) } },
          new PosternError('invalid_scope', 'x'),
        ),
      ),
    ).toMatchObject({ key_id: 'key_000000000000000000000001' });
  });

  test("two tenants' tokens never share a line's text", async () => {
    const globex = await grantOf({ identity: { tenant: 'globex', clientId: 'globex-role-id' } });
    const acme = parse(granted(await attemptOf(), servedFrom('memory'), 1));
    const other = parse(
      granted(await attemptOf({ trace: { identity: identityOf({ tenant: 'globex' }) } }), { ...servedFrom('memory'), grant: globex }, 1),
    );
    expect([acme['tenant'], other['tenant'], other['client_id']]).toEqual(['acme', 'globex', 'globex-role-id']);
  });

  test('time moves on from line to line', async () => {
    const attempt = await attemptOf();
    const served = servedFrom('memory');
    const before = Date.now();
    const first = Date.parse(String(parse(granted(attempt, served, 1))['time']));
    await new Promise((resolve) => setTimeout(resolve, 15));
    const second = Date.parse(String(parse(granted(attempt, served, 1))['time']));
    expect(first).toBeGreaterThanOrEqual(before);
    expect(second).toBeGreaterThan(first);
  });
});

describe('refused', () => {
  test('nobody verified: neither client_id nor what it wanted is repeated', async () => {
    const line = refused(
      await attemptOf({ clientId: 'canary-in-the-wrong-field', audience: 'canary-audience', trace: {} }),
      new PosternError('invalid_client', 'Unauthorized', { detail: 'canary-detail' }),
    );
    expect(line).not.toContain('canary');
    expect(parse(line)).toMatchObject({
      outcome: 'refused',
      error: 'invalid_client',
      client_id_sha256: createHash('sha256').update('canary-in-the-wrong-field').digest('hex'),
    });
  });

  test('no client_id at all', async () => {
    const event = parse(refused(await attemptOf({ clientId: undefined, trace: {} }), new PosternError('invalid_request', 'x')));
    expect(event).not.toHaveProperty('client_id');
    expect(event).not.toHaveProperty('client_id_sha256');
  });

  test("a client's text cannot begin a new line or end the object", async () => {
    const line = refused(
      await attemptOf({ audience: 'x"}\n{"event":"token.exchange","outcome":"granted"}', trace: { identity: identityOf() } }),
      new PosternError('access_denied', 'x'),
    );
    expect(line.trimEnd()).not.toContain('\n');
    expect(parse(line)).toMatchObject({ outcome: 'refused', tenant: 'acme' });
  });

  test.each([new Error('canary'), 'canary', undefined, { message: 'canary' }])('a fault of our own is "internal"', async (error) => {
    const line = refused(await attemptOf(), error);
    expect(parse(line)['error']).toBe('internal');
    expect(line).not.toContain('canary');
  });
});
