import { generateKeyPairSync } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK } from 'jose';
import { describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { TransitKeys, signatureOf } from '#broker/transit/keys.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import type { VaultSession } from '#broker/vault/session.ts';
import { Clock } from '#test/unit/credential/clock.ts';

const pairs = Array.from({ length: 4 }, () => generateKeyPairSync('rsa', { modulusLength: 2048 }));
const publicKeyOf = (i: number) => (pairs[i] as (typeof pairs)[number]).publicKey;
const pemOf = (i: number) => publicKeyOf(i).export({ type: 'spki', format: 'pem' }) as string;
const kidOf = async (i: number) => calculateJwkThumbprint(await exportJWK(publicKeyOf(i)));

const MAX_AGE = 300_000;

/** A transit key in Vault, to be rotated. */
class TransitKey {
  readonly clock = new Clock();
  keys: Record<string, { creation_time: string; public_key: string }> = {};
  minEncryption = 0;
  type = 'rsa-2048';
  reads = 0;
  fault: Error | undefined;
  /** What Vault's answers wait for. */
  gate: Promise<void> = Promise.resolve();

  constructor() {
    this.rotate();
    this.clock.advance(3_600_000);
  }

  rotate(): void {
    const version = Object.keys(this.keys).length + 1;
    this.keys[version] = { creation_time: new Date(this.clock.ms).toISOString(), public_key: pemOf((version - 1) % pairs.length) };
  }

  /** One replica's view of it. */
  replica(jwksMaxAgeMs = MAX_AGE): TransitKeys {
    const session = { use: <T>(call: (token: string) => Promise<T>) => call('own') } as unknown as VaultSession;
    const client = {
      read: async (path: string) => {
        expect(path).toBe('transit/keys/postern');
        this.reads++;
        if (this.fault) throw this.fault;
        const keys = structuredClone(this.keys);
        await this.gate;
        return { data: { type: this.type, min_decryption_version: 1, min_encryption_version: this.minEncryption, keys } };
      },
    } as unknown as VaultClient;
    return new TransitKeys({
      client,
      session,
      mount: 'transit',
      key: 'postern',
      jwksMaxAgeMs,
      now: this.clock.now,
      monotonic: this.clock.monotonic,
    });
  }
}

const versionOf = async (keys: TransitKeys) => (await keys.signing()).version;
const kidsOf = async (keys: TransitKeys) => (await keys.jwks()).keys.map(({ kid }) => kid);

describe('the key set', () => {
  test('is what verifiers need, and nothing private', async () => {
    const { keys } = await new TransitKey().replica().jwks();
    expect(keys).toEqual([{ kty: 'RSA', alg: 'RS256', use: 'sig', kid: await kidOf(0), n: expect.any(String), e: 'AQAB' }]);
  });

  test('is read again as often though the clock was set back', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    expect(keys.known).toBeUndefined();
    await keys.jwks();
    expect(keys.known).toBe(1);
    key.clock.setBack(3_600_000);
    key.clock.advance(60_001);
    await keys.jwks();
    expect(key.reads).toBe(2);
    keys.expire();
    await keys.jwks();
    expect(key.reads).toBe(3);
  });

  test('names each key by its thumbprint: one made anew under the same name has another', async () => {
    const key = new TransitKey();
    const first = await kidsOf(key.replica());
    key.keys = { 1: { creation_time: new Date(key.clock.ms).toISOString(), public_key: pemOf(3) } };
    expect(await kidsOf(key.replica())).toEqual([await kidOf(3)]);
    expect(first).toEqual([await kidOf(0)]);
  });

  test('has every version in number order, also past nine', async () => {
    const key = new TransitKey();
    for (let i = 0; i < 10; i++) key.rotate();
    key.keys[11] = { creation_time: new Date(key.clock.ms).toISOString(), public_key: pemOf(2) };
    const keys = key.replica();
    key.clock.advance(2 * MAX_AGE);
    expect(await versionOf(keys)).toBe(11);
    expect((await kidsOf(keys)).at(-1)).toBe(await kidOf(2));
  });
});

