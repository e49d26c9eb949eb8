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
