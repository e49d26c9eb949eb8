import { randomBytes } from 'node:crypto';
import { checkpointPage, offsetPage } from './management-endpoint.ts';
import { Refusal } from './refusal.ts';
import type { Auth0Account, Auth0Client, Auth0ClientGrant } from './account.ts';
import type { Endpoint } from './management-endpoint.ts';

export function applicationEndpoints(account: Auth0Account): Endpoint[] {
  const clientOf = (id = ''): Auth0Client => {
    const client = account.clients.find((one) => one.id === id);
    if (client === undefined) throw new Refusal(404, 'Not Found', 'The client does not exist');
    return client;
  };
  /** Grants get their id when they are first asked for, and keep it whatever goes before them. */
  const ids = new WeakMap<Auth0ClientGrant, string>();
  const idOf = (grant: Auth0ClientGrant): string => {
    const id = ids.get(grant) ?? `cgr_${randomBytes(8).toString('hex')}`;
    ids.set(grant, id);
    return id;
  };
  const grantShown = (grant: Auth0ClientGrant): Record<string, unknown> => ({
    id: idOf(grant),
    client_id: grant.clientId,
    audience: grant.audience,
    scope: grant.scopes,
    organization_usage: grant.organizationUsage ?? 'deny',
    allow_any_organization: grant.allowAnyOrganization ?? false,
    subject_type: 'client',
  });
  return [
    {
      pattern: /^GET clients$/,
      scope: 'read:clients',
      description: 'Get Clients',
      handle: ({ query }) => ({
        status: 200,
        json: offsetPage(
          account.clients.map((client) => clientShown(client, query)),
          query,
          'clients',
        ),
      }),
    },
    {
      pattern: /^GET clients\/([^/]+)$/,
      scope: 'read:clients',
      description: 'Get a Client',
      handle: ({ ids: [id], query }) => ({ status: 200, json: clientShown(clientOf(id), query) }),
    },
    {
      pattern: /^PATCH clients\/([^/]+)$/,
      scope: 'update:clients',
      description: 'Update a Client',
      handle: ({ ids: [id], query, body }) => {
        const client = clientOf(id);
        const { grant_types: types, ...rest } = body;
        if (Object.keys(rest).length > 0 || !Array.isArray(types))
          throw new Refusal(
            400,
            'Bad Request',
            `Payload validation error: 'Additional properties not allowed: ${Object.keys(rest).join(',')}'`,
          );
        client.grantTypes = types as Auth0Client['grantTypes'];
        return { status: 200, json: clientShown(client, query) };
      },
    },
    {
      pattern: /^DELETE clients\/([^/]+)$/,
      scope: 'delete:clients',
      description: 'Delete a Client',
      handle: ({ ids: [id] }) => {
        // One that isn't there is answered as one that was.
        remove(account.clients, (one) => one.id === id);
        remove(account.grants, ({ clientId }) => clientId === id);
        return { status: 204 };
      },
    },
    {
      pattern: /^GET client-grants$/,
      scope: 'read:client_grants',
      description: 'Get Client Grants',
      handle: ({ query }) => {
        const all = account.grants.filter(
          ({ clientId, audience }) => (query.get('client_id') ?? clientId) === clientId && (query.get('audience') ?? audience) === audience,
        );
        return { status: 200, json: checkpointPage('client_grants', all.map(grantShown), query) };
      },
    },
    {
      pattern: /^POST client-grants$/,
      scope: 'create:client_grants',
      description: 'Create a Client Grant',
      handle: ({ body }) => {
        const [clientId, audience] = [clientOf(String(body['client_id'])).id, String(body['audience'])];
        if (account.grants.some((one) => one.clientId === clientId && one.audience === audience))
          throw new Refusal(409, 'Conflict', 'A resource with the same identifier already exists.');
        const grant: Auth0ClientGrant = { clientId, audience, scopes: (body['scope'] as string[] | undefined) ?? [] };
        account.grants.push(grant);
        return { status: 201, json: grantShown(grant) };
      },
    },
    {
      pattern: /^DELETE client-grants\/([^/]+)$/,
      scope: 'delete:client_grants',
      description: 'Delete a Client Grant',
      handle: ({ ids: [id] }) => {
        remove(account.grants, (grant) => idOf(grant) === id);
        return { status: 204 };
      },
    },
  ];
}

/** In place: tests hold the list itself. */
function remove<T>(list: T[], which: (one: T) => boolean): void {
  for (let at = list.length - 1; at >= 0; at -= 1) if (which(list[at] as T)) list.splice(at, 1);
}

/** Auth0 tells secrets to whoever has read:client_keys, which nobody has here. */
function clientShown({ id, name, grantTypes, metadata, authentication, type, callbacks }: Auth0Client, query: URLSearchParams): object {
  const fields = query.get('fields')?.split(',');
  const whole = {
    client_id: id,
    name: name ?? id,
    global: false,
    app_type: type ?? 'non_interactive',
    grant_types: grantTypes,
    token_endpoint_auth_method: authentication ?? 'client_secret_post',
    ...(callbacks === undefined ? {} : { callbacks }),
    ...(metadata === undefined ? {} : { client_metadata: metadata }),
  };
  return Object.fromEntries(Object.entries(whole).filter(([field]) => fields?.includes(field) ?? true));
}
