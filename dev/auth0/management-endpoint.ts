import { Refusal } from './refusal.ts';
import type { Auth0Account, Auth0Person, Auth0Role } from './account.ts';

/** Of the Management API: those that these endpoints ask for. */
export const MANAGEMENT_SCOPES = [
  'read:users',
  'update:users',
  'delete:users',
  'read:roles',
  'update:roles',
  'read:organizations',
  'read:organization_members',
  'delete:organization_members',
  'read:organization_member_roles',
  'delete:organization_member_roles',
  'read:user_effective_permissions',
  'read:organization_member_effective_roles',
  'read:resource_servers',
  'read:clients',
  'update:clients',
  'delete:clients',
  'read:client_grants',
  'create:client_grants',
  'delete:client_grants',
  'read:logs',
  'read:log_streams',
  'create:log_streams',
  'delete:log_streams',
] as const;

export interface Answer {
  status: number;
  json?: object | undefined;
}

export interface Call {
  /** What stands in the path's braces, decoded. */
  ids: string[];
  query: URLSearchParams;
  body: Record<string, unknown>;
}

export interface Endpoint {
  pattern: RegExp;
  scope: (typeof MANAGEMENT_SCOPES)[number];
  description: string;
  handle: (call: Call) => Answer;
}

export interface Permission {
  resource_server_identifier: string;
  permission_name: string;
}

export function personOf(account: Auth0Account, id: string): Auth0Person {
  const person = account.people.find((one) => one.id === id);
  if (person === undefined) throw new Refusal(404, 'Not Found', 'The user does not exist.');
  return person;
}

export function roleOf(account: Auth0Account, id: string): Auth0Role {
  const role = account.roles?.find((one) => one.id === id);
  if (role === undefined) throw new Refusal(404, 'Not Found', 'The role does not exist.');
  return role;
}

export function organizationOf(account: Auth0Account, id: string): string {
  if (!account.organizations.some((one) => one.id === id)) throw new Refusal(404, 'Not Found', 'No organization found by that id or name.');
  return id;
}

export function asPermissions(audience: string, names: readonly string[]): Permission[] {
  return names.map((name) => ({ resource_server_identifier: audience, permission_name: name }));
}

export function without(permissions: Record<string, string[]>, gone: readonly Permission[]): Record<string, string[]> {
  return Object.fromEntries(
    Object.entries(permissions).map(([audience, names]) => [
      audience,
      names.filter((name) => !gone.some((one) => one.resource_server_identifier === audience && one.permission_name === name)),
    ]),
  );
}

/** By `page` and `per_page`; with its total where that is asked for. */
export function offsetPage(all: readonly object[], query: URLSearchParams, name: string): object {
  const size = Number(query.get('per_page') ?? 50);
  const start = Number(query.get('page') ?? 0) * size;
  const items = all.slice(start, start + size);
  return query.get('include_totals') === 'true' ? { [name]: items, start, limit: size, total: all.length } : items;
}

/** By `from` and `take`; `next` stands there while there is more. */
export function checkpointPage(name: string, all: readonly object[], query: URLSearchParams): object {
  const start = Number(query.get('from') ?? 0);
  const end = start + Number(query.get('take') ?? 50);
  return { [name]: all.slice(start, end), ...(end < all.length ? { next: String(end) } : {}) };
}