describe('a key that was taken out of use', () => {
  const settled = () => new Promise((resolve) => setImmediate(resolve));

  test('is known as gone within half a minute though nobody reads the set, by one read of Vault', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    const old = await kidOf(0);
    expect(keys.has(old), 'not known yet').toBe(true);
    await keys.jwks();
    key.rotate();
    delete key.keys[1];
    expect(keys.has(old)).toBe(true);
    key.clock.advance(30_001);
    const { reads } = key;
    for (let hit = 0; hit < 1_000; hit++) keys.has(old);
    await expect.poll(() => keys.has(old)).toBe(false);
    expect([keys.has(await kidOf(1)), key.reads - reads]).toEqual([true, 1]);
  });

  test('is not taken for gone while Vault is away, which is asked once a second at most', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    await keys.jwks();
    key.fault = new VaultFault('unavailable', 'away');
    const { reads } = key;
    for (let ms = 0; ms < 60_000; ms += 100) {
      key.clock.advance(100);
      expect(keys.has(await kidOf(0))).toBe(true);
      await settled();
    }
    expect(key.reads - reads).toBeLessThanOrEqual(31);
  });
});

describe('what is published', () => {
  const published = async (keys: TransitKeys) => (await keys.published()).keys.length;

  test('has a version that another replica may sign by in the moment in which Vault has it', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    expect(await published(keys)).toBe(1);
    key.rotate();
    key.clock.advance(101);
    expect(await published(keys)).toBe(2);
    // What is signed and judged here goes by the same look.
    expect(await kidsOf(keys)).toHaveLength(2);
  });

  test('is not what a look has found that began before the question', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    const gate = Promise.withResolvers<void>();
    await keys.jwks();
    key.gate = gate.promise;
    keys.expire();
    const before = keys.jwks();
    await new Promise((resolve) => setImmediate(resolve));
    key.rotate();
    const asked = published(keys);
    gate.resolve();
    expect([(await before).keys.length, await asked]).toEqual([1, 2]);
  });

  test('costs Vault ten looks a second at most, however many ask, and each is answered by one after its question', async () => {
    const key = new TransitKey();
    // The real clock: looks are spaced by it.
    Object.assign(key.clock, { monotonic: () => performance.now() });
    const keys = key.replica();
    const begun = performance.now();
    const { reads } = key;
    let asked = 0;
    while (performance.now() - begun < 550) {
      asked += 50;
      await Promise.all(Array.from({ length: 50 }, () => keys.published()));
    }
    expect(asked).toBeGreaterThanOrEqual(100);
    // A timer may be a millisecond early, by each of the looks.
    expect(key.reads - reads).toBeLessThanOrEqual((performance.now() - begun) / 99 + 1);
  });

  test('while Vault is away is what was known, and Vault is asked once a second', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    await keys.published();
    key.fault = new VaultFault('unavailable', 'away');
    key.clock.advance(101);
    const { reads } = key;
    for (let hit = 0; hit < 1_000; hit++) expect(await published(keys)).toBe(1);
    expect(key.reads - reads).toBe(1);
    key.fault = undefined;
    key.rotate();
    key.clock.advance(1_001);
    expect(await published(keys)).toBe(2);
  });

  test('while Vault hangs is what was known, after a second', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    await keys.published();
    const gate = Promise.withResolvers<void>();
    key.gate = gate.promise;
    key.clock.advance(101);
    expect(await published(keys)).toBe(1);
    gate.resolve();
  });

  test('is nothing before Vault was ever asked', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    key.fault = new VaultFault('unavailable', 'sealed');
    await expect(keys.published()).rejects.toMatchObject({ code: 'temporarily_unavailable' });
    key.fault = undefined;
    expect(await published(keys)).toBe(1);
  });
});

