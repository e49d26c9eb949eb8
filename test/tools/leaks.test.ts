import { randomBytes, randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { LeakSearch } from '#test/leaks/search.ts';

/** The search that judges the logs of all tests must itself find what it looks for. */
describe('the search for secrets in logs', () => {
  const value = `s.${randomUUID()}/+"é`;
  const secrets = [
    { kind: 'secret_id', value },
    { kind: 'token', value: randomBytes(24).toString('hex') },
  ];

  it.each([
    ['raw', value],
    ['URL-encoded', encodeURIComponent(value)],
    ['inside JSON', JSON.stringify({ a: value })],
    ['base64', Buffer.from(value).toString('base64')],
    ['base64url', Buffer.from(value).toString('base64url')],
    ['base64 of Basic credentials, shifted by one', Buffer.from(`x:aa:${value}`).toString('base64')],
    ['base64, shifted by two', Buffer.from(`ab${value}cd`).toString('base64url')],
    ['base64, aligned, in a longer text', Buffer.from(`abc${value}defg`).toString('base64')],
  ])('finds one that is %s', (_spelling, text) => {
    // Logs are read byte by byte.
    const bytes = Buffer.from(`{"msg":"before ${text} after"}`).toString('latin1');
    expect(new LeakSearch(secrets).in(bytes)).toEqual(['secret_id']);
  });

  it('finds nothing in a text without them, nor in near misses', () => {
    expect(new LeakSearch(secrets).in(`${value.slice(0, -6)} ${Buffer.from(value.slice(0, 12)).toString('base64')}`)).toEqual([]);
  });

  it('stays fast with thousands of secrets', () => {
    const many = Array.from({ length: 5_000 }, () => ({ kind: 'secret_id', value: randomUUID() }));
    const text = `${'{"level":30,"msg":"request","id":"0f0f"}\n'.repeat(50_000)}${many[4_999]?.value}`;
    const start = performance.now();
    expect(new LeakSearch(many).in(text)).toEqual(['secret_id']);
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});
