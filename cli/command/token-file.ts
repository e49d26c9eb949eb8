import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { VaultToken } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import type { Terminal } from '#cli/output.ts';

/*
 * Where Vault's own CLI keeps the token of whoever logged in, in the same form, so that `vault` and `postern` share one login.
 */

type Env = Terminal['env'];

/** @throws {PosternError} invalid_request where this person has no home folder */
export function tokenFile(env: Env): string {
  const home = env['HOME'] || env['USERPROFILE'];
  if (!home) throw new PosternError('invalid_request', 'There is no home folder to keep the login in', { detail: 'Set HOME.' });
  return join(home, '.vault-token');
}

/** undefined: nobody is logged in here. */
export function readTokenFile(env: Env): string | undefined {
  try {
    return readFileSync(tokenFile(env), 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Whole or not at all, readable by nobody else, whatever was there before. @throws {PosternError} invalid_request */
export function writeTokenFile(env: Env, token: VaultToken): void {
  const file = tokenFile(env);
  const fresh = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    // A new file: one that is there might be open to others, or be somebody else's link.
    const handle = openSync(fresh, 'wx', 0o600);
    try {
      writeSync(handle, token.reveal());
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(fresh, file);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw new PosternError('invalid_request', `The login cannot be kept in ${file} (${(error as NodeJS.ErrnoException).code})`, {
      detail: 'Is it a folder, or the disk full? Mend it and log in again.',
    });
  }
}

/** @returns whether there was one. @throws {PosternError} invalid_request */
export function removeTokenFile(env: Env): boolean {
  const file = tokenFile(env);
  if (statSync(file, { throwIfNoEntry: false }) === undefined) return false;
  try {
    rmSync(file);
    return true;
  } catch (error) {
    throw new PosternError('invalid_request', `${file} cannot be removed (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** @throws {PosternError} invalid_request where it wouldn't fit into a header */
export function checkedToken(text: string): VaultToken {
  if (!/^[\x21-\x7e]+$/.test(text))
    throw new PosternError('invalid_request', 'VAULT_TOKEN or ~/.vault-token holds something other than a token', {
      detail: 'Log in again: postern login',
    });
  return new VaultToken(text);
}
