import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PosternError } from '#broker/error.ts';

/** A file of JSON lines for its owner alone, each on the disk before `append` resolves. What a kill left half-written is cut off. */
export class DurableFile {
  readonly lines: readonly unknown[];
  readonly #file: FileHandle;
  #waiting: { text: string; done: () => void; failed: (error: unknown) => void }[] = [];
  #writing: Promise<void> | undefined;

  private constructor(file: FileHandle, lines: readonly unknown[]) {
    this.#file = file;
    this.lines = lines;
  }

  /** @throws {PosternError} invalid_request where it can't be written, or others may read it */
  static async open(path: string): Promise<DurableFile> {
    const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
    const file = await open(path, flags, 0o600).catch((error: unknown) => {
      throw new PosternError('invalid_request', `${path} can't be written (${(error as NodeJS.ErrnoException).code})`);
    });
    try {
      const status = await file.stat();
      if (!status.isFile() || (status.mode & 0o077) !== 0)
        throw new PosternError('invalid_request', `${path} is not a file that its owner alone may read`, {
          detail: `Run: chmod 600 ${path}`,
        });
      const text = await file.readFile('utf8');
      const whole = text.slice(0, text.lastIndexOf('\n') + 1);
      const lines = whole
        .split('\n')
        .slice(0, -1)
        .map((line, at) => parsed(path, line, at + 1));
      await file.truncate(Buffer.byteLength(whole));
      await file.sync();
      // A new file's name is on the disk too.
      const folder = await open(dirname(path), constants.O_RDONLY);
      await folder.sync().finally(() => folder.close());
      return new DurableFile(file, lines);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Those that wait together are written with one sync. */
  append(line: unknown): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ text: `${JSON.stringify(line)}\n`, done, failed });
      this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
    });
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#file.appendFile(batch.map(({ text }) => text).join(''));
        await this.#file.datasync();
        for (const { done } of batch) done();
      } catch (error) {
        for (const { failed } of batch) failed(error);
      }
    }
  }
}

function parsed(path: string, line: string, at: number): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new PosternError('invalid_request', `Line ${at} of ${path} is no JSON`, { detail: 'Name another file.' });
  }
}