describe('rotation', () => {
  test('a new version is published soon, and signs only when every verifier has it', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    expect(await versionOf(keys)).toBe(1);
    key.rotate();
    const rotatedAt = key.clock.ms;
    const published: number[] = [];
    let signsAt = Number.POSITIVE_INFINITY;
    for (let s = 0; s < 900; s += 5) {
      const ms = key.clock.ms - rotatedAt;
      if ((await keys.jwks()).keys.length === 2) published.push(ms);
      if ((await versionOf(keys)) === 2) signsAt = Math.min(signsAt, ms);
      // The reading in the background.
      await new Promise((resolve) => setImmediate(resolve));
      key.clock.advance(5_000);
    }
    const seenAt = published[0] ?? Number.POSITIVE_INFINITY;
    expect(seenAt).toBeLessThanOrEqual(65_000);
    // A verifier that fetched just before keeps the old set for its age.
    expect(signsAt).toBeGreaterThanOrEqual(seenAt + MAX_AGE - 65_000 + 65_000);
    expect(signsAt).toBeGreaterThanOrEqual(2 * MAX_AGE);
    expect(signsAt).toBeLessThan(2 * MAX_AGE + 65_000);
    expect((await keys.jwks()).keys).toHaveLength(2);
  });

  test('several at once: never one that is not published long enough', async () => {
    const key = new TransitKey();
    key.rotate();
    key.clock.advance(MAX_AGE);
    key.rotate();
    expect(await versionOf(key.replica())).toBe(1);
    key.clock.advance(MAX_AGE);
    expect(await versionOf(key.replica())).toBe(2);
    key.clock.advance(MAX_AGE - 1);
    expect(await versionOf(key.replica())).toBe(2);
    key.clock.advance(1);
    expect(await versionOf(key.replica())).toBe(3);
  });

  test('every replica finds the same version, without talking', async () => {
    const key = new TransitKey();
    key.rotate();
    key.clock.advance(2 * MAX_AGE - 1);
    expect(await Promise.all([key.replica(), key.replica(), key.replica()].map(versionOf))).toEqual([1, 1, 1]);
    key.clock.advance(1);
    expect(await Promise.all([key.replica(), key.replica(), key.replica()].map(versionOf))).toEqual([2, 2, 2]);
  });

  test('the very first key signs at once: there is no other', async () => {
    const key = new TransitKey();
    key.clock.ms = Date.parse(key.keys['1']?.creation_time ?? '');
    expect(await versionOf(key.replica())).toBe(1);
  });

  test('an operator who must not wait raises min_encryption_version', async () => {
    const key = new TransitKey();
    key.rotate();
    key.minEncryption = 2;
    expect(await versionOf(key.replica())).toBe(2);
    // The old one verifies on.
    expect((await key.replica().jwks()).keys).toHaveLength(2);
  });

  test('min_encryption_version 0 means all', async () => {
    const key = new TransitKey();
    key.minEncryption = 0;
    expect(await versionOf(key.replica())).toBe(1);
  });

  test('no version that may sign: told to the operator', async () => {
    const key = new TransitKey();
    key.minEncryption = 2;
    await expect(key.replica().signing()).rejects.toMatchObject({ code: 'misconfigured' });
  });
});

