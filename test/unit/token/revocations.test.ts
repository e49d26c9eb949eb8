import { describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { MAX_PER_TENANT, Revocations } from '#broker/token/revocations.ts';
import type { RevocationsOptions } from '#broker/token/revocations.ts';
import { Clock } from '#test/unit/credential/clock.ts';
import { MemoryLog } from './memory-log.ts';

const sha = (n: number) => n.toString(16).padStart(64, '0');

function stage(options: Partial<RevocationsOptions> = {}) {
  const clock = new Clock();
  const log = new MemoryLog();
  const replica = () => new Revocations({ log, now: clock.now, monotonic: clock.monotonic, ...options });
  const end = () => Math.floor(clock.now() / 1000) + 3600;
  const tokenOf = (n: number, tenant = 'acme', exp = end()) => ({ sha256: sha(n), tenant, exp });
  return { clock, log, replica, tokenOf, revocations: replica() };
}

const away = () => {
  throw new PosternError('temporarily_unavailable', 'away', { retryAfter: 1 });
};

/** What Vault's adapter makes of a Vault that doesn't answer. */
const unasked = () => {
  throw new PosternError('temporarily_unavailable', 'away', { retryAfter: 1, unasked: 'unanswered' });
};

describe('a revocation that Vault is away for', () => {
  test.each(['recent', 'append'] as const)('is refused, obeyed here at once, and written when Vault answers (%s fails)', async (broken) => {
    const { log, replica, revocations, tokenOf } = stage();
    const other = replica();
    await Promise.all([revocations.look(), other.look()]);
    log.before = (operation) => (operation === broken ? unasked() : undefined);
    await expect(revocations.revoke(tokenOf(1))).rejects.toThrow('away');
    expect([revocations.has(sha(1)), other.has(sha(1)), revocations.size]).toEqual([true, false, 1]);
    log.before = () => {};
    await revocations.look();
    await expect.poll(() => log.recent.map(({ sha256 }) => sha256)).toEqual([sha(1)]);
    await other.look();
    expect([revocations.has(sha(1)), other.has(sha(1)), revocations.size]).toEqual([true, true, 1]);
    await other.look();
    // Each is heard of once, so that what was stored lately is looked through again.
    expect([revocations.heard, other.heard]).toEqual([1, 1]);
  });

  test('is written by the same call again, too, and once', async () => {
    const { log, revocations, tokenOf } = stage({ perMinute: 1 });
    log.before = unasked;
    await expect(revocations.revoke(tokenOf(1))).rejects.toThrow('away');
    await expect(revocations.revoke(tokenOf(1))).rejects.toThrow('away');
    log.before = () => {};
    expect(await revocations.revoke(tokenOf(1))).toBe(true);
    expect(await revocations.revoke(tokenOf(1))).toBe(false);
    await revocations.look();
    expect([log.appends, revocations.size]).toEqual([1, 1]);
  });

  test('counts for the limit of its tenant, and is told when it is written', async () => {
    const written: string[] = [];
    const { clock, log, tokenOf } = stage();
    const revocations = new Revocations({
      log,
      now: clock.now,
      monotonic: clock.monotonic,
      perMinute: 2,
      onWritten: ({ sha256, tenant }) => written.push(`${tenant} ${sha256}`),
    });
    log.before = unasked;
    for (const n of [1, 2]) await expect(revocations.revoke(tokenOf(n))).rejects.toThrow('away');
    await expect(revocations.revoke(tokenOf(3))).rejects.toMatchObject({ code: 'too_many_requests' });
    expect(revocations.has(sha(3))).toBe(false);
    log.before = () => {};
    await revocations.look();
    await expect.poll(() => written).toEqual([`acme ${sha(1)}`, `acme ${sha(2)}`]);
    expect(log.recent).toHaveLength(2);
  });

  test('is not written where another replica did it meanwhile', async () => {
    const { log, replica, revocations, tokenOf } = stage();
    log.before = unasked;
    await expect(revocations.revoke(tokenOf(1))).rejects.toThrow('away');
    log.before = () => {};
    await replica().revoke(tokenOf(1));
    await revocations.look();
    expect([log.appends, revocations.size]).toEqual([1, 1]);
  });

  test('does not hold up another whose shard is not full', async () => {
    const { log, revocations, tokenOf } = stage();
    log.before = unasked;
    for (const n of [1, 2]) await expect(revocations.revoke(tokenOf(n))).rejects.toThrow('away');
    let appends = 0;
    log.before = (operation) => (operation === 'append' && ++appends === 1 ? away() : undefined);
    await revocations.look();
    await expect.poll(() => log.recent.map(({ sha256 }) => sha256)).toEqual([sha(2)]);
    await revocations.look();
    await expect.poll(() => log.recent.map(({ sha256 }) => sha256)).toEqual([sha(2), sha(1)]);
  });

  test('is forgotten once its token has ended', async () => {
    const { clock, log, revocations, tokenOf } = stage();
    log.before = unasked;
    await expect(revocations.revoke(tokenOf(1))).rejects.toThrow('away');
    log.before = (operation) => (operation === 'append' ? unasked() : undefined);
    clock.advance(3_600_000 + 61_000);
    await revocations.look();
    expect(revocations.size).toBe(0);
  });
});

describe('a revocation', () => {
  test('made before a clock was set back does not count as a late one', async () => {
    const { clock, revocations, tokenOf } = stage({ perMinute: 1 });
    expect(await revocations.revoke(tokenOf(1))).toBe(true);
    clock.setBack(3_600_000);
    expect(await revocations.revoke(tokenOf(2))).toBe(true);
  });

  test('holds here at once, and on every other replica from its next look on', async () => {
    const { replica, revocations, tokenOf } = stage();
    const other = replica();
    await Promise.all([revocations.look(), other.look()]);
    expect(await revocations.revoke(tokenOf(1))).toBe(true);
    expect([revocations.has(sha(1)), other.has(sha(1)), revocations.has(sha(2))]).toEqual([true, false, false]);
    await other.look();
    expect([other.has(sha(1)), other.has(sha(2))]).toEqual([true, false]);
  });

  test('is known to a replica that starts later, from its first look on', async () => {
    const { replica, revocations, tokenOf } = stage();
    await revocations.revoke(tokenOf(1));
    const late = replica();
    expect(late.has(sha(1))).toBe(false);
    await late.look();
    expect(late.has(sha(1))).toBe(true);
  });

  test('of a token that is revoked already writes nothing, though another replica did it', async () => {
    const { log, replica, revocations, tokenOf } = stage();
    await revocations.revoke(tokenOf(1));
    expect(await revocations.revoke(tokenOf(1))).toBe(false);
    expect(await replica().revoke(tokenOf(1))).toBe(false);
    expect(log.appends).toBe(1);
  });

  test('that cannot be written is refused and not half done, and the same call again does it', async () => {
    const { log, replica, revocations, tokenOf } = stage();
    await revocations.look();
    for (const broken of ['recent', 'append'] as const) {
      log.before = (operation) => (operation === broken ? away() : undefined);
      await expect(revocations.revoke(tokenOf(1))).rejects.toMatchObject({ code: 'temporarily_unavailable' });
      expect(revocations.has(sha(1))).toBe(false);
    }
    log.before = () => {};
    const other = replica();
    await other.look();
    expect(other.has(sha(1))).toBe(false);
    expect(await revocations.revoke(tokenOf(1))).toBe(true);
    await other.look();
    expect(other.has(sha(1))).toBe(true);
  });

  test('whose answer was lost is found on the next call', async () => {
    const { log, revocations, tokenOf } = stage();
    const append = log.append.bind(log);
    log.append = async (...args) => {
      await append(...args);
      log.append = append;
      return away();
    };
    await expect(revocations.revoke(tokenOf(1))).rejects.toMatchObject({ code: 'temporarily_unavailable' });
    expect(await revocations.revoke(tokenOf(1))).toBe(false);
    expect([revocations.has(sha(1)), log.serial]).toEqual([true, 1]);
  });

  test('by many replicas at once: none is lost', async () => {
    const { log, replica, tokenOf } = stage({ perMinute: 1000 });
    const replicas = Array.from({ length: 4 }, replica);
    const done = await Promise.allSettled(
      replicas.flatMap((one, r) => Array.from({ length: 10 }, (_, i) => one.revoke(tokenOf(r * 100 + i, `t${r}`)))),
    );
    const kept = done.flatMap(({ status }, at) => (status === 'fulfilled' ? [sha(Math.floor(at / 10) * 100 + (at % 10))] : []));
    // A lost race is tried again; one that lost them all was told so.
    for (const one of done)
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'temporarily_unavailable', retryAfter: 1 });
    expect(kept.length).toBeGreaterThan(30);
    expect(log.recent.map(({ sha256 }) => sha256).sort()).toEqual(kept.sort());
    const late = replica();
    await late.look();
    expect(kept.every((one) => late.has(one))).toBe(true);
  });
});

