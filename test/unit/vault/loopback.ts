import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createNetServer } from 'node:net';
import type { AddressInfo } from 'node:net';

export interface Received {
  method: string;
  /** As it came on the wire. */
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** Answers one request: a pair of status and body, or by hand. */
export type Answer = (
  request: Received,
  response: ServerResponse,
  raw: IncomingMessage,
) => [status: number, body: unknown, headers?: Record<string, string>] | void | Promise<[number, unknown, Record<string, string>?] | void>;

/** A real HTTP server on a free loopback port that notes all that reaches it. */
export class Loopback {
  readonly received: Received[] = [];
  answer: Answer;
  readonly #server: Server;

  private constructor(server: Server, answer: Answer) {
    this.#server = server;
    this.answer = answer;
  }

  static async start(answer: Answer = () => [200, {}]): Promise<Loopback> {
    const server = createServer();
    const loopback = new Loopback(server, answer);
    server.on('request', (request, response) => void loopback.#serve(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return loopback;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const received = {
      method: request.method ?? '',
      url: request.url ?? '',
      headers: request.headers,
      body: Buffer.concat(chunks).toString(),
    };
    this.received.push(received);
    const answered = await this.answer(received, response, request);
    if (!answered) return;
    const [status, body, headers = {}] = answered;
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
    const sent = received.url.startsWith('/v1/') ? asVaults(status, body) : body;
    response.end(sent === undefined ? '' : typeof sent === 'string' ? sent : JSON.stringify(sent));
  }
}

/** As Vault answers: with its `request_id`, but for what only tells why it failed. @param body what isn't an object stays as it is */
export function asVaults(status: number, body: unknown): unknown {
  if (typeof body !== 'object' || body === null || 'errors' in body || (status >= 300 && status !== 404)) return body;
  return { request_id: '00000000-0000-4000-8000-000000000000', ...body };
}

/** Node's parser knows no LIST, which Vault does: this answers whatever comes, and notes its first line. */
/** @param body sent as JSON, as Vault would; a Buffer as it is */
export async function startRaw(
  status: number,
  body: unknown,
  { delayMs = 0, date }: { delayMs?: number; date?: string } = {},
): Promise<AsyncDisposable & { origin: string; lines: string[] }> {
  const dated = date === undefined ? '' : `Date: ${date}\r\n`;
  const lines: string[] = [];
  const text = Buffer.isBuffer(body) ? body.toString() : JSON.stringify(asVaults(status, body));
  const server = createNetServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data) => {
      lines.push(data.toString().split('\r\n')[0] ?? '');
      const answer = `HTTP/1.1 ${status} X\r\nContent-Type: application/json\r\n${dated}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
      setTimeout(() => socket.write(answer), delayMs);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    lines,
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** A port on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = await Loopback.start();
  const { port } = server;
  await server[Symbol.asyncDispose]();
  return port;
}
