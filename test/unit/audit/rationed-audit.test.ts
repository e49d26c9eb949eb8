import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { strangerOf } from '#broker/audit/exchange-event.ts';
import { RationedAudit } from '#broker/audit/rationed-audit.ts';
import { PosternError } from '#broker/error.ts';

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
    for (let n = 0; n < 100_000; n++) audit.write(`line ${n}\n`, n % 2 ? 'token invalid_client' : 'verify too_many_requests');
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
      for (let n = 0; n < 3; n++) audit.write('line', 'token invalid_client');
      vi.advanceTimersByTime(60_000);
    }
    expect(written).toHaveLength(15);
  });

  test('what is counted is told before the process ends, once', () => {
    const { audit, summaries } = stage(0);
    audit.write('line', 'token invalid_client');
    vi.advanceTimersByTime(5_000);
    audit.end();
    audit.end();
    vi.advanceTimersByTime(60_000);
    expect(summaries()).toEqual([expect.objectContaining({ seconds: 5, refusals: { 'token invalid_client': 1 } })]);
  });
});

test('whoever was verified has each line', () => {
  const { written, audit } = stage(0);
  for (let n = 0; n < 100; n++) audit.write('line');
  expect(written).toHaveLength(100);
});

test('who is a stranger', () => {
  const wrong = new PosternError('invalid_client', 'Unauthorized');
  expect(strangerOf('token', {}, wrong)).toBe('token invalid_client');
  expect(strangerOf('token', {}, new Error('canary'))).toBe('token internal');
  expect(strangerOf('token', { identity: {} }, wrong)).toBeUndefined();
});
