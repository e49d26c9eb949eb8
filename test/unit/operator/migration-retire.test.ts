import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MigrationJournal } from '#broker/operator/migration/journal.ts';
import { carryOut, judge, restore, settle } from '#broker/operator/migration/retire.ts';
import type { Guard, Retirable, Successor } from '#broker/operator/migration/retire.ts';

const DAY = 86_400;
const ORDERS = 'https://orders.example.com';
const ago = (days: number): string => new Date(Date.now() - days * DAY * 1000).toISOString();
const mapped = { client_id: 'abc', name: 'Acme', tenant: 'acme', migrate: true, grants: [{ api: 'orders', scopes: [] }] };
const OF = { vault: 'https://vault.example.com', domain: 'acme.eu.auth0.com' };

let folder: string;
let journal: MigrationJournal;
let there: Retirable | undefined;
let seen: { since: string; used: string | null; tried: string | null };
let changes: string[];
let stands: Successor | undefined;

const guard = (more: Partial<Guard> = {}): Guard => ({
  applications: {
    find: async () => there,
    grants: async () => [{ audience: ORDERS, scopes: ['read:orders'] }],
    setGrantTypes: async (_, types) => void changes.push(`grant types ${types.join()}`),
    remove: async () => void changes.push('deleted'),
    observe: async () => ({ at: new Date().toISOString(), ...seen }),
  },
  own: new Map(),
  stands: async (tenant) => (tenant === 'acme' ? stands : undefined),
  lastUse: new Map([['acme', ago(0.01)]]),
  unusedFor: 30 * DAY,
  force: false,
  unverified: false,
  ...more,
});
const reasons = async (more: Partial<Guard> = {}, action: 'delete' | 'disable' = 'delete') => {
  const { verdict } = await judge(mapped, action, guard(more), journal);
  return [verdict.action, ...verdict.reasons];
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-retire-'));
  journal = await MigrationJournal.open(join(folder, 'journal'), OF);
  await journal.note({ applied: 'abc', tenant: 'acme', at: ago(40) });
  await journal.note({ verified: 'abc', at: ago(39), noticed: [], changed: ['azp'] });
  there = {
    clientId: 'abc',
    name: 'Acme',
    type: 'non_interactive',
    grantTypes: ['client_credentials'],
    hasCallbacks: false,
    isShared: false,
  };
  seen = { since: ago(45), used: ago(35), tried: ago(35) };
  changes = [];
  stands = { disabled: false, grants: new Map([[ORDERS, { granted: ['read:orders'], all: ['read:orders', 'write:orders'] }]]) };
});
afterEach(async () => {
  await journal.close();
  await rm(folder, { recursive: true, force: true });
});

test('one that was not used for long enough, whose tenant is used, may go', async () => expect(await reasons()).toEqual(['delete']));

