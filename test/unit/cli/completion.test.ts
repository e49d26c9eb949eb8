import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from '#cli/command/program.ts';
import { fakeTerminal } from './terminal.ts';

async function script(shell: string): Promise<string> {
  const terminal = fakeTerminal({ env: { VAULT_ADDR: 'https://vault.example.com', POSTERN_KV_MOUNT: 'elsewhere' } });
  expect(await run(['completion', shell], terminal, '1.2.3'), terminal.err()).toBe(0);
  return terminal.out();
}

describe('in a real bash', () => {
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'postern-completion-'));
    writeFileSync(join(folder, 'postern.bash'), await script('bash'));
    writeFileSync(join(folder, 'a key.pem'), '');
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** What bash offers after these words, of which the last is being typed. */
  function offered(...words: string[]): string[] {
    const { stdout, stderr, status } = spawnSync(
      'bash',
      [
        '--norc',
        '-euc',
        'source ./postern.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _postern || true; ((${#COMPREPLY[@]} == 0)) || printf "%s\\n" "${COMPREPLY[@]}"',
        'bash',
        ...words,
      ],
      { encoding: 'utf8', cwd: folder },
    );
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    return stdout.split('\n').filter(Boolean);
  }

  test.each<[string[], string[]]>([
    [['postern', 'tena'], ['tenant']],
    [['postern', 'who'], expect.arrayContaining(['whoami'])],
    [['postern', 'tenant', 'en'], ['enable']],
    [['postern', '--json', 'tenant', 'sh'], ['show']],
    [['postern', '--vault-addr', 'https://x', 'key', 'pr'], ['prune']],
    [['postern', 'key', 'issue', 'acme', '--env'], ['--environment']],
    [['postern', 'tenant', 'delete', '--y'], ['--yes']],
    [['postern', 'tenant', 'list', '--js'], ['--json']],
    [['postern', 'login', '--method', 'u'], ['userpass']],
    [['postern', 'token', '--key-file', 'a'], ['a key.pem']],
    [['postern', 'login', '--role', ''], []],
    // Not a command here, and no option of another.
    [['postern', 'tenant', 'show', 'en'], []],
    [['postern', 'whoami', '--ttl'], []],
  ])('%j', (words, expected) => {
    expect(offered(...words)).toEqual(expected);
  });
});

test.each(['zsh', 'fish'])('%s has every command and nothing of the environment', async (shell) => {
  const text = await script(shell);
  for (const word of ['tenant create', 'whoami', 'introspect', 'userpass']) expect(text).toContain(word);
  expect(text).not.toMatch(/vault\.example\.com|elsewhere/);
});

test('another shell is wrong input', async () => {
  const terminal = fakeTerminal();
  expect(await run(['completion', 'csh'], terminal, '1.2.3')).toBe(2);
  expect(terminal.err()).toMatch(/bash, zsh, fish/);
});
