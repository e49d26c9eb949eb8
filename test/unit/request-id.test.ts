import type { IncomingMessage } from 'node:http';
import { describe, expect, test } from 'vitest';
import { newRequestId, requestIdOf } from '#broker/request-id.ts';
import { TrustedProxies } from '#broker/trusted-proxies.ts';

const PROXY = '10.0.0.1';
const from = (remoteAddress: string, id?: string | string[]) =>
  ({ socket: { remoteAddress }, headers: id === undefined ? {} : { 'x-request-id': id } }) as unknown as IncomingMessage;
const trusting = new TrustedProxies(['10.0.0.0/8']);
const of = (request: IncomingMessage, proxies = trusting) => requestIdOf(request, proxies, () => 'own');

test('ids differ, and need no escaping', () => {
  const ids = Array.from({ length: 10_000 }, newRequestId);
  expect(new Set(ids).size).toBe(10_000);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
});

test('nothing of an id can be told from those before: no character is nearly always the same, and most change to the next', () => {
  const ids = Array.from({ length: 4096 }, newRequestId);
  const shares = Array.from({ length: 32 }, (_, at) => {
    const counts = new Map<string, number>();
    for (const id of ids) counts.set(id[at]!, (counts.get(id[at]!) ?? 0) + 1);
    return Math.max(...counts.values()) / ids.length;
  });
  // 1/16 each; ten standard deviations more is 0.1.
  expect(Math.max(...shares)).toBeLessThan(0.1);
  const same = ids.slice(1).map((id, i) => id.split('').filter((character, at) => character === ids[i]![at]).length);
  expect(Math.max(...same)).toBeLessThan(20);
});

describe('X-Request-Id', () => {
  test.each([
    'a',
    '7b0a1c9e-95d3-4c54-bb0a-0f1fd0f0c7f2',
    '7b0a1c9e-95d3-4c54-bb0a-0f1fd0f0c7f2#12',
    '4bf92f3577b34da6a3ce929d0e0e4736',
    'JKJaXmPLvHcESHA=',
    '|a1b2.c3_',
    'x'.repeat(128),
  ])('%s of a trusted proxy is taken', (id) => {
    expect(of(from(PROXY, id))).toBe(id);
    expect(of(from(`::ffff:${PROXY}`, id))).toBe(id);
  });

  test.each([
    ['empty', ''],
    ['too long', 'x'.repeat(129)],
    ['a quotation mark', 'a"b'],
    ['a backslash', 'a\\b'],
    ['a line', 'a\nb'],
    ['a space', 'a b'],
    ['several', 'a, b'],
    ['not ASCII', 'ä'],
    ['an API key', `postern_live_${'A'.repeat(49)}`],
    ['a Vault token', 'hvs.CAESIJ'],
    ['a batch token behind text', 'x=hvb.AAAAAQ'],
    ['an old Vault token', 's.5jNrsDbM4Q'],
    ['a JWT', 'eyJhbGciOiJub25lIn0.e30.'],
  ])('%s is not taken', (_why, id) => {
    expect(of(from(PROXY, id))).toBe('own');
  });

  test('nobody else is believed', () => {
    expect(of(from('192.0.2.1', 'a'))).toBe('own');
    expect(of(from(PROXY, 'a'), new TrustedProxies())).toBe('own');
    expect(of(from(PROXY))).toBe('own');
  });
});
