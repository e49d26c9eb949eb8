import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { runAction } from './action.ts';
import { FaultSwitch } from './fault-switch.ts';
import { authenticate, authorizeExchange } from './grant.ts';
import { RotatingIssuer } from './rotating-issuer.ts';
import { RateWindow, limitHeaders } from './limit.ts';
import { TokenQuotas } from './token-quota.ts';
import { Logins } from './login.ts';
import { LogDelivery } from './log-delivery.ts';
import { MANAGEMENT_SCOPES } from './management-endpoint.ts';
import { ManagementApi } from './management.ts';
import { Mint } from './mint.ts';
import { Refusal, invalidRequest } from './refusal.ts';
import { readTokenRequest } from './request.ts';
import type { TokenRequest } from './request.ts';
import type { Auth0Account } from './account.ts';
import type { Endpoint, Fault } from './fault-switch.ts';
import type { RateLimit } from './limit.ts';

export interface Auth0Options {
  account: Auth0Account;
  /** TCP port on 127.0.0.1; default any free one. */
  port?: number;
  /** Default 10,000 a second, so that only tests that ask for it meet it. */
  rate?: RateLimit;
  /** Of the Management API, likewise. */
  managementRate?: RateLimit;
}

export interface Auth0StandIn {
  /** `http://127.0.0.1:PORT/`, with Auth0's trailing slash. */
  issuer: string;
  /** Live: what is changed here holds from the next request on. */
  account: Auth0Account;
  faults: FaultSwitch;
  /** Requests that have arrived, by endpoint, refused ones included. */
  calls: Record<Endpoint, number>;
  /** Tokens made for applications, by {@link issuedKey}. */
  issued: ReadonlyMap<string, number>;
  rotateKeys(): Promise<void>;
  /** What the tenant's log says goes to its log streams. */
  log: LogDelivery;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const ENDPOINTS: Record<string, Endpoint> = {
  'POST /oauth/token': 'token',
  'GET /.well-known/jwks.json': 'jwks',
  'GET /.well-known/openid-configuration': 'discovery',
  'GET /.well-known/oauth-authorization-server': 'discovery',
  'GET /authorize': 'authorize',
};

/** @param tenant what the request names as its tenant: `postern_tenant`, or else its organization */
export const issuedKey = (tenant: string, audience: string): string => `${tenant} ${audience}`;

const BODY_LIMIT = 1_048_576;

/**
 * Auth0's cloud, on loopback. oauth2-mock-server (mint.ts) makes and signs the tokens and runs the
 * authorization-code flow; in front of it stands what it leaves out: client secrets, audiences,
 * client grants, organizations, the Action, Auth0's errors, rate limits and faults on demand.
 */
export async function startAuth0(options: Auth0Options): Promise<Auth0StandIn> {
  const { account } = options;
  const issuer = new RotatingIssuer();
  await issuer.start();
  const faults = new FaultSwitch();
  const calls: Record<Endpoint, number> = { token: 0, jwks: 0, discovery: 0, authorize: 0, management: 0 };
  const issued = new Map<string, number>();
  const quotas = new TokenQuotas();
  const window = new RateWindow(options.rate ?? { requests: 10_000, seconds: 1 });
  const logins = new Logins();
  const mint = new Mint(issuer, logins);
  const log = new LogDelivery(account);
  const management = new ManagementApi(account, issuer, log);
  const managementWindow = new RateWindow(options.managementRate ?? { requests: 10_000, seconds: 1 });

  /** Every exchange of an application's own credential is an entry of the tenant's log, and so is every refused one. */
  const token = async (request: IncomingMessage, response: ServerResponse, fault: Fault | undefined): Promise<void> => {
    const raw = await readBody(request);
    if (raw.length === 0) throw invalidRequest('Missing required parameter: grant_type');
    const asked = readTokenRequest(request.headers, raw);
    try {
      await exchange(request, response, { asked, raw, fault });
      if (asked.grantType === 'client_credentials') log.keep('seccft', exchanged(account, asked, request));
    } catch (error) {
      if (asked.grantType === 'client_credentials' && error instanceof Refusal)
        log.keep('feccft', { ...exchanged(account, asked, request), description: error.message });
      throw error;
    }
  };

  /** The ordered steps of Auth0, then the mock signs. */
  const exchange = async (
    request: IncomingMessage,
    response: ServerResponse,
    { asked, raw, fault }: { asked: TokenRequest; raw: Buffer; fault: Fault | undefined },
  ): Promise<void> => {
    const client = authenticate(account, asked);
    const replay = replayable(request, raw);
    if (asked.grantType === 'authorization_code') {
      const login = logins.redeem(client, asked);
      mint.allow(replay, { kind: 'login', login });
    } else {
      // Every Auth0 tenant has it.
      const managementApi = { audience: `${issuer.url}api/v2/`, scopes: [...MANAGEMENT_SCOPES] };
      const exchange = authorizeExchange({ ...account, apis: [...account.apis, managementApi] }, client, asked);
      const { allowed, headers } = quotas.take(exchange, Date.now());
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      if (!allowed) throw tooManyRequests();
      const custom = account.action === undefined ? {} : await runAction(account.action, asked, exchange);
      mint.allow(replay, { kind: 'exchange', exchange, custom, tampering: tamperingOf(fault), forged: fault?.kind === 'key' });
      const { postern_tenant: tenant, organization = '', audience = '' } = asked.parameters;
      const key = issuedKey(tenant ?? organization, audience);
      issued.set(key, (issued.get(key) ?? 0) + 1);
    }
    mint.handle(replay, response as Parameters<RequestListener>[1]);
  };

  const userinfo = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const bearer = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const verified = await jwtVerify(bearer, createLocalJWKSet(issuer.jwks()), { audience: `${issuer.url}userinfo` }).catch(
      () => undefined,
    );
    const person = account.people.find(({ id }) => id === verified?.payload.sub);
    if (!person) throw new Refusal(401, 'invalid_token', 'Unauthorized');
    answer(response, 200, { sub: person.id, name: person.name, email: person.email, email_verified: true, ...person.claims });
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', issuer.url);
    if (shareWithPage(account, request, response)) return;
    if (request.method === 'GET' && url.pathname === '/v2/logout') return logout(account, url.searchParams, response);
    const endpoint = url.pathname.startsWith('/api/v2/') ? 'management' : ENDPOINTS[`${request.method} ${url.pathname}`];
    const fault = endpoint && faults.take(endpoint);
    if (endpoint) calls[endpoint] += 1;
    if (endpoint === 'token' || endpoint === 'management') {
      const { allowed, headers } = (endpoint === 'token' ? window : managementWindow).take(Date.now());
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      if (!allowed) throw tooManyRequests();
    }
    if (fault && (await strike(fault, request, response)) === 'answered') return;
    if (endpoint === 'token') return token(request, response, fault);
    if (endpoint === 'management') {
      const body = request.method === 'GET' ? Buffer.alloc(0) : await readBody(request);
      const { status, json } = await management.answer(request, url, body.toString('utf8'));
      return json === undefined ? void response.writeHead(status).end() : answer(response, status, json);
    }
    if (endpoint === 'jwks')
      return answer(response, 200, issuer.jwks(), 'public, max-age=15, stale-while-revalidate=15, stale-if-error=86400');
    if (endpoint === 'authorize') mint.begin(request, logins.begin(account, url.searchParams));
    if (request.method === 'GET' && url.pathname === '/userinfo') return userinfo(request, response);
    if (endpoint === 'discovery') request.url = '/.well-known/openid-configuration'; // RFC 8414's address is an alias
    mint.handle(request, response as Parameters<RequestListener>[1]);
  };

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      if (response.headersSent) return void response.destroy();
      const refusal = error instanceof Refusal ? error : new Refusal(500, 'server_error', (error as Error).message);
      const { status, body } = refusal;
      const known = request.url?.startsWith('/api/v2/') === true;
      answer(response, status, known ? { statusCode: status, error: body.error, message: body.error_description } : body);
    });
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  issuer.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;

  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    server.close();
    log.stop();
    server.closeAllConnections(); // also those that hang on purpose
    await once(server, 'close');
  };
  return {
    issuer: issuer.url as string,
    account,
    faults,
    calls,
    issued,
    rotateKeys: () => issuer.rotate(),
    log,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Of the log's entry; never the secret that was presented. */
function exchanged(account: Auth0Account, { clientId, parameters }: TokenRequest, { headers }: IncomingMessage): Record<string, unknown> {
  return {
    connection_id: '',
    client_id: clientId,
    client_name: account.clients.find(({ id }) => id === clientId)?.name ?? clientId,
    ip: '127.0.0.1',
    user_agent: headers['user-agent'] ?? '',
    user_id: '',
    user_name: '',
    audience: parameters['audience'] ?? null,
    scope: parameters['scope'] ?? null,
    isMobile: false,
  };
}

function tooManyRequests(): Refusal {
  return new Refusal(429, 'too_many_requests', 'Global limit has been reached', 'https://auth0.com/docs/policies/rate-limits');
}

/** Plays a fault out. `go on` where the request is still to be answered as usual. */
async function strike(fault: Fault, request: IncomingMessage, response: ServerResponse): Promise<'answered' | 'go on'> {
  switch (fault.kind) {
    case 'rate_limit': {
      const retryAfter = fault.retryAfter ?? 1;
      const headers = limitHeaders(100, 0, Math.ceil(Date.now() / 1_000 + retryAfter), retryAfter);
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      throw tooManyRequests();
    }
    case 'status':
      response.writeHead(fault.status, { 'Content-Type': 'text/html' }).end(`<html><body>${fault.status}</body></html>`);
      return 'answered';
    case 'hang':
      request.resume();
      return 'answered';
    case 'reset':
      request.socket.resetAndDestroy();
      return 'answered';
    case 'clock':
      response.setHeader('Date', new Date(Date.now() + fault.milliseconds).toUTCString());
      return 'go on';
    case 'delay':
      await sleep(fault.milliseconds);
      return 'go on';
    case 'claims':
    case 'key':
      return 'go on';
  }
}

/** Claims that overwrite the true ones. */
function tamperingOf(fault: Fault | undefined): (claims: Record<string, unknown>) => Record<string, unknown> {
  if (fault?.kind === 'claims') return () => fault.claims;
  if (fault?.kind !== 'clock' || fault.tokens !== true) return () => ({});
  const ahead = Math.round(fault.milliseconds / 1000);
  return ({ iat, exp }) => ({ iat: Number(iat) + ahead, exp: Number(exp) + ahead });
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_LIMIT) throw new Refusal(413, 'invalid_request', 'Payload too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** CORS, for pages of the Allowed Web Origins. @returns whether that was all (a preflight request) */
function shareWithPage(account: Auth0Account, { headers, method }: IncomingMessage, response: ServerResponse): boolean {
  const { origin } = headers;
  if (origin !== undefined && account.clients.some(({ webOrigins }) => webOrigins?.includes(origin))) {
    response.setHeader('Access-Control-Allow-Origin', origin);
    response.setHeader('Access-Control-Allow-Headers', 'Authorization, Content-Type, Auth0-Client');
    response.setHeader('Vary', 'Origin');
  }
  if (method !== 'OPTIONS') return false;
  response.writeHead(204).end();
  return true;
}

function logout(account: Auth0Account, query: URLSearchParams, response: ServerResponse): void {
  const client = account.clients.find(({ id }) => id === query.get('client_id'));
  const returnTo = query.get('returnTo') ?? '';
  if (!client?.logoutUrls?.includes(returnTo))
    throw invalidRequest(`The "returnTo" is not in the list of allowed logout URLs: ${returnTo}`);
  response.writeHead(302, { Location: returnTo, 'Cache-Control': 'no-store' }).end();
}

/** The mock reads the body itself, and ours has been read: the same request, once more from the start. */
function replayable(request: IncomingMessage, raw: Buffer): IncomingMessage {
  const { headers, method, url } = request;
  return Object.assign(Readable.from([raw]), { headers, method, url }) as unknown as IncomingMessage;
}

function answer(response: ServerResponse, status: number, body: object, caching = 'no-store'): void {
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': caching }).end(JSON.stringify(body));
}
