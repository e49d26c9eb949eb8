import { readFile, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { PosternError } from '#broker/error.ts';
import type { Output, Terminal } from '#cli/output.ts';

/** Anything longer is the wrong file. */
const MAX = 16 * 1024;

/**
 * Reads a secret from a file, from a pipe, or typed without being shown. Never from an option: everybody on the machine sees a
 * command line.
 * @param what it is, for the prompt and for errors
 * @throws {PosternError} invalid_request
 */
export async function readSecret(terminal: Terminal, output: Output, what: string, file?: string): Promise<string> {
  const text = file === undefined || file === '-' ? await fromStdin(terminal, what) : await fromFile(output, what, file);
  const secret = text.trim();
  if (secret === '')
    throw new PosternError('invalid_request', `No ${what} was given`, {
      detail: 'Pipe it in (… < file), name a file, or type it when asked.',
    });
  return secret;
}

async function fromFile(output: Output, what: string, file: string): Promise<string> {
  try {
    const { mode, size } = await stat(file);
    if (size > MAX) throw new PosternError('invalid_request', `The file is too large for a ${what}`);
    if ((mode & 0o077) !== 0) output.warn(`others on this machine can read ${file}: chmod 600 ${file}`);
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof PosternError) throw error;
    throw new PosternError('invalid_request', `The file with the ${what} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

async function fromStdin(terminal: Terminal, what: string): Promise<string> {
  const { stdin, signal } = terminal;
  if (stdin.isTTY) return typed(terminal, what);
  signal.throwIfAborted();
  const stop = (): void => void stdin.destroy(new Error('interrupted'));
  signal.addEventListener('abort', stop, { once: true });
  let text = '';
  try {
    for await (const chunk of stdin) {
      text += String(chunk);
      if (text.length > MAX) throw new PosternError('invalid_request', `What comes by stdin is too long for a ${what}`);
    }
    return text;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Asks on the terminal without showing what is typed. */
async function typed({ stdin, stderr, signal }: Terminal, what: string): Promise<string> {
  signal.throwIfAborted();
  // Before the prompt: what is typed early would be shown.
  stdin.setRawMode(true).setEncoding('utf8').resume();
  stderr.write(`${what}: `);
  let text = '';
  try {
    for await (const chunk of stdin.iterator({ destroyOnReturn: false })) {
      for (const key of String(chunk)) {
        if (key === '\r' || key === '\n' || key === '\u0004') return text;
        if (key === '\u0003') await interrupt(signal);
        text = key === '\u007F' || key === '\b' ? text.slice(0, -1) : text + key;
      }
    }
    return text;
  } finally {
    stdin.setRawMode(false).pause();
    stderr.write('\n');
  }
}

/** In raw mode Ctrl-C is a key like any other. */
async function interrupt(signal: AbortSignal): Promise<never> {
  process.kill(process.pid, 'SIGINT');
  // The wait ends by the abort, or was in vain; without its timer the process would end before the signal comes.
  await sleep(1_000, undefined, { signal }).catch(() => {});
  signal.throwIfAborted();
  throw new PosternError('invalid_request', 'Cancelled: nothing was changed');
}

/** @returns whether the person typed `yes` or `y`. @throws {PosternError} invalid_request where nobody can be asked */
export async function confirm({ stdin, stderr }: Terminal, question: string): Promise<boolean> {
  if (!stdin.isTTY)
    throw new PosternError('invalid_request', 'This needs a confirmation, and there is no terminal to ask on', {
      detail: 'Repeat it with --yes if you mean it.',
    });
  stderr.write(`${question} [y/N] `);
  stdin.setEncoding('utf8').resume();
  for await (const line of stdin.iterator({ destroyOnReturn: false })) {
    stdin.pause();
    return /^y(es)?\s*$/i.test(String(line));
  }
  return false;
}