describe('stays', () => {
  test.each<[string, () => Promise<unknown> | void, RegExp]>([
    ['used within the time', () => void (seen.used = seen.tried = ago(29)), /got a token at/],
    ['refused within the time', () => void (seen.tried = ago(1)), /somebody still tries/],
    ['the log reaches back two days', () => void (seen = { since: ago(2), used: null, tried: null }), /look again daily/],
    ['the log is empty', () => void (seen = { since: new Date().toISOString(), used: null, tried: null }), /look again daily/],
    [
      'there is a gap between two looks',
      async () => {
        seen = { since: ago(2), used: null, tried: null };
        await journal.note({ observed: 'abc', at: ago(3), since: ago(45), used: null, tried: null });
      },
      /look again daily/,
    ],
    [
      'an earlier look saw a use',
      async () => {
        seen = { since: ago(2), used: null, tried: null };
        await journal.note({ observed: 'abc', at: ago(1), since: ago(45), used: ago(20), tried: ago(20) });
      },
      /got a token/,
    ],
    ['services would notice', () => journal.note({ verified: 'abc', at: ago(1), noticed: ['iss'], changed: [] }), /notice by iss/],
    ['it is the shared application', () => void (there = { ...there!, isShared: true }), /never: it carries the mark/],
    ['it has other grant types', () => void (there = { ...there!, grantTypes: ['client_credentials', 'password'] }), /password/],
    ['it is a web application', () => void (there = { ...there!, type: 'regular_web' }), /regular_web/],
    ['it has callbacks', () => void (there = { ...there!, hasCallbacks: true }), /callback/],
  ])('%s', async (_, change, reason) => {
    await change();
    expect(await reasons()).toEqual(['wait', expect.stringMatching(reason)]);
  });

  test.each([
    ["Auth0's own API", { audience: 'https://acme.eu.auth0.com/api/v2/', scopes: ['read:users'] }, /no grant for .*\/api\/v2\//],
    ['a scope', { audience: ORDERS, scopes: ['read:orders', 'write:orders'] }, /lacks write:orders of/],
    ['all scopes that the API has', { audience: ORDERS, scopes: 'all' as const }, /lacks write:orders of/],
  ])('its tenant may not do what it may: %s', async (_, grant, reason) => {
    const applications = { ...guard().applications, grants: async () => [grant] };
    expect(await reasons({ applications })).toEqual(['wait', expect.stringMatching(reason)]);
    expect(await reasons({ applications, force: true })).toEqual(['delete']);
  });

  test('nobody has seen its tenant since it was verified', async () => {
    expect(await reasons({ lastUse: new Map() })).toEqual(['wait', expect.stringMatching(/no broker has seen/)]);
    expect(await reasons({ lastUse: new Map([['acme', ago(39.5)]]) })).toEqual(['wait', expect.stringMatching(/since/)]);
    expect(await reasons({ lastUse: new Map(), unverified: true })).toEqual(['delete']);
  });

  test('what Postern works with, even forced; what else is in the way, unless forced', async () => {
    const force = { force: true, unverified: true };
    expect(await reasons({ ...force, own: new Map([['abc', 'the plugin works with it']]) })).toEqual([
      'wait',
      'never: the plugin works with it',
    ]);
    there = { ...there!, isShared: true };
    expect(await reasons(force)).toEqual(['wait', expect.stringMatching(/never/)]);
    there = { ...there, isShared: false, type: 'spa', hasCallbacks: true, grantTypes: ['client_credentials', 'authorization_code'] };
    expect(await reasons(force)).toEqual(['delete']);
    seen.used = seen.tried = ago(1);
    expect(await reasons(force)).toEqual(['wait', expect.stringMatching(/got a token/)]);
  });

  test('its tenant was deleted or disabled, even forced', async () => {
    const force = { unverified: true, force: true };
    stands = { ...stands!, disabled: true };
    expect(await reasons(force)).toEqual(['wait', expect.stringMatching(/acme is disabled/)]);
    stands = undefined;
    expect(await reasons(force)).toEqual(['wait', expect.stringMatching(/acme is gone/)]);
  });

  test('the plan leaves it as it is', async () => {
    const left = { ...mapped, client_id: 'own', migrate: false, grants: [] };
    const of = async (force: boolean) => (await judge(left, 'delete', guard({ force, unverified: true }), journal)).verdict;
    expect(await of(false)).toMatchObject({ action: 'wait', reasons: [expect.stringMatching(/leaves it as it is/), expect.anything()] });
    expect(await of(true)).toMatchObject({ action: 'delete' });
  });

  test('nothing was made in its place', async () => {
    const other = { ...mapped, client_id: 'def', tenant: 'def' };
    const { verdict } = await judge(other, 'delete', guard({ force: true, unverified: true }), journal);
    expect(verdict).toMatchObject({ action: 'wait', reasons: [expect.stringMatching(/migrate apply/)] });
  });
});

test('a chain of looks that each reach back to the one before is as good as a long log', async () => {
  seen = { since: ago(2), used: null, tried: null };
  for (let day = 1.5; day < 31; day += 1.5)
    await journal.note({ observed: 'abc', at: ago(day), since: ago(day + 2), used: null, tried: null });
  expect(await reasons()).toEqual(['delete']);
});

describe('killed and run again', () => {
  const again = async (): Promise<MigrationJournal> => {
    await journal.close();
    return (journal = await MigrationJournal.open(join(folder, 'journal'), OF));
  };

  test('after Auth0 deleted it, before that was written down', async () => {
    await journal.note({ deleting: 'abc', at: ago(0) });
    there = undefined;
    await again();
    const { verdict, found } = await judge(mapped, 'delete', guard(), journal);
    expect(verdict).toMatchObject({ action: 'none' });
    await settle(journal, mapped, found);
    expect((await again()).of('abc').state).toBe('deleted');
  });

  test('after Auth0 disabled it, before that was written down; and it can be let in again', async () => {
    const { verdict, found } = await judge(mapped, 'disable', guard(), journal);
    await journal.note({ disabling: 'abc', at: ago(0), grant_types: [...found!.grantTypes] });
    expect(verdict.action).toBe('disable');
    there = { ...there!, grantTypes: [] };
    await again();
    const second = await judge(mapped, 'disable', guard(), journal);
    await settle(journal, mapped, second.found);
    expect(second.verdict.action).toBe('none');
    expect((await again()).of('abc')).toMatchObject({ state: 'disabled', grantTypes: ['client_credentials'] });
    expect(await restore(guard().applications, journal, 'abc')).toBe(true);
    expect(changes).toEqual(['grant types client_credentials']);
    expect((await again()).of('abc').state).toBe('applied');
    expect(await restore(guard().applications, journal, 'abc')).toBe(false);
  });

  test('each step stands in the journal before it is done', async () => {
    const written: string[] = [];
    const { applications } = guard();
    const watched = guard({
      applications: {
        ...applications,
        remove: async () => void written.push((await readFile(join(folder, 'journal'), 'utf8')).trimEnd().split('\n').at(-1) ?? ''),
      },
    });
    const { verdict, found } = await judge(mapped, 'delete', watched, journal);
    await carryOut(watched, journal, verdict, found!);
    expect(JSON.parse(written[0] ?? '')).toMatchObject({ deleting: 'abc' });
    expect(journal.of('abc').state).toBe('deleted');
  });

  test('a half-written line is cut off; a journal of another migration is refused', async () => {
    await journal.close();
    const { appendFile } = await import('node:fs/promises');
    await appendFile(join(folder, 'journal'), '{"deleted":"ab');
    journal = await MigrationJournal.open(join(folder, 'journal'), OF);
    expect(journal.of('abc').state).toBe('applied');
    await journal.close();
    await expect(MigrationJournal.open(join(folder, 'journal'), { ...OF, domain: 'other' })).rejects.toThrow(/another migration/);
    await appendFile(join(folder, 'journal'), '{"import":1,"vault":"x"}\n');
    await expect(MigrationJournal.open(join(folder, 'journal'), OF)).rejects.toThrow(/none of a migration's journal/);
    await rm(join(folder, 'journal'));
    journal = await MigrationJournal.open(join(folder, 'journal'), OF);
    await expect(MigrationJournal.open(join(folder, 'journal'), OF)).rejects.toThrow(/Another run uses/);
  });
});
