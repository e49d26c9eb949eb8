import { appendFile, mkdtemp, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LineCutter, followed } from '#cli/command/audit/lines.ts';
import { cells, matcher, needles, parsed, timeOf } from '#cli/command/audit/filter.ts';
import type { AuditLine } from '#cli/command/audit/filter.ts';

const line = (more: object = {}): AuditLine => ({
  time: '2026-11-29T08:00:00.000Z',
  event: 'token.exchange',
  outcome: 'granted',
  door: 'token',
  tenant: 'acme',
  key_id: 'key_0f1e2d3c4b5a69788796a5b4',
  ...more,
});

describe('a line', () => {
  test.each([
    ['its tenant', { tenant: 'acme' }, true],
    ["a neighbour's", { tenant: 'acm' }, false],
    ['its key and door', { key: 'key_0f1e2d3c4b5a69788796a5b4', door: 'token' }, true],
    ['another outcome', { tenant: 'acme', outcome: 'refused' }, false],
    ['at the very start', { from: Date.parse('2026-11-29T08:00:00Z') }, true],
    ['before the end, which is not in it', { to: Date.parse('2026-11-29T08:00:00Z') }, false],
  ])('is chosen by %s', (_, options, expected) => {
    expect(matcher(options)(line())).toBe(expected);
  });

  test('that matches has all that is looked for in its text', () => {
    const options = { tenant: 'acme', outcome: 'granted' };
    const text = JSON.stringify(line());
    expect(needles(options).every((needle) => text.includes(needle))).toBe(true);
  });

  test.each(['', 'x', '{', '[]', '{"level":30,"msg":"listening"}', '{"time":"t","event":"e"}'])('%j is none of the audit', (text) => {
    expect(parsed(text)).toBeUndefined();
  });

  test('never steers a terminal', () => {
    expect(cells(line({ error: '\u001B[2J\u009B' })).at(-1)).toBe('?[2J?');
  });
});

describe('a time', () => {
  test('is that of a clock, or so long ago', () => {
    expect(timeOf('2026-11-29T08:00:00Z')).toBe(1_795_939_200_000);
    expect(timeOf('2026-11-29T09:00+01:00')).toBe(1_795_939_200_000);
    expect(timeOf('2026-11-29')).toBe(Date.parse('2026-11-29T00:00:00Z'));
    expect(timeOf('2028-02-29')).toBe(Date.parse('2028-02-29T00:00:00Z'));
    expect(Math.abs(timeOf('2h') - (Date.now() - 7_200_000))).toBeLessThan(1_000);
  });

  test.each([
    'yesterday',
    '90',
    '',
    '2026',
    '1',
    '2026-13-01',
    '2026-02-30',
    '2026-02-29',
    '2026-11-29T08:00:00',
    '2026-11-29 (x)',
    '2026-11-29T25:00Z',
  ])('%j is refused', (text) => {
    expect(() => timeOf(text)).toThrow('such as');
  });
});

describe('lines', () => {
  test('come whole, however they are cut; one of no bound is not held', () => {
    const cutter = new LineCutter();
    const got = [...cutter.feed('a\nb'), ...cutter.feed('c\n'), ...cutter.feed('x'.repeat(100_000)), ...cutter.feed('y\nd\ne')];
    expect([...got, cutter.end()]).toEqual(['a', 'bc', '', 'd', 'e']);
  });
});

describe('a file that is followed', () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'postern-audit-'));
    file = join(folder, 'audit.jsonl');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test('goes on through a rotation and a cut', async () => {
    await writeFile(file, 'old\n');
    const stop = new AbortController();
    const lines = followed(file, stop.signal, true);
    const next = async (): Promise<string | undefined> => (await lines.next()).value as string | undefined;
    expect(await next()).toBe('old');
    const second = next();
    await appendFile(file, 'one\n');
    expect(await second).toBe('one');
    const third = next();
    await rename(file, `${file}.1`);
    await appendFile(`${file}.1`, 'late\n');
    await writeFile(file, 'three\n');
    expect([await third, await next()]).toEqual(['late', 'three']);
    const fourth = next();
    await truncate(file, 0);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await appendFile(file, 'four\n');
    expect(await fourth).toBe('four');
    stop.abort();
    expect((await lines.next()).done).toBe(true);
  });
});
