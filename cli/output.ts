import { once } from 'node:events';
import { styleText } from 'node:util';
import { PosternError } from '#broker/error.ts';
import type { Finding } from '#broker/finding.ts';
import { ListOutput } from './list-output.ts';

/** What a command may use of the process it runs in. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Aborts on SIGINT, SIGTERM, SIGHUP. */
  readonly signal: AbortSignal;
  /** Runs the broker in this process, which then answers signals itself; never resolves. @throws {PosternError} misconfigured */
  readonly serve?: () => Promise<never>;
  /** What `serve` would meet, without serving. @throws {PosternError} misconfigured */
  readonly check?: (options: { login?: boolean | undefined }) => Promise<readonly Finding[]>;
}

/** Streams whose reader may not just go away. */
const needed = new WeakSet<NodeJS.WriteStream>();

/** Whether something stands on it that is shown once: then its command tells that nobody reads it. */
export function isNeeded(stream: NodeJS.WriteStream): boolean {
  return needed.has(stream);
}

function untaken({ code = 'closed' }: NodeJS.ErrnoException): PosternError {
  return new PosternError('misconfigured', `What was to be shown once could not be written to stdout (${code})`, {
    detail: 'Nobody has it. See that stdout is read to its end (a file, say), and run it again.',
  });
}

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** Results go to stdout and nothing else does; what is said to the person goes to stderr. */
export class Output {
  readonly json: boolean;
  readonly #terminal: Terminal;
  readonly #colours: { stdout: boolean; stderr: boolean };
  #progressShown = false;

  constructor(terminal: Terminal, json: boolean) {
    this.json = json;
    this.#terminal = terminal;
    // https://no-color.org
    const plain = Boolean(terminal.env['NO_COLOR']) || terminal.env['TERM'] === 'dumb';
    this.#colours = { stdout: !plain && terminal.stdout.isTTY === true, stderr: !plain && terminal.stderr.isTTY === true };
  }

