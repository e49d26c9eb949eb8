import { styleText } from 'node:util';

/** One thing that was said and checked. */
export interface StoryStep {
  chapter: string;
  title: string;
  ok: boolean;
  /** What was seen, or why it was not as told. */
  detail: string;
  milliseconds: number;
}

/** Thrown by a step's check; the story ends there. */
export class NotAsTold extends Error {
  override readonly name = 'NotAsTold';
}

/** @throws NotAsTold with what was expected */
export function check(condition: boolean, expected: string): asserts condition {
  if (!condition) throw new NotAsTold(expected);
}

/** Where lines go, and whether they may be coloured. */
export interface Paper {
  write(line: string): void;
  /** What is going on now: gone with the next line on a terminal, a line of its own elsewhere. */
  progress(text: string): void;
  /** Something beside the story that must be seen: on stderr, and it stays. */
  remark(text: string): void;
  colours: boolean;
}

/**
 * Tells steps as they happen, each with its time. Nothing is told that has not been checked: a
 * step's work returns what it saw, or throws.
 */
export class Story {
  readonly steps: StoryStep[] = [];
  readonly #paper: Paper | undefined;
  #chapter = '';

  /** @param paper none: the story is only kept, for JSON */
  constructor(paper?: Paper) {
    this.#paper = paper;
  }

  chapter(title: string): void {
    this.#chapter = title;
    this.#paper?.write(`\n${this.#style('bold', title)}`);
  }

  /** A line that explains and claims nothing. */
  note(text: string): void {
    this.#paper?.write(this.#style('dim', `    ${text}`));
  }

  /** Does one step and tells it. `work` returns what was seen. @throws whatever the work throws, after telling it */
  async step<T>(title: string, work: () => Promise<{ seen: string; value: T }>): Promise<T> {
    const start = performance.now();
    try {
      const { seen, value } = await work();
      this.told(title, seen, performance.now() - start);
      return value;
    } catch (error) {
      const milliseconds = performance.now() - start;
      this.steps.push({ chapter: this.#chapter, title, ok: false, detail: (error as Error).message, milliseconds });
      this.#paper?.write(`  ${this.#style('red', '✗')} ${title}\n      ${this.#style('red', (error as Error).message)}`);
      throw error;
    }
  }

  /** Something that has happened and was checked elsewhere. */
  told(title: string, detail: string, milliseconds: number): void {
    this.steps.push({ chapter: this.#chapter, title, ok: true, detail, milliseconds });
    const time = this.#style('dim', duration(milliseconds).padStart(8));
    this.#paper?.write(`  ${this.#style('green', '✓')} ${time}  ${title}${detail === '' ? '' : this.#style('cyan', `  → ${detail}`)}`);
  }

  #style(format: 'bold' | 'dim' | 'green' | 'red' | 'cyan', text: string): string {
    return this.#paper?.colours ? styleText(format, text, { validateStream: false }) : text;
  }
}

/** After the first Ctrl-C. */
export const STOPPING = 'Stopping: what was started is being ended, and its files removed. Ctrl-C again ends it at once.';

/** How whoever is at work says what is going on. */
export const reporting =
  (paper: Paper) =>
  (text: string, kind?: 'remark'): void =>
    kind === 'remark' ? paper.remark(text) : paper.progress(text);

/** Colours on a terminal only, and never with NO_COLOR (https://no-color.org). Progress goes to stderr. */
export function paperOf(stream: NodeJS.WriteStream): Paper {
  const live = process.stderr.isTTY === true;
  // `| head`, or a terminal that was closed: the rest is done all the same when nobody reads.
  for (const one of [stream, process.stderr]) one.on('error', () => {});
  let shown = false;
  return {
    write(line) {
      if (shown) process.stderr.write('\r\u001B[K');
      shown = false;
      stream.write(`${line}\n`);
    },
    progress(text) {
      const width = (process.stderr.columns || 80) - 6;
      process.stderr.write(live ? `\r\u001B[K  … ${text.slice(0, width)}` : `${text} ...\n`);
      shown = live;
    },
    remark(text) {
      process.stderr.write(`${shown ? '\r\u001B[K' : ''}${text}\n`);
      shown = false;
    },
    colours: stream.isTTY === true && !process.env['NO_COLOR'],
  };
}

export function duration(milliseconds: number): string {
  if (milliseconds >= 1_000) return `${(milliseconds / 1_000).toFixed(1)} s`;
  return milliseconds >= 10 ? `${milliseconds.toFixed(0)} ms` : `${milliseconds.toFixed(1)} ms`;
}
