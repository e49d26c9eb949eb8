import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { VaultToken } from '#broker/credential/identity.ts';
import { readTokenFile, removeTokenFile, writeTokenFile } from '#cli/command/token-file.ts';

let home: string;
let env: Record<string, string>;
const path = (): string => join(home, '.vault-token');

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'postern-token-file-'));
  env = { HOME: home };
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

test('is written whole, for nobody else to read, whatever was there', () => {
  writeFileSync(path(), 'an older one', { mode: 0o666 });
  writeTokenFile(env, new VaultToken('hvs.new'));
  expect(readFileSync(path(), 'utf8')).toBe('hvs.new');
  expect(statSync(path()).mode & 0o777).toBe(0o600);
  expect(readdirSync(home)).toEqual(['.vault-token']);
});

test('a link there is replaced, not followed', () => {
  writeFileSync(join(home, 'target'), 'untouched');
  symlinkSync(join(home, 'target'), path());
  writeTokenFile(env, new VaultToken('hvs.new'));
  expect(readFileSync(join(home, 'target'), 'utf8')).toBe('untouched');
  expect(readTokenFile(env)).toBe('hvs.new');
});

test('what cannot be written leaves nothing behind, and never tells the token', () => {
  mkdirSync(path());
  expect(() => writeTokenFile(env, new VaultToken('hvs.canary'))).toThrow(/cannot be kept in .*\.vault-token/);
  expect(readdirSync(home)).toEqual(['.vault-token']);
  expect(() => writeTokenFile({}, new VaultToken('hvs.canary'))).toThrow(/Set HOME|no home/i);
});

test('is read without its line end, and is none where there is none', () => {
  expect(readTokenFile(env)).toBeUndefined();
  expect(readTokenFile({})).toBeUndefined();
  writeFileSync(path(), 'hvs.one\n');
  expect(readTokenFile(env)).toBe('hvs.one');
  expect(removeTokenFile(env)).toBe(true);
  expect(removeTokenFile(env)).toBe(false);
});
