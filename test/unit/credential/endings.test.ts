import { describe, expect, test } from 'vitest';
import { Endings } from '#broker/credential/endings.ts';
import type { Ending, EndingsOptions, RecentEndings } from '#broker/credential/endings.ts';
import { Clock } from './clock.ts';
import { identityOf } from './identity.ts';

const KEY = 'key_0123456789abcdef01234567';
const CRED = 'cred_0123456789abcdef01234567';

function stage(more: Partial<EndingsOptions> = {}) {
  const clock = new Clock();
  const now = clock.ms / 1000;
  const log = { recent: [] as Ending[], archive: [] as Ending[], serial: 0, away: false, rotated: undefined as RecentEndings['rotated'] };
  const told: string[] = [];
  const endings = new Endings({
    reader: {
      readRecent: async (): Promise<RecentEndings> => ({ serial: log.serial, recent: [...log.recent], rotated: log.rotated }),
      readArchive: async () => {
        if (log.away) throw new Error('away');
        return log.archive;
      },
    },
    onEnding: ({ kind, id }) => told.push(`${kind} ${id}`),
    onRestored: (from, to) => told.push(`restored ${from} ${to}`),
    onRotated: (keys) => told.push(`rotated ${keys?.join(' ') ?? 'any'}`),
    now: clock.now,
    ...more,
  });
  const end = (ending: Partial<Ending>): Ending => {
    const one: Ending = { kind: 'credential', id: KEY, tenant: 'acme', at: now, until: now + 7200, ...ending };
    log.recent.push(one);
    log.serial++;
    return one;
  };
  return { clock, now, log, told, endings, end };
}

describe('a credential that was ended', () => {
  test.each([
    ['by its key id', { keyId: KEY }, KEY],
    ['by its credential id', { credentialId: CRED }, CRED],
    ['by its client_id, with everything of it', { keyId: KEY, clientId: 'gone' }, 'gone'],
  ])('%s', async (_how, identity, id) => {
    const { endings, end, told } = stage();
    end({ id });
    expect(endings.includes(identityOf(identity))).toBe(false);
    await endings.look();
    expect(endings.includes(identityOf(identity))).toBe(true);
    expect(endings.includes(identityOf({ keyId: 'key_other', clientId: 'other' }))).toBe(false);
    await endings.look();
    expect(told).toEqual([`credential ${id}`]);
  });

  test('without an id: Vault tokens of such credentials made up to then, lent by anybody, and nothing else', async () => {
    const { endings, end, now } = stage();
    end({ kind: 'unnamed', id: 'acme' });
    await endings.look();
    expect(endings.includes(identityOf({ lent: true, createdAt: now }))).toBe(true);
    expect(endings.includes(identityOf({ lent: true }))).toBe(true);
    expect(endings.includes(identityOf({ lent: true, createdAt: now + 1 }))).toBe(false);
    expect(endings.includes(identityOf({ lent: true, createdAt: now, credentialId: CRED }))).toBe(false);
    expect(endings.includes(identityOf({ createdAt: now }))).toBe(false);
    expect(endings.includes(identityOf({ tenant: 'globex', lent: true, createdAt: now }))).toBe(false);
  });
});

test('all tokens of a tenant up to a second, its Vault tokens too; the later end counts', async () => {
  const { endings, end, now } = stage();
  end({ kind: 'tokens', id: 'acme' });
  end({ kind: 'tokens', id: 'acme', at: now - 10 });
  await endings.look();
  expect([endings.tokensEndedAt('acme'), endings.tokensEndedAt('globex')]).toEqual([now, -Infinity]);
  expect(endings.includes(identityOf({ lent: true, createdAt: now, keyId: KEY }))).toBe(true);
  expect(endings.includes(identityOf({ lent: true, createdAt: now + 1, keyId: KEY }))).toBe(false);
});