describe('reading', () => {
  test('once for a thousand that come at once, and not again while it is fresh', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    await Promise.all(Array.from({ length: 1000 }, () => keys.jwks()));
    key.clock.advance(30_000);
    await keys.signing();
    expect(key.reads).toBe(1);
  });

  test('in the background when it is a little old, before answering when it is older', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    await keys.jwks();
    key.rotate();
    key.clock.advance(45_000);
    expect((await keys.jwks()).keys).toHaveLength(1);
    await expect.poll(async () => (await keys.jwks()).keys.length, { interval: 5 }).toBe(2);
    key.rotate();
    key.clock.advance(61_000);
    expect((await keys.jwks()).keys).toHaveLength(3);
  });

  test('a forced look sees what is new', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    await keys.jwks();
    key.rotate();
    keys.expire();
    expect((await keys.jwks()).keys).toHaveLength(2);
  });

  test('while Vault is away the old keys are served: they verify still', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    await keys.jwks();
    key.fault = new VaultFault('unavailable', 'sealed');
    key.clock.advance(86_400_000);
    expect((await keys.jwks()).keys).toHaveLength(1);
    expect(await versionOf(keys)).toBe(1);
  });

  test('while Vault hangs who signs waits once, and Vault is asked once a second; answered, it counts at once', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    await keys.jwks();
    const hangs = Promise.withResolvers<void>();
    key.gate = hangs.promise;
    key.clock.advance(3_600_000);
    const first = versionOf(keys);
    key.clock.advance(2_000);
    hangs.reject(new VaultFault('timeout', 'late'));
    expect(await first).toBe(1);
    const { reads } = key;
    // What is asked from now on is never answered.
    key.gate = new Promise(() => {});
    key.clock.advance(1_001);
    for (let hit = 0; hit < 100; hit++) expect(await versionOf(keys)).toBe(1);
    expect(key.reads - reads).toBe(1);
  });

  test.each<[string, (key: TransitKey) => void]>([
    ['is no RSA key', (key) => (key.type = 'aes256-gcm96')],
    ['has a version that is no key', (key) => (key.keys['1']!.public_key = 'not a PEM')],
    ['has a version of no time', (key) => (key.keys['1']!.creation_time = 'yesterday')],
  ])('what %s leaves the known ones in use, and is read once a second, behind who asks', async (_what, spoil) => {
    const key = new TransitKey();
    const keys = key.replica();
    await keys.jwks();
    const known = structuredClone(key.keys);
    spoil(key);
    key.clock.advance(61_000);
    await keys.signing();
    const { reads } = key;
    for (let asked = 0; asked < 100; asked++) {
      expect(await versionOf(keys)).toBe(1);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(key.reads - reads).toBeLessThanOrEqual(1);
    Object.assign(key, { type: 'rsa-2048', keys: known });
    key.rotate();
    key.clock.advance(1_001);
    await keys.signing();
    await expect.poll(() => keys.known).toBe(2);
  });

  test('that could not be read is read by whoever comes next where a version was retired', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    await keys.jwks();
    key.fault = new VaultFault('unavailable', 'sealed');
    key.clock.advance(3_600_000);
    await keys.jwks();
    key.fault = undefined;
    key.rotate();
    key.minEncryption = 2;
    keys.expire();
    expect(await versionOf(keys)).toBe(2);
  });

  test('while Vault is away from the start: 503, then as if nothing was', async () => {
    const key = new TransitKey();
    const keys = key.replica();
    key.fault = new VaultFault('unavailable', 'sealed');
    await expect(keys.jwks()).rejects.toMatchObject({ code: 'temporarily_unavailable', retryAfter: 1 });
    key.fault = undefined;
    expect((await keys.jwks()).keys).toHaveLength(1);
  });

  test.each<[string, (key: TransitKey) => void]>([
    ['a key that is not an RSA key', (key) => (key.type = 'ecdsa-p256')],
    ['a key that is symmetric', (key) => (key.keys = { 1: 1_700_000_000 as never })],
    ['no key', (key) => (key.keys = undefined as never)],
  ])('%s: told to the operator', async (_what, set) => {
    const key = new TransitKey();
    set(key);
    const error: unknown = await key
      .replica()
      .jwks()
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(PosternError);
    expect(error).toMatchObject({ code: 'misconfigured', message: 'Service temporarily unavailable' });
  });
});

describe('a signature', () => {
  test('of the version asked for', () => {
    expect(signatureOf({ signature: 'vault:v12:abc-_' }, 12)).toBe('abc-_');
  });

  test.each([
    undefined,
    null,
    {},
    { signature: 7 },
    { signature: 'vault:v1:abc' },
    { signature: 'vault:v120:abc' },
    { signature: 'abc' },
    { signature: '' },
  ])('%j is not a key of version 12', (data) => {
    expect(() => signatureOf(data as never, 12)).toThrow(VaultFault);
  });
});
