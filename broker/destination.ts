import { close, constants, fstatSync, mkdirSync, openSync, write, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { idleWithin } from './batched-lines.ts';

export interface DestinationOptions {
  /** Told at most each 10 s while lines cannot be written. */
  onError?: (error: unknown) => void;
  /** Told when they can again, with how many lines were lost, for want of memory, in between. */
  onRecovery?: (lost: number) => void;
}

/** Most bytes held back while they cannot be written; what comes then is lost. */
const MAX_HELD = 64 * 1024 * 1024;
/** Bytes of one write. */
const MAX_WRITE = 64 * 1024;
/** Between two tellings of the same trouble, ms. */
const TELL_AGAIN = 10_000;
/** Until a write that failed is tried again, ms; a pipe that is full is looked at sooner. */
const RETRY = 1_000;
const RETRY_PIPE = 50;
/** How long {@link Destination.flushSync} waits for the reader of a full pipe, ms. */
const PATIENCE = 2_000;

/** Appends; a FIFO without a reader is an error and not a wait for ever. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
/** They are what the process was given, and may be sockets, which cannot be opened by name. */
const GIVEN: Readonly<Record<string, number>> = { '/dev/stdout': 1, '/dev/stderr': 2 };

/**
 * Where lines go, written in the background, in order. A full disk or a dead device ends no process: lines are held back, and
 * written when that is possible again. A file can be opened anew after somebody renamed it: no line is lost or torn between the two.
 */
export class Destination {
  readonly #options: DestinationOptions;
  readonly #path: string | undefined;
  #fd: number;
  /** Opened in place of `#fd`, which has a write under way. */
  #next: number | undefined;
  #lines: string[] = [];
  /** Bytes held: of `#lines` and what is left of `#batch`. */
  #held = 0;
  #batch: Buffer | undefined;
  /** Of the batch, bytes that are written. */
  #offset = 0;
  #writing = false;
  #retry: NodeJS.Timeout | undefined;
  #toldAt = Number.NEGATIVE_INFINITY;
  #failing = false;
  #lost = 0;
  #allLost = 0;
  readonly #idle: (() => void)[] = [];

  /**
   * @param target a file descriptor, or a file's path, whose folder is made where it is missing
   * @throws what opening the file does
   */
  constructor(target: number | string, options: DestinationOptions = {}) {
    this.#options = options;
    const given = typeof target === 'number' ? target : GIVEN[target];
    this.#path = given === undefined ? (target as string) : undefined;
    this.#fd = given ?? opened(target as string);
  }

  /** Bytes that wait to be written, and lines that were lost since the start. */
  get backlog(): { readonly bytes: number; readonly lost: number } {
    return { bytes: this.#held, lost: this.#allLost };
  }

  /** @param text one or more whole lines */
  write(text: string): void {
    const bytes = Buffer.byteLength(text);
    if (this.#held + bytes > MAX_HELD) {
      const lines = text.split('\n').length - 1;
      this.#lost += lines;
      this.#allLost += lines;
      return;
    }
    this.#held += bytes;
    this.#lines.push(text);
    this.#work();
  }

  /**
   * Opens the file by its name anew, after somebody renamed it. A file descriptor stays what it is.
   * @throws what opening does; the old file stays in use then
   */
  reopen(): void {
    if (this.#path === undefined) return;
    const fd = opened(this.#path);
    if (this.#next !== undefined) discard(this.#next);
    this.#next = fd;
    if (this.#writing) return;
    this.#change();
    this.#retryNow();
  }

  /** Resolves when everything is written, or can't be, or after `ms`. */
  async drained(ms: number): Promise<void> {
    if (this.#held === 0 || this.#failing) return;
    await idleWithin(this.#idle, ms);
  }

  /** Writes what is left, before the process ends. Never throws. */
  flushSync(): void {
    // What the background is at now, it ends before the process does.
    const rest = this.#writing || this.#batch === undefined ? [] : [this.#batch.subarray(this.#offset)];
    let bytes = Buffer.concat([...rest, Buffer.from(this.#lines.join(''))]);
    this.#lines = [];
    if (!this.#writing) this.#batch = undefined;
    const until = performance.now() + PATIENCE;
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(writeSync(this.#next ?? this.#fd, bytes));
      } catch (error) {
        if (!isFull(error) || performance.now() > until) {
          this.#tell(error);
          break;
        }
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_PIPE);
      }
    }
    this.#held = 0;
  }

  #work(): void {
    if (this.#writing || this.#retry !== undefined) return;
    if (this.#batch === undefined) {
      if (this.#lines.length === 0) {
        for (const resolve of this.#idle.splice(0)) resolve();
        return;
      }
      this.#batch = this.#take();
      this.#offset = 0;
    }
    this.#writing = true;
    write(this.#fd, this.#batch, this.#offset, this.#batch.length - this.#offset, null, (error, bytes) => this.#written(error, bytes));
  }

  #take(): Buffer {
    let bytes = 0;
    let count = 0;
    while (count < this.#lines.length && (count === 0 || bytes < MAX_WRITE)) bytes += this.#lines[count++]!.length;
    return Buffer.from(this.#lines.splice(0, count).join(''));
  }

  #written(error: NodeJS.ErrnoException | null, bytes: number): void {
    this.#writing = false;
    if (error === null) {
      this.#offset += bytes;
      this.#held -= bytes;
      if (this.#offset >= (this.#batch?.length ?? 0)) this.#batch = undefined;
      this.#recovered();
    } else if (!isFull(error)) {
      this.#failing = true;
      for (const resolve of this.#idle.splice(0)) resolve();
      this.#tell(error);
    }
    // A batch that is half written is ended in its own file, if that takes it.
    if (this.#next !== undefined && (this.#batch === undefined || error !== null)) this.#change();
    else if (error !== null) {
      this.#retry = setTimeout(() => this.#retryNow(), isFull(error) ? RETRY_PIPE : RETRY).unref();
      return;
    }
    this.#work();
  }

  #retryNow(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    // A file system that went away and came back has forgotten the file that was open.
    if (this.#failing && this.#path !== undefined) {
      try {
        this.#next = opened(this.#path);
        this.#change();
      } catch (error) {
        this.#tell(error);
      }
    }
    this.#work();
  }

  /** From here on lines go to the file that was opened last; one that is half written in another goes there whole. */
  #change(): void {
    const before = this.#fd;
    this.#fd = this.#next!;
    this.#next = undefined;
    if (this.#batch !== undefined && this.#offset > 0 && !isSame(before, this.#fd)) {
      const line = this.#batch.lastIndexOf(10, this.#offset - 1) + 1;
      this.#held += this.#offset - line;
      this.#offset = line;
    }
    discard(before);
  }

  #recovered(): void {
    const lost = this.#lost;
    const failed = this.#failing;
    this.#failing = false;
    this.#lost = 0;
    if (!failed && lost === 0) return;
    this.#toldAt = Number.NEGATIVE_INFINITY;
    this.#options.onRecovery?.(lost);
  }

  #tell(error: unknown): void {
    const now = performance.now();
    if (now - this.#toldAt < TELL_AGAIN) return;
    this.#toldAt = now;
    this.#options.onError?.(error);
  }
}

/** @throws what the file system does */
function opened(path: string): number {
  mkdirSync(dirname(path), { recursive: true });
  return openSync(path, FLAGS);
}

function discard(fd: number): void {
  close(fd, () => {});
}

/** Whether the pipe only has to be read first. */
function isFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EAGAIN' || code === 'EBUSY';
}

function isSame(one: number, other: number): boolean {
  try {
    const [a, b] = [fstatSync(one), fstatSync(other)];
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return false;
  }
}