describe('looking', () => {
  test('reads one document where nothing was missed, and the archive at the start only where there is one', async () => {
    const { log, revocations, tokenOf, replica } = stage();
    const other = replica();
    await other.look();
    for (let i = 0; i < 5; i++) {
      await revocations.revoke(tokenOf(i));
      await other.look();
    }
    expect([log.archiveReads, other.size]).toEqual([0, 5]);
    log.keep = 2;
    await revocations.revoke(tokenOf(5));
    await other.look();
    expect([log.archiveReads, other.size]).toEqual([0, 6]);
    const late = replica();
    await late.look();
    expect([log.archiveReads, late.size]).toEqual([1, 6]);
  });

  test('what was moved to the archive before it was seen is found there', async () => {
    const { log, replica, revocations, tokenOf } = stage();
    log.keep = 2;
    const other = replica();
    await other.look();
    for (let i = 0; i < 7; i++) await revocations.revoke(tokenOf(i));
    expect(other.size).toBe(0);
    await other.look();
    expect(Array.from({ length: 7 }, (_, i) => other.has(sha(i)))).toEqual(Array.from({ length: 7 }, () => true));
  });

  test('an archive that could not be read is read at the next look, and the look said so', async () => {
    const { log, replica, revocations, tokenOf } = stage();
    log.keep = 1;
    for (let i = 0; i < 3; i++) await revocations.revoke(tokenOf(i));
    const late = replica();
    log.before = (operation) => (operation === 'archive' ? away() : undefined);
    await expect(late.look()).rejects.toMatchObject({ code: 'temporarily_unavailable' });
    log.before = () => {};
    await late.look();
    expect(late.size).toBe(3);
  });

  test('a log that was deleted or restored from an older version takes nothing back', async () => {
    const { log, replica, revocations, tokenOf } = stage();
    const other = replica();
    for (let i = 0; i < 3; i++) await revocations.revoke(tokenOf(i));
    await other.look();
    [log.serial, log.recent] = [0, []];
    await other.look();
    expect(other.size).toBe(3);
    await revocations.revoke(tokenOf(9));
    await other.look();
    expect([other.has(sha(0)), other.has(sha(9))]).toEqual([true, true]);
  });

  test('forgets a token when no clock takes it for alive any more', async () => {
    const { clock, revocations, tokenOf } = stage();
    await revocations.look();
    await revocations.revoke(tokenOf(1));
    clock.advance((3600 + 59) * 1000);
    await revocations.look();
    expect(revocations.has(sha(1))).toBe(true);
    // The log still holds it, until somebody writes: it is forgotten all the same.
    clock.advance(62_000);
    await revocations.look();
    expect(revocations.size).toBe(0);
  });
});

