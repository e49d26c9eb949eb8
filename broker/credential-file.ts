import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { PosternError } from './error.ts';

/** Bytes. A service-account token has 1 to 2 kB, a Vault token 100. */
const MAX_SIZE = 64 * 1024;

/**
 * A credential that lies in a file: one line, read anew each time, so that whoever replaces it (a kubelet, a Vault Agent, an operator)
 * needn't tell the broker. White space around it and a byte order mark are dropped.
 */
export class CredentialFile {
  /** The setting that names the file. */
  readonly variable: string;
  readonly path: string;

  constructor(variable: string, path: string) {
    this.variable = variable;
    this.path = path;
  }

  /** @throws {PosternError} misconfigured, saying in one line what is wrong with the file; never with anything that it holds */
  read(): string {
    const text = this.#bytes()
      .toString('utf8')
      .replace(/^\uFEFF/, '')
      .trim();
    if (text === '') throw this.#fault('is empty');
    // A header can't hold it, and it is no credential: most likely it is another file, or half of one.
    if (!/^[\x21-\x7e]+$/.test(text)) throw this.#fault('holds more than one word of ASCII, so it is no credential');
    return text;
  }

  #bytes(): Buffer {
    let file: number | undefined;
    try {
      // Without waiting: a pipe that nobody writes to would stop the whole process.
      file = openSync(this.path, constants.O_RDONLY | constants.O_NONBLOCK);
      const stat = fstatSync(file);
      if (stat.isDirectory()) throw this.#fault('cannot be read (EISDIR)');
      if (!stat.isFile()) throw this.#fault('is no file');
      const bytes = Buffer.alloc(MAX_SIZE + 1);
      let length = 0;
      for (let read = 1; read > 0 && length < bytes.length; length += read)
        read = readSync(file, bytes, length, bytes.length - length, length);
      if (length > MAX_SIZE) throw this.#fault(`is larger than ${MAX_SIZE / 1024} KiB, so it is no credential`);
      return bytes.subarray(0, length);
    } catch (error) {
      if (error instanceof PosternError) throw error;
      throw this.#fault(`cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
    } finally {
      if (file !== undefined) closeSync(file);
    }
  }

  #fault(what: string): PosternError {
    return new PosternError('misconfigured', `${this.variable} ${what}`);
  }
}
