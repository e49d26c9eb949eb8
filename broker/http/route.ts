import { IncomingMessage, ServerResponse } from 'node:http';
import type { PosternError } from '#broker/error.ts';
import type { Asked } from '#broker/listener/whole-request.ts';
import type { Answer } from '#broker/listener/whole-response.ts';

/** One request under way. */
export interface Call {
  readonly request: Asked;
  readonly response: Answer;
  /** The client's address; behind trusted proxies, what they say it is. */
  readonly address: string;
  /** Names the request in the audit, in logs and, as X-Request-Id, in its answer. */
  readonly id: string;
  /** Whether it has asked for its turn: each request does so once, whatever its answer is. */
  asksTurn: boolean;
}

/** Of a route that isn't `whole`. @throws TypeError of another's */
export function ofNode({ request, response }: Call): { request: IncomingMessage; response: ServerResponse } {
  if (request instanceof IncomingMessage && response instanceof ServerResponse) return { request, response };
  throw new TypeError('this route takes no whole requests');
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** An endpoint: its handler is an ordered list of named steps. Several may share a path, each with a method of its own. */
export interface Route {
  readonly path: string;
  /** A GET route answers HEAD too. `any`: whatever the client's method is, as where a gateway asks in its name. */
  readonly method: Method | 'any';
  /** Also takes every path that begins with `path`, which then ends in a slash; a route of that very path goes first. */
  readonly prefix?: boolean;
  /** Answers while the broker starts, too: all others wait until it can serve, or knows that it can't. */
  readonly early?: boolean;
  /** Takes a {@link WholeRequest}, too: it reads the body by {@link receiveBody} or not at all. */
  readonly whole?: boolean;
  /** Its handler waits for the turn of whoever asks, once it knows that. Before that of any other the server does, by its network. */
  readonly ownTurn?: boolean;
  /** @throws {PosternError} which the server answers with */
  handle(call: Call): void | Promise<void>;
  /** Writes the answer to an error in this route's own form, in place of RFC 6749's. Nothing has been sent yet. */
  refuse?(call: Call, error: PosternError): void;
}