describe('one tenant may not revoke as it likes, for each costs a new token', () => {
  test('10 a minute, counted over all replicas; then it is told when to come again, and Vault is not asked', async () => {
    const { clock, log, replica, revocations, tokenOf } = stage();
    const other = replica();
    for (let i = 0; i < 10; i++) {
      expect(await (i % 2 ? revocations : other).revoke(tokenOf(i))).toBe(true);
      clock.advance(1000);
    }
    await expect(revocations.revoke(tokenOf(10))).rejects.toMatchObject({ code: 'too_many_requests', status: 429, retryAfter: 50 });
    await other.look();
    const { reads } = log;
    await expect(other.revoke(tokenOf(10))).rejects.toMatchObject({ code: 'too_many_requests' });
    expect(log.reads).toBe(reads);
    // Its neighbour goes on, and so does what is revoked already.
    expect(await other.revoke(tokenOf(11, 'globex'))).toBe(true);
    expect(await other.revoke(tokenOf(3))).toBe(false);
    clock.advance(50_000);
    expect(await revocations.revoke(tokenOf(10))).toBe(true);
    await expect(revocations.revoke(tokenOf(12))).rejects.toMatchObject({ retryAfter: 1 });
  });

  test('a replica that has not heard of the others yet finds out before it writes', async () => {
    const { log, replica, revocations, tokenOf } = stage({ perMinute: 3 });
    const late = replica();
    await late.look();
    for (let i = 0; i < 3; i++) await revocations.revoke(tokenOf(i));
    await expect(late.revoke(tokenOf(3))).rejects.toMatchObject({ code: 'too_many_requests' });
    expect(log.serial).toBe(3);
  });

  test('1,000 that have not ended yet', async () => {
    const { clock, log, revocations, tokenOf } = stage({ perMinute: 100_000 });
    const exp = tokenOf(0).exp;
    log.recent = Array.from({ length: MAX_PER_TENANT }, (_, i) => ({ ...tokenOf(i), exp: exp + i, at: 0 }));
    log.serial = MAX_PER_TENANT;
    await revocations.look();
    await expect(revocations.revoke(tokenOf(5000))).rejects.toMatchObject({ code: 'too_many_requests', retryAfter: 3600 });
    expect(await revocations.revoke(tokenOf(5001, 'globex'))).toBe(true);
    clock.advance(3600_000);
    expect(await revocations.revoke(tokenOf(5000))).toBe(true);
  });
});

