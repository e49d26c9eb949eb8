import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { refusalOf } from '#broker/audit/exchange-event.ts';
import { RationedAudit } from '#broker/audit/rationed-audit.ts';
import { PosternError } from '#broker/error.ts';
import { identityOf } from '#test/unit/credential/identity.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] }));
afterEach(() => void vi.useRealTimers());

function stage(lines = 3) {
  const written: string[] = [];
  const audit = new RationedAudit({ write: (line) => void written.push(line) }, lines);
  return { written, audit, summaries: () => written.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as object) };
}

describe('refusals of strangers', () => {
  test('so many a minute have a line; the rest is counted by door and code, in one line', () => {
    const { written, audit, summaries } = stage();
    for (let n = 0; n < 100_000; n++) audit.write(`line ${n}\n`, { kind: n % 2 ? 'token invalid_client' : 'verify too_many_requests' });
    expect(written).toEqual(['line 0\n', 'line 1\n', 'line 2\n']);
    vi.advanceTimersByTime(60_000);
    expect(written).toHaveLength(4);
    expect(written[3]).toMatch(/^[^\n]+\n$/);
    expect(summaries()).toEqual([
      {
        time: expect.stringMatching(/Z$/) as string,
        request_id: expect.any(String) as string,
        event: 'refusals.summary',
        outcome: 'refused',
        seconds: 60,
        refusals: { 'token invalid_client': 49_999, 'verify too_many_requests': 49_998 },
      },
    ]);
  });

  test('each minute anew, and a minute without any too many tells nothing', () => {
    const { written, audit } = stage();
    for (let minute = 0; minute < 5; minute++) {
      for (let n = 0; n < 3; n++) audit.write('line', { kind: 'token invalid_client' });
      vi.advanceTimersByTime(60_000);
    }
    expect(written).toHaveLength(15);
  });

  test('what is counted is told before the process ends, once', () => {
    const { audit, summaries } = stage(0);
    audit.write('line', { kind: 'token invalid_client' });
    vi.advanceTimersByTime(5_000);
    audit.end();
    audit.end();
    vi.advanceTimersByTime(60_000);
    expect(summaries()).toEqual([expect.objectContaining({ seconds: 5, refusals: { 'token invalid_client': 1 } })]);
  });
});

describe('refusals of verified clients', () => {
  const scope = (tenant: string) => ({ kind: 'token invalid_scope', tenant });

  test('have a ration for each tenant: one that floods the audit takes no line of another, or of strangers', () => {
    const { written, audit, summaries } = stage();
    for (let n = 0; n < 10_000; n++) audit.write(`acme ${n}\n`, scope('acme'));
    audit.write('globex\n', scope('globex'));
    audit.write('stranger\n', { kind: 'token invalid_client' });
    expect(written).toEqual(['acme 0\n', 'acme 1\n', 'acme 2\n', 'globex\n', 'stranger\n']);
    vi.advanceTimersByTime(60_000);
    expect(summaries()).toEqual([expect.objectContaining({ tenant: 'acme', refusals: { 'token invalid_scope': 9_997 } })]);
    audit.write('acme again\n', scope('acme'));
    expect(written.at(-1)).toBe('acme again\n');
  });

  test('are told of each tenant before the process ends, once', () => {
    const { audit, summaries } = stage(0);
    for (const tenant of ['acme', 'globex', 'acme']) audit.write('line', scope(tenant));
    audit.end();
    audit.end();
    vi.advanceTimersByTime(120_000);
    expect(summaries()).toEqual([
      expect.objectContaining({ tenant: 'acme', refusals: { 'token invalid_scope': 2 } }),
      expect.objectContaining({ tenant: 'globex', refusals: { 'token invalid_scope': 1 } }),
    ]);
  });
});

test('whatever was granted has its line', () => {
  const { written, audit } = stage(0);
  for (let n = 0; n < 100; n++) audit.write('line');
  expect(written).toHaveLength(100);
});

test('by what a refusal is counted', () => {
  const wrong = new PosternError('invalid_client', 'Unauthorized');
  expect(refusalOf('token', {}, wrong)).toEqual({ kind: 'token invalid_client' });
  expect(refusalOf('token', {}, new Error('canary'))).toEqual({ kind: 'token internal' });
  expect(refusalOf('token', { identity: identityOf() }, wrong)).toEqual({ kind: 'token invalid_client', tenant: identityOf().tenant });
});
