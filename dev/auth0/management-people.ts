import { permissionsOf } from './account.ts';
import { asPermissions, checkpointPage, offsetPage, organizationOf, personOf, roleOf, without } from './management-endpoint.ts';
import type { Auth0Account } from './account.ts';
import type { Endpoint, Permission } from './management-endpoint.ts';

export function userEndpoints(account: Auth0Account): Endpoint[] {
  return [
    {
      pattern: /^GET users\/([^/]+)$/,
      scope: 'read:users',
      description: 'Get a User',
      handle: ({ ids: [id = ''], query }) => {
        const { email, name, blocked } = personOf(account, id);
        const whole = { user_id: id, email, name, ...(blocked === undefined ? {} : { blocked }) };
        const fields = query.get('fields')?.split(',');
        return { status: 200, json: Object.fromEntries(Object.entries(whole).filter(([field]) => fields?.includes(field) ?? true)) };
      },
    },
    {
      pattern: /^PATCH users\/([^/]+)$/,
      scope: 'update:users',
      description: 'Update a User',
      handle: ({ ids: [id = ''], body }) => {
        const person = personOf(account, id);
        if (typeof body['blocked'] === 'boolean') person.blocked = body['blocked'];
        return { status: 200, json: { user_id: id, blocked: person.blocked ?? false } };
      },
    },
    {
      pattern: /^DELETE users\/([^/]+)$/,
      scope: 'delete:users',
      description: 'Delete a User',
      handle: ({ ids: [id = ''] }) => {
        account.people = account.people.filter((one) => one.id !== id);
        return { status: 204 };
      },
    },
    {
      // Their own and those of their roles; not those of roles in an organization.
      pattern: /^GET users\/([^/]+)\/permissions$/,
      scope: 'read:users',
      description: "Get a User's Permissions",
      handle: ({ ids: [id = ''], query }) => {
        const person = { ...personOf(account, id), groupPermissions: {} };
        const all = account.apis.flatMap(({ audience }) => asPermissions(audience, permissionsOf(account, person, audience)));
        return { status: 200, json: offsetPage(all, query, 'permissions') };
      },
    },
    {
      // With what groups give. Not every tenant has groups.
      pattern: /^GET users\/([^/]+)\/effective-permissions$/,
      scope: 'read:user_effective_permissions',
      description: "Get a User's Effective Permissions",
      handle: ({ ids: [id = ''], query }) => {
        const audience = query.get('resource_server_identifier') ?? '';
        const all = asPermissions(audience, permissionsOf(account, personOf(account, id), audience));
        return { status: 200, json: checkpointPage('permissions', all, query) };
      },
    },
    {
      pattern: /^DELETE users\/([^/]+)\/permissions$/,
      scope: 'update:users',
      description: 'Remove Permissions from a User',
      handle: ({ ids: [id = ''], body }) => {
        const person = personOf(account, id);
        person.permissions = without(person.permissions ?? {}, body['permissions'] as Permission[]);
        return { status: 204 };
      },
    },
    {
      pattern: /^DELETE users\/([^/]+)\/roles$/,
      scope: 'update:users',
      description: 'Remove Roles from a User',
      handle: ({ ids: [id = ''], body }) => {
        const person = personOf(account, id);
        person.roles = (person.roles ?? []).filter((role) => !(body['roles'] as string[]).includes(role));
        return { status: 204 };
      },
    },
  ];
}

export function organizationEndpoints(account: Auth0Account): Endpoint[] {
  return [
    {
      pattern: /^GET organizations\/([^/]+)\/members$/,
      scope: 'read:organization_members',
      description: 'Get Members who belong to an Organization',
      handle: ({ ids: [id = ''], query }) => {
        const organization = organizationOf(account, id);
        const fields = query.get('fields')?.split(',');
        const members = account.people
          .filter((one) => one.organizations?.includes(organization))
          .map(({ id: user_id, name, email, organizationRoles }) => {
            const given = organizationRoles?.[organization] ?? [];
            const roles = (account.roles ?? []).filter(({ id }) => given.includes(id)).map(({ id, name }) => ({ id, name }));
            const whole = { user_id, name, email, roles };
            // Roles are told only when they are asked for.
            return Object.fromEntries(Object.entries(whole).filter(([field]) => fields?.includes(field) ?? field !== 'roles'));
          });
        return { status: 200, json: checkpointPage('members', members, query) };
      },
    },
    {
      pattern: /^GET organizations\/([^/]+)\/members\/([^/]+)\/effective-roles$/,
      scope: 'read:organization_member_effective_roles',
      description: "Get a Member's Effective Roles",
      handle: ({ ids: [id = '', member = ''], query }) => {
        const organization = organizationOf(account, id);
        const person = personOf(account, member);
        const roles = [person.organizationRoles, person.groupRoles].flatMap((by) => by?.[organization] ?? []);
        return {
          status: 200,
          json: checkpointPage(
            'roles',
            roles.map((role) => ({ id: role, name: roleOf(account, role).name })),
            query,
          ),
        };
      },
    },
    {
      pattern: /^DELETE organizations\/([^/]+)\/members$/,
      scope: 'delete:organization_members',
      description: 'Delete Members from an Organization',
      handle: ({ ids: [id = ''], body }) => {
        const organization = organizationOf(account, id);
        for (const member of body['members'] as string[]) {
          const person = personOf(account, member);
          person.organizations = (person.organizations ?? []).filter((one) => one !== organization);
          delete person.organizationRoles?.[organization];
        }
        return { status: 204 };
      },
    },
    {
      pattern: /^DELETE organizations\/([^/]+)\/members\/([^/]+)\/roles$/,
      scope: 'delete:organization_member_roles',
      description: 'Delete User Roles from an Organization Member',
      handle: ({ ids: [id = '', member = ''], body }) => {
        const organization = organizationOf(account, id);
        const person = personOf(account, member);
        const left = (person.organizationRoles?.[organization] ?? []).filter((role) => !(body['roles'] as string[]).includes(role));
        person.organizationRoles = { ...person.organizationRoles, [organization]: left };
        return { status: 204 };
      },
    },
  ];
}
