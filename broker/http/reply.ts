import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ErrorDialect, PosternError } from '#broker/error.ts';
import { UnsupportedCoding } from './body.ts';
import { bodyIsLeft } from './unread.ts';

/** RFC 6749 §5.1: a reply with a token is not to be stored; neither is an error. */
const NO_STORE = ['Cache-Control', 'no-store', 'Pragma', 'no-cache', 'Content-Type', 'application/json'];

export function replyJson(response: ServerResponse, status: number, body: string | Buffer, headers: readonly string[] = NO_STORE): void {
  response.writeHead(status, [...headers, 'Content-Length', String(Buffer.byteLength(body))]);
  response.end(body);
}

/** Replies of this turn of the event loop, written together at its end. */
let turn: { response: ServerResponse; headers: readonly string[]; body: string }[] = [];

/**
 * A 200 whose headers tell its length. Replies to requests that arrived together are written together: a
 * write that wakes a sleeping client costs many times one that finds it awake.
 */
export function replyInTurn(response: ServerResponse, headers: readonly string[], body: string): void {
  if (turn.length === 0) setImmediate(writeTurn);
  turn.push({ response, headers, body });
}

function writeTurn(): void {
  const replies = turn;
  turn = [];
  for (const { response, headers, body } of replies) {
    response.writeHead(200, headers as string[]);
    response.end(body);
  }
}

/**
 * A token reply is ASCII: its length is its bytes.
 * @param more further JSON members, each with a comma before it
 */
export function replyToken(response: ServerResponse, head: string, expiresIn: number, more = ''): void {
  const body = `${head}${expiresIn}${more}}`;
  replyInTurn(
    response,
    ['Cache-Control', 'no-store', 'Pragma', 'no-cache', 'Content-Type', 'application/json', 'Content-Length', String(body.length)],
    body,
  );
}

export function replyError(request: IncomingMessage, response: ServerResponse, error: PosternError, dialect: ErrorDialect): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status } = error.inDialect(dialect);
  const headers = [...NO_STORE];
  if (error.retryAfter !== undefined) headers.push('Retry-After', String(error.retryAfter));
  // RFC 9110 §15.5.2 wants a challenge with each 401. In Auth0's dialect only a client that used the header gets one, as RFC 6749 §5.2
  // demands: clients such as openid-client take a challenge for the error, and then never read the one in the body.
  const challenged = dialect === 'rfc6749' || request.headers.authorization !== undefined;
  if (status === 401 && challenged) headers.push('WWW-Authenticate', 'Basic realm="postern", charset="UTF-8"');
  if (error instanceof UnsupportedCoding) headers.push('Accept-Encoding', error.accepted);
  // What is left of the body is not read, so the connection can't be used again.
  if (bodyIsLeft(request)) headers.push('Connection', 'close');
  replyJson(response, status, errorBody(error, dialect), headers);
}

export function errorBody(error: PosternError, dialect: ErrorDialect): string {
  return JSON.stringify({ error: error.inDialect(dialect).error, error_description: error.message });
}