  /** The result: one JSON document, or the text for people. */
  result(document: unknown, text: string): void {
    this.#clearProgress();
    const out = this.json ? JSON.stringify(document, null, this.#terminal.stdout.isTTY ? 2 : undefined) : text;
    this.#terminal.stdout.write(out.endsWith('\n') || out === '' ? out : `${out}\n`);
  }

  /**
   * A result that is a list, each part written as it comes. `add` and `end` wait for whoever reads.
   * @param name of the list in the JSON document
   */
  list(name: string, columns: readonly string[], json = this.json): ListOutput {
    const { stdout } = this.#terminal;
    return new ListOutput({
      stdout,
      json,
      name,
      table: (rows) => this.table(columns, rows),
      clear: () => this.#clearProgress(),
    });
  }

  /** A part of a result that comes piece by piece, each as it is there. */
  line(text: string): void {
    this.#clearProgress();
    this.#terminal.stdout.write(`${text}\n`);
  }

  /** The same for text that is written as it is; waits for whoever reads. */
  async text(text: string): Promise<void> {
    this.#clearProgress();
    if (!this.#terminal.stdout.write(text)) await once(this.#terminal.stdout, 'drain');
  }

  /**
   * Resolves when all of the result, which is shown this once, has left this process.
   * @throws {PosternError} misconfigured where nobody takes it
   */
  taken(): Promise<void> {
    const { stdout } = this.#terminal;
    needed.add(stdout);
    return new Promise((resolve, reject) => {
      stdout.write('', (error) => (error ? reject(untaken(error)) : resolve()));
    });
  }

  /** A line for the person, beside the result. */
  note(text: string): void {
    this.#clearProgress();
    this.#terminal.stderr.write(`${text}\n`);
  }

  warn(text: string): void {
    this.note(`${this.style('yellow', 'warning:', 'stderr')} ${text}`);
  }

  /** One line that is written over, on a terminal only. */
  progress(text: string): void {
    if (this.#terminal.stderr.isTTY !== true) return;
    this.#terminal.stderr.write(`\r\u001B[K${text}`);
    this.#progressShown = true;
  }

  /** Says how far a longer work is, from its first second on. */
  counter(what: string): (done: number, all: number) => void {
    const start = performance.now();
    return (done, all) => {
      if (done === all) this.#clearProgress();
      else if (performance.now() - start > 1_000) this.progress(`${what}: ${done} of ${all}`);
    };
  }

  /** What went wrong, and what to do. */
  failure(error: unknown): void {
    this.#clearProgress();
    const { code, message, remedy } = described(error, Boolean(this.#terminal.env['POSTERN_DEBUG']));
    if (this.json) {
      this.#terminal.stderr.write(`${JSON.stringify({ error: code, message, ...(remedy === undefined ? {} : { remedy }) })}\n`);
      return;
    }
    this.#terminal.stderr.write(
      `${this.style('red', 'error:', 'stderr')} ${message}\n${remedy === undefined ? '' : `${indent(remedy)}\n`}`,
    );
  }

  style(style: Style, text: string, stream: 'stdout' | 'stderr' = 'stdout'): string {
    return this.#colours[stream] ? styleText(style, text, { validateStream: false }) : text;
  }

  /** Aligned columns with a heading on a terminal; else tab-separated values, without one, for `cut` and `awk`. */
  table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
    if (this.#terminal.stdout.isTTY !== true) return rows.map((row) => row.join('\t')).join('\n');
    const widths = columns.map((column, at) => rows.reduce((most, row) => Math.max(most, row[at]?.length ?? 0), column.length));
    const line = (cells: readonly string[]): string =>
      cells
        .map((cell, at) => (at === cells.length - 1 ? cell : cell.padEnd(widths[at] ?? 0)))
        .join('  ')
        .trimEnd();
    return [this.style('bold', line(columns)), ...rows.map(line)].join('\n');
  }

  /** Whether a person reads the result, not a program behind a pipe. */
  get forPeople(): boolean {
    return this.#terminal.stdout.isTTY === true;
  }

  /** `name  value` lines. */
  fields(pairs: readonly (readonly [name: string, value: string])[]): string {
    const width = Math.max(...pairs.map(([name]) => name.length));
    return pairs.map(([name, value]) => `${this.style('dim', name.padEnd(width))}  ${value}`).join('\n');
  }

  #clearProgress(): void {
    if (this.#progressShown) this.#terminal.stderr.write('\r\u001B[K');
    this.#progressShown = false;
  }
}

export function exitCodeOf(error: unknown): number {
  return error instanceof PosternError ? error.exitCode : 1;
}

/** An unforeseen error may hold anything: of its text the first line is told, without what might be a secret; its place only on demand. */
function described(error: unknown, debug: boolean): { code: string; message: string; remedy: string | undefined } {
  if (error instanceof PosternError) return { code: error.code, message: error.message, remedy: error.detail };
  const name = error instanceof Error ? error.name : typeof error;
  const place =
    error instanceof Error
      ? (error.stack ?? '')
          .split('\n')
          .filter((line) => /^\s+at /.test(line))
          .slice(0, 8)
          .map((line) => line.trim())
      : [];
  return {
    code: 'internal',
    message: `Something unforeseen happened in postern itself (${name}${firstLine(error)}).`,
    remedy: debug ? place.join('\n') : 'Run it again with POSTERN_DEBUG=1 to see where, and report it.',
  };
}

/** Whatever is as long as a token, an id or a key is left out; words, paths and numbers of ports are shorter between their separators. */
function firstLine(error: unknown): string {
  const line = error instanceof Error ? (error.message.split('\n').find((one) => one.trim() !== '') ?? '') : '';
  const safe = line
    .trim()
    .slice(0, 200)
    .replace(
      /\beyJ\S+|\b(?:hv[sbr]|[sbr])\.\S+|\bpostern_\S+|\/\/[^/@\s]*@|(?<=\b(?:bearer|basic)\s|(?:token|secret|password|key|code)\S*[:=]\s*)\S+/gi,
      '…',
    )
    .replace(/[\w+=~-]{16,}/g, '…');
  return safe === '' ? '' : `: ${safe}`;
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
}
