import { connect as connectPlain } from 'node:net';
import type { Socket } from 'node:net';
import { hostname } from 'node:os';
import { connect as connectTls } from 'node:tls';
import type { DestinationOptions } from './destination.ts';
import type { SyslogTarget } from './syslog-target.ts';
import { idleWithin } from './batched-lines.ts';

export interface SyslogOptions extends DestinationOptions {
  /** Most bytes held back while they can't be sent; what comes then is lost. Default 64 MiB. */
  maxHeld?: number;
  /** Until a connection is tried again, ms; it doubles up to thirty times that. Default 1,000. */
  retryMs?: number;
  /** Told of each connection. */
  onConnect?: () => void;
}

/** Facility 13 (log audit), severity 6 (informational): RFC 5424 §6.2.1. */
const PRI = 13 * 8 + 6;
/** Longest wait for a connection, ms. */
const CONNECT = 10_000;
/** Bytes handed to the system and not taken by it yet, at most. */
const MAX_WRITE = 256 * 1024;
/** Between two tellings of the same trouble, ms. */
const TELL_AGAIN = 10_000;
/** RFC 5424 §6: PRINTUSASCII. */
const UNPRINTABLE = /[^\x21-\x7e]/g;
const HEAD = /^\{"time":"([0-9T:.-]+Z)",(?:"request_id":"[^"]{1,128}",)?"event":"([!#-~]{1,32})"/;

/** One message of RFC 5424 behind its length (RFC 6587 §3.4.1, RFC 5425 §4.3): what is within it ends no frame. */
export function frameOf(line: string, host = hostname(), pid = process.pid): Buffer {
  const [, time = '-', event = '-'] = HEAD.exec(line) ?? [];
  const name = host.replaceAll(UNPRINTABLE, '').slice(0, 255) || '-';
  const message = Buffer.from(`<${PRI}>1 ${time} ${name} postern ${pid} ${event} - ${line}`);
  return Buffer.concat([Buffer.from(`${message.length} `), message]);
}

/**
 * Sends lines to a syslog receiver, in the background and in order. While nobody takes them they are held back, so many bytes at most;
 * what comes then is lost, and counted. What the system hasn't taken when a connection breaks is sent again, whole: the receiver may have
 * a message twice. What the system took and the receiver never read is lost untold, as always with syslog.
 */
export class SyslogDestination {
  readonly #target: SyslogTarget;
  readonly #options: SyslogOptions;
  readonly #maxHeld: number;
  readonly #retryMs: number;
  readonly #host = hostname();
  #frames: Buffer[] = [];
  /** Handed to the system, not taken by it yet. */
  #sent: Buffer[] = [];
  #held = 0;
  #sending = 0;
  #socket: Socket | undefined;
  #connected = false;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #lost = 0;
  #allLost = 0;
  #toldAt = Number.NEGATIVE_INFINITY;
  #closed = false;
  readonly #idle: (() => void)[] = [];

  constructor(target: SyslogTarget, options: SyslogOptions = {}) {
    this.#target = target;
    this.#options = options;
    this.#maxHeld = options.maxHeld ?? 64 * 1024 * 1024;
    this.#retryMs = options.retryMs ?? 1_000;
    this.#connect();
  }

  /** Bytes that wait to be sent, and lines that were lost since the start. */
  get backlog(): { readonly bytes: number; readonly lost: number } {
    return { bytes: this.#held, lost: this.#allLost };
  }

  /** @param text one or more whole lines */
  write(text: string): void {
    for (const line of text.split('\n')) {
      if (line === '') continue;
      const frame = frameOf(line, this.#host);
      if (this.#held + frame.length > this.#maxHeld) {
        this.#lost++;
        this.#allLost++;
        this.#tell(new Error('the receiver takes nothing, and no more is held back: lines are lost'));
        continue;
      }
      this.#held += frame.length;
      this.#frames.push(frame);
    }
    this.#send();
  }

  /** Connects anew, now, where there is no connection. */
  reopen(): void {
    this.#failures = 0;
    if (this.#retry !== undefined) this.#connect();
  }

  /** Resolves when everything is sent, or nobody takes it, or after `ms`. */
  async drained(ms: number): Promise<void> {
    if (this.#held === 0 || (this.#failures > 0 && !this.#connected)) return;
    await idleWithin(this.#idle, ms);
  }

  /** A socket can't be written to without waiting: what {@link drained} hasn't seen off is lost with the process. */
  flushSync(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#socket?.destroy();
  }

  #connect(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    const target = this.#target;
    let over = false;
    const socket =
      target.kind === 'unix'
        ? connectPlain({ path: target.path })
        : target.kind === 'tcp'
          ? connectPlain({ host: target.host, port: target.port })
          : connectTls({ host: target.host, port: target.port, servername: target.host });
    const end = (error: unknown): void => {
      if (over) return;
      over = true;
      socket.destroy();
      this.#ended(error);
    };
    this.#socket = socket;
    socket.unref();
    socket.setTimeout(CONNECT, () => end(new Error('nobody answers')));
    socket.once(target.kind === 'tls' ? 'secureConnect' : 'connect', () => {
      socket.setTimeout(0);
      if ('setKeepAlive' in socket && target.kind !== 'unix') socket.setKeepAlive(true, 30_000);
      this.#begun();
    });
    // Receivers say nothing; without a reader, the end of the connection wouldn't be seen.
    socket.resume();
    socket.once('error', end);
    socket.once('end', () => end(new Error('the receiver closed the connection')));
    socket.once('close', () => end(new Error('the connection ended')));
  }

  #begun(): void {
    this.#connected = true;
    const failed = this.#failures > 0;
    this.#failures = 0;
    this.#options.onConnect?.();
    if (failed) {
      this.#toldAt = Number.NEGATIVE_INFINITY;
      this.#recovered();
    }
    this.#send();
  }

  #ended(error: unknown): void {
    this.#connected = false;
    // Whole, and before what came since.
    this.#frames = [...this.#sent, ...this.#frames];
    this.#sent = [];
    this.#sending = 0;
    this.#failures++;
    for (const resolve of this.#idle.splice(0)) resolve();
    if (this.#closed) return;
    this.#tell(error);
    const wait = this.#retryMs * Math.min(30, 2 ** (this.#failures - 1)) * (0.75 + Math.random() / 2);
    this.#retry = setTimeout(() => this.#connect(), wait).unref();
  }

  #send(): void {
    const socket = this.#socket;
    if (!this.#connected || socket === undefined) return;
    while (this.#frames.length > 0 && this.#sending < MAX_WRITE) {
      let bytes = 0;
      let count = 0;
      while (count < this.#frames.length && bytes < MAX_WRITE / 4) bytes += this.#frames[count++]!.length;
      const batch = this.#frames.splice(0, count);
      this.#sent.push(...batch);
      this.#sending += bytes;
      socket.write(Buffer.concat(batch), (error) => {
        // Of a connection that has ended meanwhile, all is in `#frames` again.
        if (error || socket !== this.#socket || !this.#connected) return;
        this.#sent.splice(0, count);
        this.#sending -= bytes;
        this.#held -= bytes;
        if (this.#held === 0) {
          for (const resolve of this.#idle.splice(0)) resolve();
          if (this.#lost > 0) this.#recovered();
        }
        this.#send();
      });
    }
  }

  #recovered(): void {
    const lost = this.#lost;
    this.#lost = 0;
    this.#options.onRecovery?.(lost);
  }

  #tell(error: unknown): void {
    const now = performance.now();
    if (now - this.#toldAt < TELL_AGAIN) return;
    this.#toldAt = now;
    this.#options.onError?.(error);
  }
}
