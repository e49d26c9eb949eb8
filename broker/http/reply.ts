import type { ErrorDialect, PosternError } from '#broker/error.ts';
import type { Call } from './route.ts';
import { BoundedMap } from '#broker/bounded-map.ts';
import { WholeResponse } from '#broker/listener/whole-response.ts';
import { UnsupportedCoding } from './body.ts';
import { bodyIsLeft } from './unread.ts';

/** RFC 6749 §5.1: a reply with a token is not to be stored; neither is an error. */
const NO_STORE = ['Cache-Control', 'no-store', 'Pragma', 'no-cache', 'Content-Type', 'application/json'];

const NONE: readonly string[] = [];

/** Where an answer goes. */
export type Asker = Pick<Call, 'response' | 'id'>;

export function replyJson({ response, id }: Asker, status: number, body: string | Buffer, headers: readonly string[] = NO_STORE): void {
  response.writeHead(status, [...headers, 'X-Request-Id', id, 'Content-Length', String(Buffer.byteLength(body))]);
  response.end(body);
}

/** Replies of this turn of the event loop, written together at its end. */
let turn: { asker: Asker; headers: readonly string[]; body: string; more: readonly string[] }[] = [];

/**
 * A 200 of ASCII whose headers tell its length. Replies to requests that arrived together are written together: a
 * write that wakes a sleeping client costs many times one that finds it awake.
 * @param headers names and values in turn; of an array that comes again the lines are remembered
 * @param more those of this answer alone
 */
export function replyInTurn(asker: Asker, headers: readonly string[], body: string, more: readonly string[] = NONE): void {
  if (turn.length === 0) setImmediate(writeTurn);
  turn.push({ asker, headers, body, more });
}

/** Also before the turn's end, where nothing more is to come. */
export function writeTurn(): void {
  const replies = turn;
  turn = [];
  for (const {
    asker: { response, id },
    headers,
    body,
    more,
  } of replies) {
    const own = [...more, 'X-Request-Id', id];
    if (response instanceof WholeResponse) response.writeHead(200, own, headers);
    else response.writeHead(200, [...headers, ...own]);
    // Node copies it as it is; as UTF-8 each character would be looked at.
    response.end(body, 'latin1');
  }
}

/**
 * A token reply is ASCII: its length is its bytes.
 * @param fields further headers, names and values in turn
 */
export function replyToken(asker: Asker, body: string, fields: readonly string[] = NONE): void {
  replyInTurn(asker, headersOfToken(body.length), body, fields);
}

/** By length, of which there are few: that of a tenant's token at an API changes by a digit or two of `expires_in`. */
const tokenHeaders = new BoundedMap<number, readonly string[]>(1_000);

function headersOfToken(length: number): readonly string[] {
  let headers = tokenHeaders.get(length);
  if (headers === undefined) tokenHeaders.set(length, (headers = [...NO_STORE, 'Content-Length', String(length)]));
  return headers;
}

/** Headers of an answer that is written later, whatever it is. */
export function addFields({ response }: Asker, fields: readonly string[] = NONE): void {
  for (let at = 0; at + 1 < fields.length; at += 2) response.setHeader(fields[at]!, fields[at + 1]!);
}

export function replyError(call: Call, error: PosternError, dialect: ErrorDialect): void {
  const { request, response } = call;
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
  replyJson(call, status, errorBody(error, dialect), headers);
}

export function errorBody(error: PosternError, dialect: ErrorDialect): string {
  return JSON.stringify({ error: error.inDialect(dialect).error, error_description: error.message });
}
