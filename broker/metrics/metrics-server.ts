import type { IncomingMessage, ServerResponse } from 'node:http';
import { Listener } from '#broker/listener/listener.ts';
import type { Exposition } from './exposition.ts';

/** Some scrapers, and no clients. */
const MAX_CONNECTIONS = 100;
const MAX_HEADERS = 8 * 1024;
const TEXT = 'text/plain; charset=utf-8';

/** `GET /metrics` on a listener of its own, for whoever reaches that. */
export class MetricsServer {
  readonly #listener: Listener;

  constructor(exposition: Exposition, onError: (error: unknown) => void) {
    this.#listener = new Listener({
      handle: (request, response) => this.#serve(exposition, request, response, onError),
      refuse: (_why, _request, response) => answer(response, 400, TEXT, 'The request is not valid HTTP/1.1\n'),
      refuseUnparsable: () => ({ status: 400, type: TEXT, body: 'The request is not valid HTTP/1.1\n' }),
      maxHeaderSize: MAX_HEADERS,
      maxConnections: MAX_CONNECTIONS,
    });
  }

  /** @returns the port in use */
  listen(host: string, port: number): Promise<number> {
    return this.#listener.listen(host, port);
  }

  close(graceMs: number): Promise<void> {
    return this.#listener.close(graceMs);
  }

  #serve(
    exposition: Exposition,
    { headers, method, url }: IncomingMessage,
    response: ServerResponse,
    onError: (error: unknown) => void,
  ): void {
    if (url?.split('?', 1)[0] !== '/metrics') return answer(response, 404, TEXT, 'Metrics are at /metrics\n');
    if (method !== 'GET' && method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      return answer(response, 405, TEXT, 'Method not allowed\n');
    }
    exposition.render(headers.accept).then(
      ({ type, body }) => answer(response, 200, type, body),
      (error: unknown) => {
        onError(error);
        answer(response, 500, TEXT, 'The metrics cannot be told\n');
      },
    );
  }
}

function answer(response: ServerResponse, status: number, type: string, body: string): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': bytes.length,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(response.req.method === 'HEAD' ? undefined : bytes);
}
