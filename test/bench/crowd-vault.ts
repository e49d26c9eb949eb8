import { createHmac, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Authorization } from '#broker/authorization/authorization.ts';
import { apiDocument, tenantDocument } from '#broker/authorization/documents.ts';
import { claimsLayout } from '#broker/authorization/layout.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { CROWD_API, CROWD_AUDIENCE, CROWD_CLAIM, clientIdOf, tenantOf } from './crowd.ts';

/**
 * A stand-in for a Vault with as many tenants as anybody likes, each with its token in the cache: a real one takes minutes to get 100,000.
 * It decides nothing and keeps nothing; what is measured is the broker's memory and pace once all of them were there.
 */
const ISSUER = process.env['CROWD_AUTH0'] ?? '';
const MOUNTS = { documents: '/v1/postern/data/', tokens: '/v1/postern-tokens/data/' };
const SCOPES = ['read:orders', 'write:orders'];
const API = { audience: CROWD_AUDIENCE, source: 'auth0', scopes: SCOPES, lifetime: 86_400 };

const api = { ...apiDocument.parse(API), name: CROWD_API };
const grants = (tenant: string): Record<string, unknown> => ({
  client_id: clientIdOf(tenant),
  grants: [{ api: CROWD_API, scopes: SCOPES }],
  claims: { 'https://postern.dev/plan': 'gold' },
});
const authorization = new Authorization({
  grants: { readGrants: async ({ tenant }) => tenantDocument.parse(grants(tenant)) },
  apis: { byAudience: () => api, byName: () => api },
  issuers: { auth0: ISSUER },
  layout: claimsLayout({ binding: 'action', tenantClaim: CROWD_CLAIM }),
  isDisabled: () => false,
});
const signingKey = randomBytes(32);

async function tokenOf(tenant: string): Promise<Record<string, unknown>> {
  const identity = {
    tenant,
    clientId: clientIdOf(tenant),
    token: new VaultToken('none'),
    forwardedFor: undefined,
    expiresAt: Infinity,
    endsAt: Infinity,
  };
  const { digest, scope } = await authorization.authorize(identity, {
    audience: CROWD_AUDIENCE,
    scope: undefined,
    organization: undefined,
  });
  const issuedAt = Math.floor(Date.now() / 1000);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const unsigned = `${part({ alg: 'RS256', typ: 'JWT', kid: 'bench-key-of-the-stand-in' })}.${part({
    iss: ISSUER,
    sub: 'postern-shared-m2m@clients',
    aud: CROWD_AUDIENCE,
    iat: issuedAt,
    exp: issuedAt + API.lifetime,
    azp: 'postern-shared-m2m',
    gty: 'client-credentials',
    scope,
    [CROWD_CLAIM]: tenant,
    'https://postern.dev/plan': 'gold',
  })}`;
  // As long as RS256's, and as different from one to the next: nobody here verifies it.
  const signature = Buffer.concat(
    Array.from({ length: 8 }, (_, at) => createHmac('sha256', signingKey).update(`${at} ${unsigned}`).digest()),
  );
  return {
    grant: digest,
    access_token: `${unsigned}.${signature.toString('base64url')}`,
    token_type: 'Bearer',
    scope,
    issued_at: issuedAt,
    expires_at: issuedAt + API.lifetime,
  };
}

/** As long as a batch token of Vault's. */
const batchToken = (): string => `hvb.${randomBytes(114).toString('base64url')}`;

async function answer(request: IncomingMessage): Promise<object | undefined> {
  const { url = '', method } = request;
  if (method === 'POST' && url === '/v1/auth/approle-broker/login')
    return { auth: { client_token: 'hvs.bench', token_type: 'service', lease_duration: 3_600, renewable: true, metadata: {} } };
  if (method === 'POST' && url === '/v1/auth/approle/login') {
    const { role_id: clientId } = JSON.parse(await text(request)) as { role_id: string };
    const auth = { client_token: batchToken(), token_type: 'batch', lease_duration: 3_600, metadata: { role_name: tenantOf(clientId) } };
    return { auth };
  }
  const kv = (data: Record<string, unknown>): object => ({ data: { data, metadata: { version: 1 } } });
  if (url === `${MOUNTS.documents}apis/${CROWD_API}`) return kv(API);
  const [mount, rest] = url.startsWith(MOUNTS.tokens) ? ['tokens', url.slice(MOUNTS.tokens.length)] : ['', url];
  if (mount === 'tokens') return kv(await tokenOf(rest.split('/')[0]!));
  if (url.startsWith(`${MOUNTS.documents}tenants/`)) return kv(grants(url.slice(MOUNTS.documents.length + 'tenants/'.length)));
  if (method === 'POST' || method === 'PUT') return { data: { version: 1 } };
  return undefined;
}

function reply(response: ServerResponse, found: object | undefined): void {
  response.writeHead(found === undefined ? 404 : 200, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(found === undefined ? { errors: [] } : { request_id: 'of-the-bench', ...found }));
}

const server = createServer((request, response) => {
  void answer(request).then(
    (found) => reply(response, found),
    () => response.writeHead(400).end('{"errors":["?"]}'),
  );
});
// Node's server knows no LIST. The APIs are all that is listed here.
server.on('clientError', (_error, socket) => {
  const body = JSON.stringify({ request_id: 'of-the-bench', data: { keys: [CROWD_API] } });
  socket.end(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
});
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
