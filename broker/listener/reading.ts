import type { Socket } from 'node:net';

/** What `net` itself stops and starts reading by; not in its documentation. */
interface Handle {
  reading?: boolean;
  readStop?: () => void;
  readStart?: () => void;
}

/**
 * Whether a connection is read. Of one that isn't, nothing is in this process: a socket that is only paused goes on filling a buffer of its
 * own, so its handle is told, too.
 */
export class Reading {
  /** Of {@link Turns}: in which turn it was read again, and whether what comes in it is to be shed. */
  turn = -1;
  sheds = false;
  /** Whether it is left unread for others' sake. */
  left = false;
  /** Whose requests came by it; more than one client's where a proxy has it that nobody named, and then it is always read. */
  #client: string | undefined;
  #isShared = false;
  readonly #socket: Socket;
  readonly #mayLeave: () => boolean;

  /** @param mayLeave whether it may be left unread for others' sake */
  constructor(socket: Socket, mayLeave: () => boolean) {
    this.#socket = socket;
    this.#mayLeave = mayLeave;
  }

  usedBy(client: string): void {
    this.#client ??= client;
    this.#isShared ||= this.#client !== client;
  }

  /** @returns whether it is left unread from here on */
  leave(): boolean {
    const socket = this.#socket;
    if (this.#isShared || socket.destroyed || socket.writableEnded || socket.isPaused() || !this.#mayLeave()) return false;
    this.stop();
    this.left = true;
    return true;
  }

  stop(): void {
    this.#socket.pause();
    const handle = handleOf(this.#socket);
    if (handle?.reading !== true) return;
    handle.reading = false;
    handle.readStop?.();
  }

  start(): void {
    this.left = false;
    this.#socket.resume();
    const handle = handleOf(this.#socket);
    if (handle?.reading !== false) return;
    handle.reading = true;
    handle.readStart?.();
  }
}

function handleOf(socket: Socket): Handle | null | undefined {
  return (socket as Socket & { _handle?: Handle | null })._handle;
}
