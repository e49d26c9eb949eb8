import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as sleep } from 'node:timers/promises';
import { PosternError } from '#broker/error.ts';
import type { Terminal } from '#cli/output.ts';

/** The broker's own lines are below 4 kB: a longer one is of something else. Characters. */
const MAX_LINE = 65_536;
/** Between two looks at a file that is followed, ms. */
const LOOK_EVERY = 200;
const PIECE = 65_536;

/** Text in pieces to whole lines; of the memory no more than one piece and one line are held. A longer line comes as ''. */
export class LineCutter {
  #rest = '';
  #skipping = false;

  *feed(piece: string): Generator<string> {
    let from = 0;
    for (;;) {
      const end = piece.indexOf('\n', from);
      if (end === -1) break;
      const line = this.#rest + piece.slice(from, end);
      yield this.#skipping || line.length > MAX_LINE ? '' : line;
      this.#rest = '';
      this.#skipping = false;
      from = end + 1;
    }
    if (this.#skipping) return;
    this.#rest += piece.slice(from);
    if (this.#rest.length <= MAX_LINE) return;
    this.#rest = '';
    this.#skipping = true;
  }

  /** What came after the last line's end; '' where nothing did. */
  end(): string {
    const rest = this.#rest;
    this.#rest = '';
    return rest;
  }
}

/** The lines of a file or, with `-`, of standard input. @throws {PosternError} invalid_request, not_found */
export async function* linesOf(terminal: Terminal, path: string): AsyncGenerator<string> {
  const { stdin, signal } = terminal;
  const cutter = new LineCutter();
  const stream = path === '-' ? stdin : createReadStream(path, { highWaterMark: PIECE, signal });
  if (path === '-') signal.addEventListener('abort', () => void stdin.destroy(new Error('interrupted')), { once: true });
  try {
    for await (const piece of stream.setEncoding('utf8')) yield* cutter.feed(String(piece));
  } catch (error) {
    throw signal.aborted ? error : unreadable(path, error);
  }
  const last = cutter.end();
  if (last !== '') yield last;
}

/**
 * The lines that are written to a file from now on, until the signal: on through a rotation (by another file of its name) and through a
 * file that is cut short.
 * @param fromStart whether what is there comes first
 * @throws {PosternError} invalid_request, not_found where the file isn't there at the start
 */
export async function* followed(path: string, signal: AbortSignal, fromStart: boolean): AsyncGenerator<string> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    throw unreadable(path, error);
  }
  const buffer = Buffer.alloc(PIECE);
  let decoder = new StringDecoder('utf8');
  let cutter = new LineCutter();
  let at = fromStart ? 0 : (await file.stat()).size;
  try {
    while (!signal.aborted) {
      const { bytesRead } = await file.read(buffer, 0, PIECE, at);
      if (bytesRead > 0) {
        at += bytesRead;
        yield* cutter.feed(decoder.write(buffer.subarray(0, bytesRead)));
        continue;
      }
      const [here, there] = await Promise.all([file.stat(), stat(path).catch(() => undefined)]);
      const another = there !== undefined && (there.ino !== here.ino || there.dev !== here.dev);
      if (here.size < at) at = 0;
      else if (another && here.size === at) {
        const next = await open(path, 'r').catch(() => undefined);
        if (next !== undefined) {
          // Whatever was written between the look and the opening of the next.
          const late = await file.read(buffer, 0, PIECE, at);
          if (late.bytesRead > 0) yield* cutter.feed(decoder.write(buffer.subarray(0, late.bytesRead)));
          await file.close();
          file = next;
          at = 0;
        }
      } else {
        await sleep(LOOK_EVERY, undefined, { signal }).catch(() => {});
        continue;
      }
      decoder = new StringDecoder('utf8');
      cutter = new LineCutter();
    }
  } finally {
    await file.close();
  }
}

function unreadable(path: string, error: unknown): PosternError {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
  if (code === 'ENOENT')
    return new PosternError('not_found', `There is no file ${path}`, {
      detail: 'POSTERN_AUDIT_FILE of the broker names its file; without it the audit is on its stdout: pipe that in.',
    });
  return new PosternError('invalid_request', `${path === '-' ? 'Standard input' : path} can't be read (${code})`, {
    detail: code === 'EACCES' ? `Run it as one who may, or pipe it in: sudo cat ${path} | …` : 'Name a file, or - for standard input.',
  });
}
