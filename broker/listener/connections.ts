import type { Socket } from 'node:net';
import { networksOf } from '#broker/network.ts';
import type { Reading } from './reading.ts';
import type { Answer } from './whole-response.ts';

export interface ConnectionsOptions {
  /** Most at once. */
  max: number;
  /** Most of one address, or of one /64; a /56 may have twice, a /48 three times as many. Default a fifth of `max`, 64 at least. */
  maxPerAddress?: number | undefined;
  /** A proxy of ours: it carries many clients, so no network's limit counts for it, and it is never closed to make room. */
  isTrusted?: ((address: string) => boolean) | undefined;
  /** How long an answer may lie unread, ms. */
  unreadMs: number;
  /** How long a connection may do nothing, ms. */
  idleMs: number;
  /** The same when half of `max` is taken, ms. */
  crowdedIdleMs: number;
  /** ms of a clock that never goes back. */
  monotonic: () => number;
}

/** How far an answer is. */
type Progress = Pick<Answer, 'headersSent' | 'writableEnded' | 'writableFinished' | 'destroyed' | 'once' | 'setHeader'>;

/** A client's connection, and what is known of it. */
export interface Connection {
  socket: Socket;
  readonly networks: readonly [string, ...string[]];
  readonly trusted: boolean;
  readonly openedAt: number;
  /** Requests that were begun. */
  asked: number;
  /** The answer to the last of them; nothing where that need not be remembered any more. */
  last: Progress | undefined;
  /** Begin one after the other when `last` is sent. */
  readonly held: (() => void)[];
  /** Where it was asked for. */
  reading: Reading | undefined;
  /** Until then nothing is read from it. */
  rest: NodeJS.Timeout | undefined;
  /** What the last sweep saw, and since when, ms. */
  seen: { state: State; asked: number; since: number };
}

/** `fresh`: it has asked nothing yet; `busy`: we are at work; `unread`: the client doesn't read; `ended`: it won't close. */
type State = 'fresh' | 'busy' | 'unread' | 'idle' | 'ended';

/** Shares of /64, /56 and /48 of IPv6, as multiples of one address's. */
const SHARES = [1, 2, 3];
/** How long a new connection is left to send its first request before it may be closed to make room, ms. */
const GRACE = 250;
/** How long a connection that we have ended waits for the client to end its side, ms. */
const LINGER = 5_000;

