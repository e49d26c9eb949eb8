import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { confirm, readSecret } from '#cli/command/secret-input.ts';
import { Output } from '#cli/output.ts';
import { fakeTerminal } from './terminal.ts';
import type { FakeTerminal } from './terminal.ts';

const read = (terminal: FakeTerminal, file?: string): Promise<string> =>
  readSecret(terminal, new Output(terminal, false), 'client secret', file);

describe('a secret', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'postern-input-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('comes from a pipe, without its line end', async () => {
    expect(await read(fakeTerminal({ input: 's3cret\r\n' }))).toBe('s3cret');
    expect(await read(fakeTerminal({ input: 's3cret' }), '-')).toBe('s3cret');
  });

  test('comes from a file, with a warning where others can read it', async () => {
    const file = join(folder, 'secret');
    await writeFile(file, 's3cret\n', { mode: 0o600 });
    const quiet = fakeTerminal();
    expect(await read(quiet, file)).toBe('s3cret');
    expect(quiet.err()).toBe('');
    await chmod(file, 0o640);
    const warned = fakeTerminal();
    await read(warned, file);
    expect(warned.err()).toContain(`chmod 600 ${file}`);
  });

  test('is typed without being shown, with corrections', async () => {
    const terminal = fakeTerminal({ tty: true });
    const reading = read(terminal);
    terminal.stdin.push('abx\u007Fc');
    terminal.stdin.push('d\r');
    expect(await reading).toBe('abcd');
    expect(terminal.err()).toBe('client secret: \n');
    // On before the prompt, so that nothing typed early is shown; off in the end.
    expect(terminal.raw).toEqual([true, false]);
  });

  test.each([
    ['nothing', { input: '' }],
    ['only white space', { input: ' \n' }],
    ['a whole book', { input: 'x'.repeat(20_000) }],
  ])('is refused when it is %s', async (_, options) => {
    await expect(read(fakeTerminal(options))).rejects.toMatchObject({ code: 'invalid_request' });
  });

  test.each([
    ['that is not there', '/nonexistent/file'],
    ['that is a folder', tmpdir()],
  ])('is refused from a file %s', async (_, file) => {
    await expect(read(fakeTerminal(), file)).rejects.toMatchObject({ code: 'invalid_request' });
  });

  test('is not waited for after an interruption', async () => {
    const terminal = fakeTerminal();
    const reading = read(terminal);
    terminal.abort();
    await expect(reading).rejects.toThrow('interrupted');
  });
});

describe('a confirmation', () => {
  test.each([
    ['y\n', true],
    ['YES\n', true],
    ['n\n', false],
    ['\n', false],
    ['yesterday\n', false],
  ])('%j is %s', async (typed, expected) => {
    const terminal = fakeTerminal({ tty: true });
    const asking = confirm(terminal, 'Sure?');
    terminal.stdin.push(typed);
    expect(await asking).toBe(expected);
    expect(terminal.err()).toBe('Sure? [y/N] ');
  });

  test('is not taken from a pipe', async () => {
    await expect(confirm(fakeTerminal({ input: 'y\n' }), 'Sure?')).rejects.toMatchObject({
      code: 'invalid_request',
      detail: expect.stringContaining('--yes') as string,
    });
  });
});
