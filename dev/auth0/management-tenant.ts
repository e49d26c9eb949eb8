import { randomBytes } from 'node:crypto';
import { asPermissions, offsetPage, roleOf, without } from './management-endpoint.ts';
import { Refusal } from './refusal.ts';
import type { Auth0Account, Auth0LogStream } from './account.ts';
import type { Endpoint, Permission } from './management-endpoint.ts';

export function tenantEndpoints(account: Auth0Account): Endpoint[] {
  return [
    {
      pattern: /^GET roles\/([^/]+)\/permissions$/,
      scope: 'read:roles',
      description: 'Get Permissions Granted by Role',
      handle: ({ ids: [id = ''], query }) => {
        const all = Object.entries(roleOf(account, id).permissions).flatMap(([audience, names]) => asPermissions(audience, names));
        return { status: 200, json: offsetPage(all, query, 'permissions') };
      },
    },
    {
      pattern: /^DELETE roles\/([^/]+)\/permissions$/,
      scope: 'update:roles',
      description: 'Remove Permissions from a Role',
      handle: ({ ids: [id = ''], body }) => {
        const role = roleOf(account, id);
        role.permissions = without(role.permissions, body['permissions'] as Permission[]);
        return { status: 204 };
      },
    },
    {
      pattern: /^GET resource-servers\/([^/]+)$/,
      scope: 'read:resource_servers',
      description: 'Get a Resource Server',
      handle: ({ ids: [id = ''] }) => {
        const api = account.apis.find(({ audience }) => audience === id);
        if (api === undefined) throw new Refusal(404, 'Not Found', 'The resource server does not exist');
        return { status: 200, json: { id: `rs-${id}`, identifier: id, scopes: api.scopes.map((value) => ({ value })) } };
      },
    },
    {
      pattern: /^POST log-streams$/,
      scope: 'create:log_streams',
      description: 'Create a Log Stream',
      handle: ({ body }) => {
        const sink = body['sink'] as Omit<Auth0LogStream, 'id' | 'name'>;
        const stream = { id: `lst_${randomBytes(8).toString('hex')}`, name: String(body['name']), ...sink };
        (account.logStreams ??= []).push(stream);
        return { status: 200, json: { id: stream.id, name: stream.name, type: 'http', status: 'active', sink } };
      },
    },
    {
      pattern: /^DELETE log-streams\/([^/]+)$/,
      scope: 'delete:log_streams',
      description: 'Delete a Log Stream',
      handle: ({ ids: [id] }) => {
        account.logStreams = (account.logStreams ?? []).filter((one) => one.id !== id);
        return { status: 204 };
      },
    },
  ];
}