describe('many at once', () => {
  test('of one token are one, and the line is left to others', async () => {
    const { log, revocations, tokenOf } = stage();
    const same = Array.from({ length: 300 }, () => revocations.revoke(tokenOf(1)));
    const other = revocations.revoke(tokenOf(2, 'globex'));
    expect((await Promise.all(same)).filter((done) => done)).toHaveLength(1);
    expect(await other).toBe(true);
    expect(log.appends).toBe(2);
  });

  test('of one tenant are no more in the line than it may have in a minute', async () => {
    const { revocations, tokenOf } = stage({ perMinute: 3 });
    const all = Array.from({ length: 300 }, (_, n) => revocations.revoke(tokenOf(n + 1)).catch(codeOf));
    const other = Array.from({ length: 3 }, (_, n) => revocations.revoke(tokenOf(1_000 + n, 'globex')).catch(codeOf));
    expect(await Promise.all(other)).toEqual([true, true, true]);
    expect((await Promise.all(all)).filter((done) => done === 'too_many_requests')).toHaveLength(297);
  });

  test('one that failed is tried anew', async () => {
    const { log, revocations, tokenOf } = stage();
    log.before = (operation) => (operation === 'append' ? away() : undefined);
    expect(await Promise.all([1, 2].map(() => revocations.revoke(tokenOf(1)).catch(codeOf)))).toEqual([
      'temporarily_unavailable',
      'temporarily_unavailable',
    ]);
    log.before = () => {};
    expect(await revocations.revoke(tokenOf(1))).toBe(true);
  });
});

function codeOf(error: unknown): string {
  return error instanceof PosternError ? error.code : String(error);
}

test('a clock that went ahead and came back makes no revoked token good again', async () => {
  let earliest = 1_800_000_000_000;
  const { clock, log, revocations, tokenOf } = stage({ earliest: () => earliest });
  const token = { ...tokenOf(1), at: 0 };
  log.archive.push(token);
  log.serial = 1;
  await revocations.look();
  clock.advance(7_200_000);
  await revocations.look();
  clock.setBack(7_200_000);
  await revocations.look();
  expect(revocations.has(sha(1))).toBe(true);
  earliest += 3_661_000;
  clock.advance(61_000);
  await revocations.look();
  expect(revocations.has(sha(1))).toBe(false);
});
