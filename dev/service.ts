import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import type { ErrorRequestHandler } from 'express';
import { auth, requiredScopes } from 'express-oauth2-jwt-bearer';

/** One protected route of the sample service. */
export interface ServiceRoute {
  /** Path segment and name, e.g. `orders` for `GET /orders`. */
  name: string;
  /** Whose tokens are taken; with its trailing slash, exactly as in the token. */
  issuer: string;
  audience: string;
  scope: string;
}

export interface SampleService {
  /** `http://127.0.0.1:PORT`. */
  address: string;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * What a company already runs: an Express API that verifies tokens with Auth0's own
 * `express-oauth2-jwt-bearer`, by discovery and JWKS. It knows nothing of Postern.
 */
export async function startService(routes: readonly ServiceRoute[], port = 0): Promise<SampleService> {
  const app = express();
  app.disable('x-powered-by');
  for (const { name, issuer, audience, scope } of routes) {
    const verify = auth({ issuerBaseURL: issuer, audience, tokenSigningAlg: 'RS256' });
    app.get(`/${name}`, verify, requiredScopes(scope), (request, response) => {
      const { sub, iss, aud, scope: granted, ...more } = request.auth?.payload ?? {};
      const named = Object.entries(more).filter(([claim]) => claim.startsWith('https://') || ['azp', 'org_id', 'act'].includes(claim));
      response.json({ api: name, verified: { iss, sub, aud, scope: granted, ...Object.fromEntries(named) } });
    });
  }
  const refuse: ErrorRequestHandler = (
    error: { status?: number; code?: string; message: string; headers?: Record<string, string> },
    _request,
    response,
    _next,
  ) => {
    // The verifier's own errors say what a client may know; anything else stays inside.
    const status = error.status ?? 500;
    response
      .set(error.headers ?? {})
      .status(status)
      .json({ error: error.code ?? 'error', message: status === 500 ? 'Internal Server Error' : error.message });
  };
  app.use(refuse);

  const server = createServer(app).listen(port, '127.0.0.1');
  await once(server, 'listening').catch(async (error: NodeJS.ErrnoException) => {
    // Somebody has taken it since it was seen free.
    if (error.code !== 'EADDRINUSE' || port === 0) throw error;
    await once(server.listen(0, '127.0.0.1'), 'listening');
  });
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  };
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
