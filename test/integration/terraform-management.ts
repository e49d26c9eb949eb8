import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { makeCertificates } from '#test/conformance/certificate.ts';

type Json = Record<string, any>;

/** What Auth0 would hold. */
export interface ManagementStandIn {
  /** `localhost:PORT`. The provider speaks https only. */
  domain: string;
  /** What the provider needs to reach it: a Management API token and the authority of its certificate. */
  environment: Record<string, string>;
  clients: Map<string, Json>;
  apis: Map<string, Json>;
  grants: Map<string, Json>;
  actions: Map<string, Json>;
  /** Actions bound to the credentials-exchange trigger, by id. */
  bound: string[];
  /** Secrets that Auth0 made and would tell a client of the Management API. */
  secrets: string[];
  stop(): Promise<void>;
}

/**
 * As much of Auth0's Management API as terraform/modules/auth0 touches, after its reference and the recordings of the real
 * one that the provider's own tests replay; no package serves one. It says of itself what the real one would add to an answer (ids,
 * secrets, defaults), and refuses a
 * scope in a grant that the API lacks.
 */
export async function startManagement(): Promise<ManagementStandIn> {
  const certificates = await makeCertificates();
  const token = `management-${crypto.randomUUID()}`;
  const [clients, apis, grants, actions] = [
    new Map<string, Json>(),
    new Map<string, Json>(),
    new Map<string, Json>(),
    new Map<string, Json>(),
  ];
  const standIn = { clients, apis, grants, actions, bound: [] as string[], secrets: [] as string[] };
  const secret = (): string => {
    const value = randomBytes(32).toString('base64url');
    standIn.secrets.push(value);
    return value;
  };
  const id = (prefix: string): string => `${prefix}${randomBytes(10).toString('hex')}`;

  const collections: Record<string, { map: Map<string, Json>; make(body: Json): Json }> = {
    clients: {
      map: clients,
      make: () => ({
        client_id: id('client'),
        client_secret: secret(),
        is_first_party: true,
        token_endpoint_auth_method: 'client_secret_post',
        custom_login_page_on: true,
      }),
    },
    'resource-servers': {
      map: apis,
      make: () => ({
        id: id('api'),
        signing_secret: secret(),
        allow_offline_access: false,
        skip_consent_for_verifiable_first_party_clients: true,
        token_lifetime_for_web: 7200,
        scopes: [],
      }),
    },
    'client-grants': { map: grants, make: () => ({ id: id('cgr_') }) },
    'actions/actions': { map: actions, make: () => ({ id: id('act'), status: 'built', all_changes_deployed: false }) },
  };

  const answer = (method: string, path: string, query: URLSearchParams, body: Json): [status: number, json?: Json] => {
    if (path === 'actions/triggers/credentials-exchange/bindings') {
      if (method === 'PATCH') standIn.bound = body['bindings'].map((binding: Json) => binding['ref'].value);
      const page = Number(query.get('page') ?? 0);
      // Past the end Auth0 leaves the total out, by which the provider knows that it is through.
      if (page > 0) return [200, { bindings: [], page, per_page: 100 }];
      const bindings = standIn.bound.map((action) => ({
        id: action,
        trigger_id: 'credentials-exchange',
        display_name: actions.get(action)?.['name'],
        action: actions.get(action),
      }));
      return [200, { bindings, total: bindings.length, per_page: 100 }];
    }
    const deploy = /^actions\/actions\/(\w+)\/deploy$/.exec(path)?.[1];
    if (deploy) {
      const action = actions.get(deploy);
      if (!action) return notFound();
      action['deployed_version'] = { id: id('version'), deployed: true };
      action['all_changes_deployed'] = true;
      return [202, action['deployed_version']];
    }
    const [name, collection] = Object.entries(collections).find(([prefix]) => path === prefix || path.startsWith(`${prefix}/`)) ?? [];
    if (name === undefined || collection === undefined) return notFound();
    const key = decodeURIComponent(path.slice(name.length + 1));
    if (name === 'client-grants' && ['POST', 'PATCH'].includes(method)) {
      const audience = body['audience'] ?? grants.get(key)?.['audience'];
      const known = [...apis.values()].find((api) => api['identifier'] === audience)?.['scopes'].map((scope: Json) => scope['value']) ?? [];
      if ((body['scope'] as string[]).some((scope) => !known.includes(scope)))
        return [400, { statusCode: 400, error: 'Bad Request', message: 'Scope does not exist on the API' }];
    }
    if (key === '') {
      if (method === 'POST') {
        const made: Json = { ...collection.make(body), ...body };
        collection.map.set(made['client_id'] && name === 'clients' ? made['client_id'] : made['id'], made);
        return [201, made];
      }
      const asked = [...query].filter(([field]) => ['audience', 'client_id'].includes(field));
      const found = [...collection.map.values()].filter((item) => asked.every(([field, value]) => item[field] === value));
      return [200, { [name.replaceAll('-', '_')]: found, start: 0, limit: 50, length: found.length, total: found.length }];
    }
    // An API is found by its id and by its audience; also by one that was escaped twice, as the provider's data source does.
    const twice = /%2F/i.test(key) ? decodeURIComponent(key) : key;
    const item = collection.map.get(key) ?? [...collection.map.values()].find(({ identifier }) => identifier === twice);
    if (!item) return notFound();
    if (method === 'GET') return [200, item];
    if (method === 'PATCH') {
      // Metadata is merged, and null takes one out.
      const metadata = Object.entries({ ...item['client_metadata'], ...body['client_metadata'] }).filter(([, value]) => value !== null);
      return [200, Object.assign(item, body, metadata.length > 0 ? { client_metadata: Object.fromEntries(metadata) } : {})];
    }
    if (name === 'actions/actions' && standIn.bound.includes(key))
      return [409, { statusCode: 409, error: 'Conflict', message: 'The action is bound to a trigger' }];
    collection.map.delete(item['id'] ?? item['client_id']);
    return [204];
  };

  const server = createServer(
    { cert: await readFile(certificates.certFile), key: await readFile(certificates.keyFile) },
    (request, response) => {
      void (async () => {
        let text = '';
        for await (const chunk of request) text += chunk;
        const url = new URL(request.url ?? '/', 'https://localhost');
        // The raw path: an audience in it keeps its encoded slashes.
        const path = url.pathname.replace('/api/v2/', '');
        const allowed = request.headers.authorization === `Bearer ${token}`;
        const [status, json] = allowed
          ? answer(request.method ?? '', path, url.searchParams, text ? JSON.parse(text) : {})
          : [401, { statusCode: 401, error: 'Unauthorized', message: 'Invalid token' }];
        response.writeHead(status, { 'Content-Type': 'application/json' }).end(json ? JSON.stringify(json) : undefined);
      })().catch((error: unknown) => response.writeHead(500).end(String(error)));
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return Object.assign(standIn, {
    domain: `localhost:${(server.address() as AddressInfo).port}`,
    environment: { AUTH0_API_TOKEN: token, SSL_CERT_FILE: certificates.caFile },
    async stop() {
      server.close();
      server.closeAllConnections();
      await certificates[Symbol.asyncDispose]();
    },
  });
}

const notFound = (): [number, Json] => [404, { statusCode: 404, error: 'Not Found', message: 'Not found' }];
