import { PassThrough } from 'node:stream';
import type { Terminal } from '#cli/output.ts';

export interface FakeTerminal extends Terminal {
  out(): string;
  err(): string;
  abort(): void;
  /** What raw mode was set to, in order. */
  raw: boolean[];
}

/** Streams in memory, on a terminal or in pipes. */
export function fakeTerminal(options: { tty?: boolean; env?: Record<string, string>; input?: string } = {}): FakeTerminal {
  const tty = options.tty === true;
  const written = { out: '', err: '' };
  const raw: boolean[] = [];
  const sink = (name: 'out' | 'err') =>
    Object.assign(
      new PassThrough().on('data', (chunk) => (written[name] += String(chunk))),
      { isTTY: tty, columns: 100 },
    );
  const stdin = new PassThrough();
  Object.assign(stdin, { isTTY: tty, setRawMode: (on: boolean) => (raw.push(on), stdin) });
  if (options.input !== undefined) stdin.end(options.input);
  const controller = new AbortController();
  return {
    env: options.env ?? {},
    stdin: stdin as unknown as NodeJS.ReadStream,
    stdout: sink('out') as unknown as NodeJS.WriteStream,
    stderr: sink('err') as unknown as NodeJS.WriteStream,
    signal: controller.signal,
    out: () => written.out,
    err: () => written.err,
    abort: () => controller.abort(new Error('interrupted')),
    raw,
  };
}
