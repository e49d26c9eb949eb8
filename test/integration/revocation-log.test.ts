import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Revocations } from '#broker/token/revocations.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { Kv } from '#broker/vault/kv.ts';
import { VaultRevocations } from '#broker/vault/revocations.ts';
import type { VaultSession } from '#broker/vault/session.ts';
import { startVault } from '#test/fixture/vault.ts';
import type { VaultFixture } from '#test/fixture/vault.ts';

/* The log of revoked tokens at its bounds, on a real KV v2 mount: what Vault takes in one document, and who loses races. */

let vault: VaultFixture;
let client: VaultClient;
let log: () => VaultRevocations;
let kv: Kv;
const token = () => vault.rootToken;

beforeAll(async () => {
  vault = await startVault();
  client = new VaultClient({ address: vault.address, timeoutMs: 10_000 });
  await client.write('sys/mounts/postern', { type: 'kv', options: { version: '2' } }, { token: token() });
  kv = new Kv(client, 'postern');
  const session = { use: <T>(call: (token: string) => Promise<T>) => call(token()) } as unknown as VaultSession;
  log = () => new VaultRevocations(kv, session);
  // Until the mount is ready, Vault says that it is being upgraded.
  for (let tries = 0; ; tries++) {
    try {
      await log().readRecent();
      break;
    } catch (error) {
      if (tries > 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
});
afterAll(async () => {
  await client.close();
  await vault.stop();
});

const sha = (text: string) => createHash('sha256').update(text).digest('hex');
const exp = Math.floor(Date.now() / 1000) + 3600;

test('200 revocations by three replicas at once: each is either known to all afterwards, or was refused as busy', async () => {
  const replicas = [0, 1, 2].map(() => new Revocations({ log: log(), perMinute: 1_000 }));
  const wanted = Array.from({ length: 200 }, (_, i) => ({ sha256: sha(`t${i}`), tenant: `t${i % 7}`, exp }));
  let busy = 0;
  await Promise.all(
    wanted.map(async (one, i) => {
      const replica = replicas[i % 3]!;
      for (;;) {
        try {
          return expect(await replica.revoke(one)).toBe(true);
        } catch (error) {
          // The client's own repetition, after Retry-After.
          expect(error).toMatchObject({ code: 'temporarily_unavailable', retryAfter: expect.any(Number) });
          busy++;
          await new Promise((resolve) => setTimeout(resolve, 200));
        }
      }
    }),
  );
  const late = new Revocations({ log: log() });
  await Promise.all([late, ...replicas].map((replica) => replica.look()));
  for (const replica of [late, ...replicas]) {
    expect(replica.size).toBe(200);
    expect(wanted.every(({ sha256 }) => replica.has(sha256))).toBe(true);
  }
  const { recent, serial } = await log().readRecent();
  expect(serial).toBe(200);
  expect(recent.length).toBeLessThanOrEqual(128);
  process.stderr.write(`200 revocations by 3 replicas at once: ${busy} were told to come again\n`);
}, 60_000);

test('a shard at its fullest is written and read by Vault, and read at the start of a replica', async () => {
  for (const digit of '0123456789abcdef') {
    const revoked = Object.fromEntries(
      Array.from({ length: 3_900 }, (_, i) => [`${digit}${sha(`${digit}${i}`).slice(1)}`, `${exp} globex`]),
    );
    const { data, version } = await kv.read(`state/revocations/${digit}`, { token: token() });
    await kv.write(`state/revocations/${digit}`, { revoked: { ...(data?.['revoked'] as object | undefined), ...revoked } }, version, {
      token: token(),
    });
  }
  const late = new Revocations({ log: log(), perMinute: 1_000 });
  const begun = performance.now();
  await late.look();
  process.stderr.write(`${late.size} revoked tokens are read in ${(performance.now() - begun).toFixed(0)} ms\n`);
  expect(late.size).toBe(16 * 3_900 + 200);
  const looked = performance.now();
  await late.look();
  process.stderr.write(`the look of each second then takes ${(performance.now() - looked).toFixed(1)} ms\n`);
  // Room for 100 more in each: a round of clearing out passes.
  for (let i = 0; i < 70; i++) await late.revoke({ sha256: sha(`more${i}`), tenant: 'acme', exp });
  expect((await log().readRecent()).serial).toBe(270);
  const again = new Revocations({ log: log() });
  await again.look();
  expect(again.size).toBe(late.size);
}, 60_000);
