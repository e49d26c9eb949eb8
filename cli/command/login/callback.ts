import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { PosternError } from '#broker/error.ts';

/** What the browser brings back. */
export interface Callback {
  readonly code: string;
  readonly state: string;
}

export interface CallbackListener {
  /** `http://localhost:8250/oidc/callback` */
  readonly redirectUri: string;
  /** The next call with this state; others change nothing. @throws {PosternError} access_denied where the issuer refused */
  next(state: string, signal: AbortSignal): Promise<{ callback: Callback; answer: (outcome: 'done' | 'refused') => Promise<void> }>;
  close(): void;
}

const PATH = '/oidc/callback';

const PAGES = {
  done: ['You are logged in', 'Close this window and go on in the terminal.'],
  refused: ['You are not logged in', 'The terminal says why.'],
  unknown: ['Nobody here waits for this login', 'Begin again in the terminal: postern login'],
} as const;

/**
 * Listens where the browser comes back to: on this machine's loopback and nowhere else (RFC 8252 §7.3).
 * @throws {PosternError} temporarily_unavailable where the port is taken
 */
export async function listenForCallback(port: number): Promise<CallbackListener> {
  const waiting = new Set<(url: URL, response: ServerResponse) => boolean>();
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const url = URL.parse(request.url ?? '/', `http://localhost:${port}`);
    // A page elsewhere whose name was pointed at this machine (DNS rebinding) names itself here.
    const here = [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`].includes(request.headers.host ?? '');
    if (!here || request.method !== 'GET' || url?.pathname !== PATH) {
      response.writeHead(404).end();
      return;
    }
    for (const one of waiting) if (one(url, response)) return;
    void page(response, 400, 'unknown');
  };
  const servers = await listen(port, handle);
  return {
    redirectUri: `http://localhost:${port}${PATH}`,
    next: (state, signal) =>
      new Promise((resolve, reject) => {
        const taken = (url: URL, response: ServerResponse): boolean => {
          if (url.searchParams.get('state') !== state) return false;
          waiting.delete(taken);
          const code = url.searchParams.get('code');
          if (code !== null && code !== '') {
            const answer = (outcome: 'done' | 'refused'): Promise<void> => page(response, outcome === 'done' ? 200 : 403, outcome);
            resolve({ callback: { code, state }, answer });
            return true;
          }
          const said = url.searchParams.get('error_description') ?? url.searchParams.get('error') ?? 'it gave no code';
          void page(response, 403, 'refused').then(() =>
            reject(
              new PosternError('access_denied', `Auth0 does not let you in: ${printable(said)}`, {
                detail: 'Ask whoever manages your Auth0 account, or look at its logs.',
              }),
            ),
          );
          return true;
        };
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        waiting.add(taken);
      }),
    close: () => {
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
}

/** What a stranger's page put into an address must not move the cursor. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 300);
}

/** `localhost` is either of the two, as the browser likes; a machine without IPv6 has one. */
async function listen(port: number, handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server[]> {
  const bind = (host: string): Promise<Server> =>
    new Promise((resolve, reject) => {
      const server = createServer({ maxHeaderSize: 32 * 1024 }, handle);
      server.once('error', reject).listen({ port, host, exclusive: true }, () => resolve(server));
    });
  const servers: Server[] = [];
  for (const host of ['127.0.0.1', '::1']) {
    try {
      servers.push(await bind(host));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (host === '::1' && (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT')) continue;
      for (const server of servers) server.close();
      throw new PosternError('temporarily_unavailable', `The browser can't come back to port ${port} of this machine (${code})`, {
        detail: 'Does another login wait there? End it, or choose another --port that the Auth0 application names among its callbacks.',
      });
    }
  }
  return servers;
}

function page(response: ServerResponse, status: number, name: keyof typeof PAGES): Promise<void> {
  const [title, text] = PAGES[name];
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    // The code stands in this page's address.
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
    connection: 'close',
  });
  return new Promise((resolve) => {
    response.once('close', resolve);
    response.end(`<!doctype html><html lang="en"><title>${title}</title><h1>${title}</h1><p>${text}</p></html>\n`);
  });
}
