import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** A request that came in one piece and says nothing unusual. What it has is named as Node's own names it. */
export class WholeRequest {
  readonly method: string;
  url: string;
  readonly headers: IncomingHttpHeaders;
  readonly socket: Socket;
  readonly complete = true;
  #body: Buffer;

  constructor(method: string, url: string, headers: IncomingHttpHeaders, socket: Socket, body: Buffer) {
    this.method = method;
    this.url = url;
    this.headers = headers;
    this.socket = socket;
    this.#body = body;
  }

  /** Once: it may hold a secret, which is not to live as long as the request. */
  takeBody(): Buffer {
    const body = this.#body;
    this.#body = NOTHING;
    return body;
  }
}

/** What a handler is asked. */
export type Asked = IncomingMessage | WholeRequest;

const NOTHING = Buffer.alloc(0);
const END_OF_HEAD = '\r\n\r\n';
/** Bytes; a larger head is Node's, which knows the limit. */
const MAX_HEAD = 4096;
/** RFC 9112 §3, narrowed: these methods, a path, no fragment. */
const REQUEST_LINE = /^(GET|POST) (\/[!"$-~]*) HTTP\/1\.1\r\n/;
/** A line end that isn't CRLF, and what is neither visible ASCII nor a blank. */
const ODD = /[^\t\r\n -~]|\r(?!\n)|[^\r]\n/;
/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;
const LENGTH = /^(?:0|[1-9]\d{0,5})$/;
/** By these a message is framed, a connection turned into another or an answer awaited: Node's, whatever they say. */
const NODES: ReadonlySet<string> = new Set(['transfer-encoding', 'trailer', 'te', 'upgrade', 'expect', 'proxy-connection', '__proto__']);
/** As clients write them; any other is looked at letter by letter. */
const NAMES = new Map(
  (
    'Host Content-Type Content-Length Connection User-Agent Accept Accept-Encoding Accept-Language Authorization Cache-Control ' +
    'Sec-Fetch-Mode X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Real-IP X-Request-Id X-API-Key X-Original-URI traceparent'
  )
    .split(' ')
    .flatMap((name) => [name, name.toLowerCase()].map((written) => [written, name.toLowerCase()] as const)),
);

/**
 * Recognises one request that is all of `chunk`, and would be what Node's parser makes of it: of what it could mean otherwise, or is in any
 * way unusual, it says nothing, and Node's parser decides.
 * @returns undefined where it isn't one
 */
export function wholeRequest(chunk: Buffer, socket: Socket): WholeRequest | undefined {
  const end = chunk.indexOf(END_OF_HEAD, 0, 'latin1');
  if (end === -1 || end > MAX_HEAD) return undefined;
  const head = chunk.toString('latin1', 0, end + 2);
  const line = REQUEST_LINE.exec(head);
  if (line === null || ODD.test(head)) return undefined;
  const [{ length }, method, target] = line as unknown as [string, string, string];
  const headers = headersIn(head, length);
  if (headers === undefined) return undefined;
  const { host, connection, 'content-length': declared } = headers;
  if (host === undefined || host.includes(',')) return undefined;
  if (connection !== undefined && connection !== 'keep-alive' && connection !== 'Keep-Alive') return undefined;
  if (declared !== undefined && !LENGTH.test(declared)) return undefined;
  const from = end + END_OF_HEAD.length;
  if (chunk.length - from !== Number(declared ?? 0)) return undefined;
  return new WholeRequest(method, target, headers, socket, from === chunk.length ? NOTHING : chunk.subarray(from));
}

/** Every line from `at` on ends in CRLF. @returns undefined where one is not `name: value`, is Node's, or comes twice */
function headersIn(head: string, from: number): Record<string, string> | undefined {
  const headers: Record<string, string> = {};
  for (let at = from; at < head.length;) {
    const colon = head.indexOf(':', at);
    const end = head.indexOf('\r\n', at);
    if (colon === -1 || colon > end) return undefined;
    const written = head.slice(at, colon);
    const name = NAMES.get(written) ?? (TOKEN.test(written) ? written.toLowerCase() : '');
    if (name === '' || NODES.has(name) || Object.hasOwn(headers, name)) return undefined;
    headers[name] = valueOf(head, colon + 1, end);
    at = end + 2;
  }
  return headers;
}

/** Without the blanks around it (RFC 9110 §5.5). */
function valueOf(head: string, from: number, to: number): string {
  let [start, end] = [from, to];
  while (start < end && isBlank(head.charCodeAt(start))) start++;
  while (end > start && isBlank(head.charCodeAt(end - 1))) end--;
  return head.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
