import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { CredentialFile } from '#broker/credential-file.ts';
import { CredentialSource } from '#broker/vault/own/credential-source.ts';
import { readConfig } from '#broker/config.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-credential-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const CANARY = 'canary-credential';

function fileOf(name: string, content: string | Buffer): CredentialFile {
  writeFileSync(join(folder, name), content);
  return new CredentialFile('POSTERN_SECRET_ID_FILE', join(folder, name));
}

test.each([
  ['a line end', `${CANARY}\n`],
  ['CRLF and spaces', `  ${CANARY} \r\n\r\n`],
  ['a byte order mark', `\uFEFF${CANARY}`],
])('%s does not matter', (_, content) => {
  expect(fileOf('good', content).read()).toBe(CANARY);
});

test.each<[string, string | Buffer, string]>([
  ['empty', '', 'is empty'],
  ['white space only', ' \n\uFEFF', 'is empty'],
  ['two words', `${CANARY} ${CANARY}`, 'holds more than one word of ASCII'],
  ['two lines', `${CANARY}\n${CANARY}`, 'holds more than one word of ASCII'],
  ['binary', Buffer.from([0, 1, 2, 255]), 'holds more than one word of ASCII'],
  ['huge', 'a'.repeat(65 * 1024), 'is larger than 64 KiB'],
])('%s: told as what it is, without what it holds', (_, content, told) => {
  const file = fileOf('bad', content);
  expect(() => file.read()).toThrow(expect.objectContaining({ code: 'misconfigured', message: expect.stringContaining(told) }));
  expect(() => file.read()).not.toThrow(CANARY);
});

test('a folder, a pipe that nobody writes to, and nothing at all', () => {
  mkdirSync(join(folder, 'folder'));
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  const told = (name: string) => () => new CredentialFile('POSTERN_BROKER_JWT_FILE', join(folder, name)).read();
  expect(told('folder')).toThrow('POSTERN_BROKER_JWT_FILE cannot be read (EISDIR)');
  expect(told('pipe')).toThrow('POSTERN_BROKER_JWT_FILE is no file');
  expect(told('nowhere')).toThrow('POSTERN_BROKER_JWT_FILE cannot be read (ENOENT)');
});

test('a swapped link is noticed once, and so is a file that goes and comes back', () => {
  for (const [name, value] of [
    ['..a', 'one'],
    ['..b', 'two'],
  ] as const) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'token'), value);
  }
  symlinkSync('..a', join(folder, '..data'));
  symlinkSync('..data/token', join(folder, 'token'));
  const source = new CredentialSource(new CredentialFile('POSTERN_BROKER_JWT_FILE', join(folder, 'token')));
  expect(source.read()).toBe('one');
  expect(source.changed()).toBe(false);
  symlinkSync('..b', join(folder, '..next'));
  renameSync(join(folder, '..next'), join(folder, '..data'));
  expect(source.changed()).toBe(true);
  expect(source.read()).toBe('two');
  rmSync(join(folder, '..b/token'));
  expect(source.changed()).toBe(true);
  expect(() => source.read()).toThrow('ENOENT');
  expect(source.changed()).toBe(false);
  writeFileSync(join(folder, '..b/token'), 'two');
  expect(source.changed()).toBe(true);
});

test('settings of another method than the chosen one are faults, and so is what the chosen one lacks', () => {
  const least = { POSTERN_ISSUER: 'https://tokens.example.com/', VAULT_ADDR: 'https://vault.example.com' };
  const faults = (env: Record<string, string>) => () => readConfig({ ...least, ...env });
  expect(faults({ POSTERN_VAULT_AUTH: 'jwt' })).toThrow('POSTERN_BROKER_JWT_FILE is missing');
  expect(faults({ POSTERN_VAULT_AUTH: 'token-file' })).toThrow('POSTERN_VAULT_TOKEN_FILE is missing');
  expect(faults({ POSTERN_VAULT_AUTH: 'ldap' })).toThrow('POSTERN_VAULT_AUTH');
  expect(faults({ POSTERN_VAULT_AUTH: 'kubernetes', POSTERN_ROLE_ID: 'x', POSTERN_BROKER_JWT_FILE: fileOf('jwt', 'a.b.c').path })).toThrow(
    'POSTERN_ROLE_ID is for POSTERN_VAULT_AUTH=approle',
  );
  // An Agent writes its sink a little later; a folder stays one.
  expect(faults({ POSTERN_VAULT_AUTH: 'token-file', POSTERN_VAULT_TOKEN_FILE: join(folder, 'later') })).not.toThrow();
  expect(faults({ POSTERN_VAULT_AUTH: 'token-file', POSTERN_VAULT_TOKEN_FILE: folder })).toThrow('EISDIR');
});