/**
 * Who is connected. A newcomer beyond a limit gets the place of those of its own network that do nothing; beyond the limit of all,
 * of the network that has most. So nobody can hold so many connections that others get none.
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #maxPerAddress: number;
  readonly #all = new Set<Connection>();
  readonly #byNetwork = new Map<string, Set<Connection>>();

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#maxPerAddress = Math.min(options.max, options.maxPerAddress ?? Math.max(64, Math.ceil(options.max / 5)));
  }

  get size(): number {
    return this.#all.size;
  }

  /** For want of a place, or of one for its network, since the start. */
  refused = 0;

  /** Taken of all places, 0 to 1. */
  get fullness(): number {
    return this.#all.size / this.#options.max;
  }

  /** @returns undefined where there is no place */
  add(socket: Socket): Connection | undefined {
    const address = socket.remoteAddress;
    if (address === undefined) return undefined;
    const trusted = this.#options.isTrusted?.(address) === true;
    const now = this.#options.monotonic();
    const networks = networksOf(address);
    const room =
      (trusted || networks.every((network, level) => this.#hasRoom(network, level))) &&
      (this.#all.size < this.#options.max || this.#makeRoom(this.#biggest()));
    if (!room) {
      this.refused++;
      return undefined;
    }
    const connection: Connection = {
      socket,
      networks,
      trusted,
      openedAt: now,
      asked: 0,
      last: undefined,
      held: [],
      reading: undefined,
      rest: undefined,
      seen: { state: 'fresh', asked: 0, since: now },
    };
    this.#all.add(connection);
    if (!trusted) for (const network of networks) this.#of(network).add(connection);
    socket.once('close', () => this.#remove(connection));
    return connection;
  }

  /** Also those that were left unread. */
  readAll(): void {
    for (const { reading } of this.#all) if (reading?.left) reading.start();
  }

  /** Those whose answer is under way are told by it that it is the last. */
  closeAfterAnswer(): void {
    for (const { last } of this.#all) if (last !== undefined && !last.headersSent) last.setHeader('Connection', 'close');
  }

  /** Closes those that keep a place and don't use it. Once a second. */
  sweep(): void {
    const now = this.#options.monotonic();
    const idleMs = this.fullness >= 0.5 ? this.#options.crowdedIdleMs : this.#options.idleMs;
    const limits: Record<State, number> = { fresh: idleMs, busy: Infinity, unread: this.#options.unreadMs, idle: idleMs, ended: LINGER };
    for (const connection of this.#all) {
      const state = stateOf(connection);
      const { seen } = connection;
      if (seen.state !== state || seen.asked !== connection.asked) connection.seen = { state, asked: connection.asked, since: now };
      else if (now - seen.since >= (connection.trusted && state === 'idle' ? this.#options.idleMs : limits[state]))
        connection.socket.destroy();
    }
  }

  #of(network: string): Set<Connection> {
    let members = this.#byNetwork.get(network);
    if (members === undefined) this.#byNetwork.set(network, (members = new Set()));
    return members;
  }

  #hasRoom(network: string, level: number): boolean {
    const members = this.#byNetwork.get(network);
    return members === undefined || members.size < this.#maxPerAddress * (SHARES[level] ?? 1) || this.#makeRoom(members);
  }

  /** The network with most connections; a wide one has those of its narrow ones. */
  #biggest(): Set<Connection> | undefined {
    let biggest: Set<Connection> | undefined;
    for (const members of this.#byNetwork.values()) if (members.size > (biggest?.size ?? 0)) biggest = members;
    return biggest;
  }

  /** Closes some that do nothing, those first that never asked: a few at once, so that a flood of newcomers costs little each. */
  #makeRoom(members: Set<Connection> | undefined): boolean {
    const now = this.#options.monotonic();
    const closable = [...(members ?? [])]
      .map((connection) => ({ connection, worth: worthOf(connection, now) }))
      .filter(({ worth }) => worth < Infinity)
      .sort((a, b) => a.worth - b.worth || a.connection.seen.since - b.connection.seen.since);
    for (const { connection } of closable.slice(0, Math.ceil((members?.size ?? 0) / 100))) {
      this.#remove(connection);
      connection.socket.destroy();
    }
    return closable.length > 0;
  }

  #remove(connection: Connection): void {
    this.#all.delete(connection);
    clearTimeout(connection.rest);
    for (const network of connection.networks) {
      const members = this.#byNetwork.get(network);
      members?.delete(connection);
      if (members?.size === 0) this.#byNetwork.delete(network);
    }
  }
}

/** How much a connection is worth keeping; Infinity where it must be. */
function worthOf(connection: Connection, now: number): number {
  const state = stateOf(connection);
  if (state === 'busy' || now - connection.openedAt < GRACE) return Infinity;
  if (state === 'fresh' || state === 'ended') return 0;
  // What no sweep has seen yet was answered within the last second.
  if (connection.seen.asked === connection.asked) return 1;
  return state === 'unread' ? Infinity : 2;
}

function stateOf({ asked, last, reading, socket }: Connection): State {
  if (socket.writableEnded) return 'ended';
  // It may have asked something that nobody has read.
  if (reading?.left) return 'busy';
  if (last === undefined) return asked === 0 ? 'fresh' : 'idle';
  if (last.writableFinished || last.destroyed) return 'idle';
  return last.writableEnded ? 'unread' : 'busy';
}