describe('what was missed', () => {
  test('is read from the archive, and again where that failed', async () => {
    const { endings, end, log } = stage();
    await endings.look();
    log.archive.push({ ...end({}), id: CRED });
    log.serial = 200;
    log.away = true;
    await expect(endings.look()).rejects.toThrow('away');
    log.away = false;
    await endings.look();
    expect(endings.includes(identityOf({ credentialId: CRED }))).toBe(true);
  });

  test('is nothing where all stands in the list', async () => {
    const { endings, end, log } = stage();
    log.away = true;
    await endings.look();
    end({});
    await endings.look();
    expect(endings.includes(identityOf({ keyId: KEY }))).toBe(true);
  });
});

describe('a restore of Vault', () => {
  test.each([
    ['counts backwards', (log: { recent: Ending[]; serial: number }) => Object.assign(log, { recent: [], serial: 0 })],
    ['reuses a number', (log: { recent: Ending[] }) => (log.recent = [{ ...log.recent[0]!, id: 'another' }])],
  ])('that %s unlearns nothing and is told once', async (_how, restore) => {
    const { endings, end, log, told } = stage();
    end({});
    await endings.look();
    restore(log);
    await endings.look();
    await endings.look();
    expect(endings.includes(identityOf({ keyId: KEY }))).toBe(true);
    expect(told.filter((one) => one.startsWith('restored'))).toHaveLength(1);
  });
});

test('is forgotten after its time, and what comes after its time is not learnt', async () => {
  const { endings, end, clock, now } = stage();
  end({});
  end({ id: CRED, until: now - 1 });
  await endings.look();
  expect(endings.all().map(({ id }) => id)).toEqual([KEY]);
  clock.advance(7_300_000);
  await endings.look();
  expect(endings.all()).toEqual([]);
});

test('is neither forgotten nor passed over by a clock that went ahead', async () => {
  let earliest = -Infinity;
  const { endings, end, clock, log, now } = stage({ earliest: () => earliest });
  clock.advance(86_400_000);
  log.archive.push(end({}));
  Object.assign(log, { recent: [], serial: 1 });
  await endings.look();
  expect(endings.includes(identityOf({ keyId: KEY }))).toBe(true);
  earliest = now * 1000;
  clock.advance(61_000);
  await endings.look();
  expect(endings.includes(identityOf({ keyId: KEY }))).toBe(true);
  earliest = (now + 7_201) * 1000;
  clock.advance(61_000);
  await endings.look();
  expect(endings.all()).toEqual([]);
});

test('a later announcement never makes an ending end sooner', async () => {
  const { clock, now, log, endings, end } = stage();
  end({ until: now + 7200 });
  await endings.look();
  end({ at: now + 10, until: now + 60 });
  // The first has left the list meanwhile.
  log.recent.shift();
  await endings.look();
  clock.advance(120_000);
  await endings.look();
  expect(endings.includes(identityOf({ keyId: KEY }))).toBe(true);
});

describe('keys that a rotation gave an end', () => {
  test('are told once each, and those of before the first look to nobody', async () => {
    const { endings, log, told } = stage();
    log.rotated = { serial: 2, keys: ['key_1', 'key_2'] };
    await endings.look();
    expect(told).toEqual([]);
    log.rotated = { serial: 4, keys: ['key_1', 'key_2', 'key_3', 'key_4'] };
    await endings.look();
    await endings.look();
    expect(told).toEqual(['rotated key_3 key_4']);
  });

  test('the first one of all is told', async () => {
    const { endings, log, told } = stage();
    await endings.look();
    log.rotated = { serial: 1, keys: ['key_1'] };
    await endings.look();
    expect(told).toEqual(['rotated key_1']);
  });

  test.each([
    ['more than are in the list', 9, ['key_8', 'key_9']],
    ['a list that counts anew', 1, ['key_9']],
  ])('%s: it could be any', async (_what, serial, keys) => {
    const { endings, log, told } = stage();
    log.rotated = { serial: 5, keys: ['key_4', 'key_5'] };
    await endings.look();
    log.rotated = { serial, keys };
    await endings.look();
    expect(told).toEqual(['rotated any']);
  });
});
