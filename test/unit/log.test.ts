import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { BatchedLines } from '#broker/batched-lines.ts';
import { Destination } from '#broker/destination.ts';
import { createLog, describeError } from '#broker/log.ts';
import { VaultFault } from '#broker/vault-fault.ts';

const CANARY = 'canary-7f3e';

function logged(work: (log: ReturnType<typeof createLog>) => void, level = 'trace'): string {
  const lines: string[] = [];
  work(createLog(level, { write: (line: string) => void lines.push(line) }));
  return lines.join('');
}

describe('redaction, the last net', () => {
  test.each(['secret_id', 'client_secret', 'access_token', 'token', 'client_token', 'authorization', 'headers', 'body', 'password', 'jwt'])(
    '%s, at the top and one and two levels down',
    (name) => {
      const text = logged((log) => {
        log.info({ [name]: CANARY }, 'a');
        log.info({ x: { [name]: CANARY } }, 'b');
        log.info({ x: { y: { [name]: { deep: CANARY } } } }, 'c');
      });
      expect(text).not.toContain(CANARY);
      expect(text.match(/\[redacted\]/g)).toHaveLength(3);
    },
  );
});

describe('an error', () => {
  test('of ours: code, message and detail', () => {
    expect(describeError(new PosternError('access_denied', 'said aloud', { detail: 'for operators' }))).toEqual({
      code: 'access_denied',
      message: 'said aloud',
      detail: 'for operators',
    });
    expect(describeError(new VaultFault('denied', 'Vault answered 403'))).toEqual({ code: 'vault_denied', message: 'Vault answered 403' });
  });

  const foreign: [string, () => unknown][] = [
    ['a message', () => new Error(CANARY)],
    ['a message of several lines', () => new Error(`x\n${CANARY}\n${CANARY}`)],
    ['a message that looks like a stack', () => new Error(`x\n    at ${CANARY} (file.ts:1:1)\n    at ${CANARY}`)],
    ['a message and no stack', () => Object.assign(new Error(CANARY), { stack: undefined })],
    ['a stack that is not a string', () => Object.assign(new Error(CANARY), { stack: { at: CANARY } })],
    ['a stack of its own making', () => Object.assign(new Error('x'), { stack: `Error: x\n    at f (${CANARY})` })],
    [
      'request and response',
      () =>
        Object.assign(new Error('x'), { config: { headers: { 'X-Vault-Token': CANARY } }, response: { data: CANARY }, request: CANARY }),
    ],
    ['a cause', () => new Error('x', { cause: new Error(CANARY) })],
    ['errors', () => new AggregateError([new Error(CANARY)], CANARY)],
    ['a malformed code', () => Object.assign(new Error('x'), { code: `${CANARY} with spaces` })],
    ['a code that is an object', () => Object.assign(new Error('x'), { code: { [CANARY]: CANARY } })],
    ['a malformed name', () => Object.assign(new Error('x'), { name: `${CANARY} in a sentence` })],
    ['a string', () => CANARY],
    ['an object', () => ({ message: CANARY, stack: CANARY, code: CANARY })],
    ['a symbol', () => Symbol(CANARY)],
    ['a function', () => () => CANARY],
  ];
  test.each(foreign)('of others, with %s: none of it', (_what, make) => {
    expect(JSON.stringify(describeError(make()))).not.toContain(CANARY);
    expect(logged((log) => log.error({ err: make() }, 'told'))).not.toContain(CANARY);
    expect(logged((log) => log.error({ error: make() }, 'told'))).not.toContain(CANARY);
  });

  test('of others: its class, its code and where it happened', () => {
    const told = describeError(Object.assign(new TypeError('x'), { code: 'ECONNREFUSED' }));
    expect(told).toMatchObject({ type: 'TypeError', code: 'ECONNREFUSED' });
    expect((told['at'] as string[])[0]).toContain('log.test.ts');
    expect((told['at'] as string[]).length).toBeLessThanOrEqual(8);
  });
});

describe('the destination', () => {
  test('has every line in the end, in order', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-log-'));
    try {
      const path = join(folder, 'sub', 'audit.log');
      const destination = new Destination(path);
      const lines = new BatchedLines(destination);
      for (let i = 0; i < 1000; i++) lines.write(`${i}\n`);
      await lines.drained(2000);
      lines.write('last\n');
      lines.flushSync();
      // A write that is under way in the background, the process ends before it ends itself.
      await expect.poll(() => readFileSync(path, 'utf8')).toBe(`${Array.from({ length: 1000 }, (_, i) => i).join('\n')}\nlast\n`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('a lone line is written soon', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-log-'));
    try {
      const path = join(folder, 'audit.log');
      const lines = new BatchedLines(new Destination(path));
      lines.write('one\n');
      await expect.poll(() => readFileSync(path, 'utf8'), { timeout: 2000 }).toBe('one\n');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('a file that can not be opened is a fault at once', () => {
    expect(() => new Destination('/dev/null/x/audit.log')).toThrow(/ENOTDIR|EEXIST/);
  });

  test('a file that was renamed is opened anew: no line is lost or torn between the two', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-log-'));
    try {
      const path = join(folder, 'audit.log');
      const destination = new Destination(path);
      for (let i = 0; i < 3000; i++) {
        destination.write(`${i}\n`);
        if (i % 1000 !== 500) continue;
        renameSync(path, `${path}.${i}`);
        destination.reopen();
        await sleep(5);
      }
      await destination.drained(2000);
      const lines = ['audit.log.500', 'audit.log.1500', 'audit.log.2500', 'audit.log'].flatMap((name) =>
        readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1),
      );
      expect(lines).toEqual(Array.from({ length: 3000 }, (_, i) => String(i)));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test.skipIf(process.platform !== 'linux')('a full disk ends no process, and is told once', async () => {
    const seen: unknown[] = [];
    const told: unknown[] = [];
    const listener = (error: unknown) => seen.push(error);
    process.on('uncaughtException', listener);
    try {
      const destination = new Destination('/dev/full', { onError: (error) => told.push(error) });
      const lines = new BatchedLines(destination);
      for (let i = 0; i < 500; i++) lines.write(`${i}\n`);
      createLog('info', destination).info('hello');
      await sleep(300);
      expect(seen).toEqual([]);
      expect(() => lines.flushSync()).not.toThrow();
      expect(told).toEqual([expect.objectContaining({ code: 'ENOSPC' })]);
    } finally {
      process.off('uncaughtException', listener);
    }
  });
});
