import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CredentialFile } from '#broker/credential-file.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { OwnAppRole } from '#broker/vault/own/approle.ts';
import { Loopback } from './loopback.ts';

const HOUR = 3_600_000;
let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'postern-life-'))));
afterAll(() => rm(folder, { recursive: true }));

/** A Vault that knows when each secret_id ends, and who may ask. */
async function stage({ wrapped = false, allowed = true } = {}) {
  const ends = new Map<string, { madeAt: number; endsAt: number | undefined }>();
  const asked: unknown[] = [];
  const vault = await Loopback.start(({ url, headers, body }) => {
    const sent = body === '' ? {} : (JSON.parse(body) as Record<string, string>);
    switch (url) {
      case '/v1/auth/approle-broker/login':
        return [200, { auth: { client_token: 'own', lease_duration: 3600, renewable: true, metadata: { role_name: 'broker' } } }];
      case '/v1/auth/token/renew-self':
        return [200, { auth: { client_token: 'own', lease_duration: 3600, renewable: true } }];
      case '/v1/sys/wrapping/unwrap':
        return [200, { data: { secret_id: 'opened' } }];
      case '/v1/auth/approle-broker/role/broker/secret-id/lookup': {
        asked.push(sent);
        if (!allowed || headers['x-vault-token'] !== 'own') return [403, { errors: ['permission denied'] }];
        const found = ends.get(sent['secret_id'] ?? '');
        if (found === undefined) return [204, undefined];
        const { madeAt, endsAt } = found;
        return [
          200,
          {
            data: {
              creation_time: new Date(madeAt).toISOString(),
              expiration_time: endsAt === undefined ? '0001-01-01T00:00:00Z' : new Date(endsAt).toISOString(),
            },
          },
        ];
      }
      default:
        return [404, { errors: [] }];
    }
  });
  const file = join(folder, `${Math.random()}`);
  await writeFile(file, wrapped ? 'hvs.wrapping' : 'first');
  const client = new VaultClient({ address: vault.origin, timeoutMs: 10_000 });
  const login = new OwnAppRole(client, {
    method: 'approle',
    mount: 'approle-broker',
    roleId: 'broker-role',
    secretId: { from: new CredentialFile('POSTERN_SECRET_ID_FILE', file), variable: 'POSTERN_SECRET_ID_FILE', wrapped },
  });
  return {
    ends,
    asked,
    file,
    login,
    async [Symbol.asyncDispose]() {
      await client.close();
      await vault[Symbol.asyncDispose]();
    },
  };
}

describe("the life of the broker's secret_id", () => {
  test('is asked for at a login, with the token that it gave', async () => {
    await using s = await stage();
    s.ends.set('first', { madeAt: Date.now() - HOUR, endsAt: Date.now() + 2 * HOUR });
    expect(s.login.credentialLife).toBeUndefined();
    await s.login.login();
    await expect.poll(() => s.login.credentialLife?.whole).toBeCloseTo(10_800, 0);
    expect(s.login.credentialLife?.remaining).toBeGreaterThan(7_100);
    expect(s.login.credentialLife?.remaining).toBeLessThanOrEqual(7_200);
  });

  test('is that of another one as soon as it lies in the file, without a login', async () => {
    await using s = await stage();
    s.ends.set('first', { madeAt: Date.now() - HOUR, endsAt: Date.now() + 60_000 });
    s.ends.set('second', { madeAt: Date.now(), endsAt: Date.now() + 9 * HOUR });
    await s.login.login();
    await expect.poll(() => s.login.credentialLife?.remaining).toBeLessThan(61);
    await writeFile(s.file, 'second');
    await expect.poll(() => s.login.credentialLife?.remaining).toBeGreaterThan(32_000);
    expect(s.asked).toEqual([{ secret_id: 'first' }, { secret_id: 'second' }]);
  });

  test('is looked at again with each renewal, and is over for one that somebody destroyed', async () => {
    await using s = await stage();
    s.ends.set('first', { madeAt: Date.now() - HOUR, endsAt: Date.now() + 2 * HOUR });
    await s.login.login();
    await expect.poll(() => s.login.credentialLife?.remaining).toBeGreaterThan(7_000);
    s.ends.clear();
    await s.login.renew('own');
    await expect.poll(() => s.login.credentialLife?.remaining).toBe(0);
  });

  test('of one that came out of a wrapping token is looked at by what came out', async () => {
    await using s = await stage({ wrapped: true });
    s.ends.set('opened', { madeAt: Date.now(), endsAt: Date.now() + HOUR });
    await s.login.login();
    await expect.poll(() => s.login.credentialLife?.remaining).toBeGreaterThan(3_500);
    await writeFile(s.file, 'hvs.another-wrapping');
    await s.login.renew('own');
    await expect.poll(() => s.asked.length).toBe(2);
    expect(s.login.credentialLife?.remaining).toBeGreaterThan(3_500);
    expect(s.asked).toEqual([{ secret_id: 'opened' }, { secret_id: 'opened' }]);
  });

  test.each([
    ['it does not end', true],
    ['an older policy forbids to ask', false],
  ])('is not told where %s, and the login goes on', async (_why, allowed) => {
    await using s = await stage({ allowed });
    s.ends.set('first', { madeAt: Date.now(), endsAt: undefined });
    expect((await s.login.login()).token).toBe('own');
    await expect.poll(() => s.asked.length).toBe(1);
    expect(s.login.credentialLife).toBeUndefined();
  });
});
