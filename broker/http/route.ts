import type { IncomingMessage, ServerResponse } from 'node:http';

/** One request under way. */
export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The client's address; behind trusted proxies, what they say it is. */
  readonly address: string;
}

/** An endpoint: its handler is an ordered list of named steps. A GET route answers HEAD too. */
export interface Route {
  readonly path: string;
  readonly method: 'GET' | 'POST';
  /** @throws {PosternError} which the server answers with */
  handle(call: Call): void | Promise<void>;
}
