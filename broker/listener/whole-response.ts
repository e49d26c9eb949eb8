import { STATUS_CODES, validateHeaderValue } from 'node:http';
import type { Socket } from 'node:net';

/** What a handler answers by: of Node's ServerResponse, what our doors use. */
export interface Answer {
  statusCode: number;
  readonly headersSent: boolean;
  readonly writableEnded: boolean;
  readonly writableFinished: boolean;
  readonly destroyed: boolean;
  setHeader(name: string, value: string): unknown;
  /** @param headers names and values in turn */
  writeHead(status: number, headers: string[]): unknown;
  end(body?: string | Buffer, encoding?: BufferEncoding): unknown;
  once(event: 'close', listener: () => void): unknown;
  destroy(): unknown;
}

/** The answer to a whole request: the bytes that Node's ServerResponse would write, in one piece. */
export class WholeResponse implements Answer {
  statusCode = 200;
  headersSent = false;
  writableEnded = false;
  writableFinished = false;
  destroyed = false;
  readonly #socket: Socket;
  readonly #kept: string;
  readonly #over: () => void;
  readonly #set: string[] = [];
  #headers = '';
  #hasLength = false;
  /** The connection ends with this answer. */
  #isLast = false;
  #isOver = false;
  #listeners: (() => void)[] | undefined;

  /**
   * @param kept the header lines that tell how long the connection is kept (RFC 9112 §9.3)
   * @param over told once, when it is sent or can't be any more
   */
  constructor(socket: Socket, kept: string, over: () => void) {
    this.#socket = socket;
    this.#kept = kept;
    this.#over = over;
  }

  setHeader(name: string, value: string): void {
    this.#set.push(name, value);
  }

  /**
   * @param often further ones before these, in an array that is written again and again, and never changed: its lines are remembered
   * @throws TypeError as Node's, for a value with a control character
   */
  writeHead(status: number, headers: readonly string[], often?: readonly string[]): void {
    const lines = linesOf(headers);
    const oftenLines = often === undefined ? NO_LINES : rememberedLinesOf(often);
    const set = this.#set.length === 0 ? NO_LINES : linesOf(unlessIn([...headers, ...(often ?? [])], this.#set));
    this.statusCode = status;
    this.#headers = set.text + oftenLines.text + lines.text;
    this.#hasLength = set.tellLength || oftenLines.tellLength || lines.tellLength;
    this.#isLast = set.close || oftenLines.close || lines.close;
    this.headersSent = true;
  }

  end(body: string | Buffer = '', encoding: BufferEncoding = 'utf8'): void {
    if (this.writableEnded) return;
    if (!this.headersSent) this.writeHead(this.statusCode, []);
    this.writableEnded = true;
    const socket = this.#socket;
    // The client is gone: that the socket closes ends this, too.
    if (!socket.writable) return;
    const { statusCode: status } = this;
    const bodiless = status === 204 || status === 304;
    const head =
      (status === 200 ? OK : `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'unknown'}\r\n`) +
      this.#headers +
      date() +
      (this.#isLast ? LAST : this.#kept) +
      (this.#hasLength || bodiless ? '\r\n' : `Content-Length: ${Buffer.byteLength(body, encoding)}\r\n\r\n`);
    if (bodiless || body.length === 0) socket.write(head, 'latin1', this.#written);
    else if (encoding === 'latin1' && typeof body === 'string') socket.write(head + body, encoding, this.#written);
    else {
      socket.cork();
      socket.write(head, 'latin1');
      socket.write(body, encoding, this.#written);
      socket.uncork();
    }
    if (this.#isLast) socket.destroySoon();
  }

  once(_event: 'close', listener: () => void): void {
    (this.#listeners ??= []).push(listener);
  }

  destroy(): void {
    this.destroyed = true;
    this.#socket.destroy();
  }

  /** The connection has closed. */
  lost(): void {
    if (this.#isOver) return;
    this.destroyed = true;
    this.#end();
  }

  readonly #written = (error?: Error | null): void => {
    // After an error the socket closes.
    if (error || this.#isOver) return;
    this.writableFinished = true;
    this.#end();
  };

  #end(): void {
    this.#isOver = true;
    this.#over();
    for (const listener of this.#listeners ?? []) listener();
    this.#listeners = undefined;
    // The connection remembers its last answer.
    this.#headers = '';
    this.#set.length = 0;
  }
}

/** Headers as they are sent. */
interface Lines {
  readonly text: string;
  readonly tellLength: boolean;
  /** Whether they end the connection: the only value of Connection that a door of ours writes. */
  readonly close: boolean;
}

const NO_LINES: Lines = { text: '', tellLength: false, close: false };
const remembered = new WeakMap<readonly string[], Lines>();

function rememberedLinesOf(headers: readonly string[]): Lines {
  let lines = remembered.get(headers);
  if (lines === undefined) {
    const made = linesOf(headers);
    // In one piece: what is put together of many is put together anew each time that it is written.
    lines = { ...made, text: Buffer.from(made.text, 'latin1').toString('latin1') };
    remembered.set(headers, lines);
  }
  return lines;
}

function linesOf(headers: readonly string[]): Lines {
  let text = '';
  let tellLength = false;
  let close = false;
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at]!;
    const value = headers[at + 1]!;
    validateHeaderValue(name, value);
    if (name === 'Connection') close = true;
    else text += `${name}: ${value}\r\n`;
    if (name === 'Content-Length') tellLength = true;
  }
  return { text, tellLength, close };
}

/** Those whose names aren't in `headers`, which come later and count. */
function unlessIn(headers: readonly string[], earlier: readonly string[]): string[] {
  const names = new Set(headers.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()));
  return earlier.filter((_, at) => !names.has(earlier[at - (at % 2)]!.toLowerCase()));
}

const OK = 'HTTP/1.1 200 OK\r\n';
const LAST = 'Connection: close\r\n';

let told = '';
let until = 0;

/** RFC 9110 §6.6.1, anew each second. */
function date(): string {
  const now = Date.now();
  if (now >= until || now < until - 1_000) {
    told = `Date: ${new Date(now).toUTCString()}\r\n`;
    until = now - (now % 1_000) + 1_000;
  }
  return told;
}
