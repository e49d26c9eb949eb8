import { describe, expect, test } from 'vitest';
import { PosternError } from '#broker/error.ts';
import { Output, exitCodeOf } from '#cli/output.ts';
import { fakeTerminal } from './terminal.ts';

describe('a table', () => {
  const rows = [
    ['acme', 'active'],
    ['a-long-name', 'disabled'],
  ];

  test('is aligned, with a heading, on a terminal', () => {
    const output = new Output(fakeTerminal({ tty: true, env: { NO_COLOR: '1' } }), false);
    expect(output.table(['TENANT', 'STATE'], rows)).toBe('TENANT       STATE\nacme         active\na-long-name  disabled');
  });

  test('is tab-separated values in a pipe', () => {
    expect(new Output(fakeTerminal(), false).table(['TENANT', 'STATE'], rows)).toBe('acme\tactive\na-long-name\tdisabled');
  });
});

describe('colours', () => {
  test.each([
    ['on a terminal', { tty: true }, true],
    ['not in a pipe', { tty: false }, false],
    ['not with NO_COLOR', { tty: true, env: { NO_COLOR: '1' } }, false],
    ['not on a dumb terminal', { tty: true, env: { TERM: 'dumb' } }, false],
  ])('%s', (_, options, expected) => {
    expect(new Output(fakeTerminal(options), false).style('red', 'x').includes('\u001B')).toBe(expected);
  });
});

describe('a failure', () => {
  const error = new PosternError('conflict', 'It exists', { detail: 'Use --update.' });

  test('goes to stderr with its remedy', () => {
    const terminal = fakeTerminal();
    new Output(terminal, false).failure(error);
    expect(terminal.out()).toBe('');
    expect(terminal.err()).toBe('error: It exists\n  Use --update.\n');
  });

  test('is one JSON line with --json', () => {
    const terminal = fakeTerminal();
    new Output(terminal, true).failure(error);
    expect(JSON.parse(terminal.err())).toEqual({ error: 'conflict', message: 'It exists', remedy: 'Use --update.' });
    expect(terminal.out()).toBe('');
  });

  test('that nobody foresaw is told without its message, which may hold anything', () => {
    for (const [env, json] of [
      [{}, false],
      [{}, true],
      [{ POSTERN_DEBUG: '1' }, false],
    ] as const) {
      const terminal = fakeTerminal({ env });
      new Output(terminal, json).failure(new TypeError('X-Vault-Token: hvs.secret'));
      expect(terminal.err()).toContain('TypeError');
      expect(terminal.err()).not.toContain('hvs.secret');
    }
  });

  test.each([
    ["EACCES: permission denied, open '/home/me/x'", "EACCES: permission denied, open '/home/me/x'"],
    ["Cannot read properties of undefined (reading 'token')\nat hvs.x", "Cannot read properties of undefined (reading 'token')"],
    ['connect ECONNREFUSED 127.0.0.1:8200', 'connect ECONNREFUSED 127.0.0.1:8200'],
    ['403 for hvs.abc at http://me:pass@host/x', '403 for … at http:…host/x'],
    ['client_secret: short, bad', 'client_secret: … bad'],
    ['Authorization: Bearer abc', 'Authorization: Bearer …'],
    ['secret_id 7b5f6a1c-0000-4000-8000-000000000000 is bad', 'secret_id … is bad'],
    ['key postern_live_abc', 'key …'],
    ['eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.abcdefghijklmnopqrstuvwxyz', '…'],
  ])('that nobody foresaw tells its first line, but nothing that may be a secret: %s', (message, told) => {
    const terminal = fakeTerminal();
    new Output(terminal, false).failure(new Error(message));
    expect(terminal.err()).toContain(`in postern itself (Error: ${told}`);
  });

  test('has the exit code of its kind', () => {
    expect(exitCodeOf(error)).toBe(4);
    expect(exitCodeOf(new PosternError('temporarily_unavailable', ''))).toBe(5);
    expect(exitCodeOf(new Error('x'))).toBe(1);
  });
});

test('progress is shown on a terminal only, and taken away before the result', () => {
  const pipe = fakeTerminal();
  new Output(pipe, false).progress('at work');
  expect(pipe.err()).toBe('');
  const terminal = fakeTerminal({ tty: true });
  const output = new Output(terminal, false);
  output.progress('at work');
  output.result({}, 'done');
  expect(terminal.err()).toBe('\r\u001B[Kat work\r\u001B[K');
  expect(terminal.out()).toBe('done\n');
});

test('with --json the result alone is on stdout, in one line in a pipe', () => {
  const terminal = fakeTerminal();
  new Output(terminal, true).result({ a: [1] }, 'text for people');
  expect(terminal.out()).toBe('{"a":[1]}\n');
});
