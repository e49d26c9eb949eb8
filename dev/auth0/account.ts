/**
 * What an Auth0 tenant knows: its applications, APIs, client grants, organizations and people.
 * Names follow Auth0's Management API where it has one. Tests change it while the stand-in runs.
 */
export interface Auth0Account {
  clients: Auth0Client[];
  apis: Auth0Api[];
  grants: Auth0ClientGrant[];
  organizations: Auth0Organization[];
  people: Auth0Person[];
  /** What people are given, all over the tenant or in one organization. */
  roles?: Auth0Role[];
  /** Where the tenant's log is delivered. */
  logStreams?: Auth0LogStream[];
  /** Source of the Credentials-Exchange Action bound to the M2M trigger; without one no claim is added. */
  action?: string | undefined;
}

/** Tokens by client_credentials: Auth0's `token_quota.client_credentials` (Early Access). */
export interface TokenQuota {
  per_hour?: number;
  per_day?: number;
  /** Without it the headers tell, and nothing is refused. Default true. */
  enforce?: boolean;
}

export interface Auth0Client {
  id: string;
  name?: string;
  /** Auth0's application metadata, which an Action sees. */
  metadata?: Record<string, string>;
  /**
   * All that are accepted now: Auth0 knows the old one for up to 30 s after a rotation. None: a public client, which proves itself by
   * PKCE.
   */
  secrets: string[];
  /** `app_type`. Default `non_interactive`, that of M2M applications. */
  type?: string;
  /** `token_endpoint_auth_method`. Default `client_secret_post`. */
  authentication?: string;
  grantTypes: ('client_credentials' | 'authorization_code')[];
  tokenQuota?: TokenQuota;
  /** Allowed Callback URLs, compared exactly. */
  callbacks?: string[];
  /** Allowed Web Origins: whose pages may call /oauth/token. */
  webOrigins?: string[];
  /** Allowed Logout URLs, compared exactly. */
  logoutUrls?: string[];
  /** Ids of those who log in through it, the first one unless `login_hint` says whom. Default: everybody. */
  people?: string[];
}

export type TokenDialect = 'access_token' | 'access_token_authz' | 'rfc9068_profile' | 'rfc9068_profile_authz';

export interface Auth0Api {
  /** The API's identifier, compared exactly. */
  audience: string;
  scopes: string[];
  /** Seconds. Auth0's default is 86400. */
  lifetime?: number;
  dialect?: TokenDialect;
}

export interface Auth0ClientGrant {
  clientId: string;
  audience: string;
  scopes: string[];
  /** May, must or may not an exchange name an organization. Auth0's default is `deny`. */
  organizationUsage?: 'deny' | 'allow' | 'require';
  /** Without it only the organizations that list this client. */
  allowAnyOrganization?: boolean;
}

export interface Auth0Organization {
  /** `org_…`. */
  id: string;
  name: string;
  /** Clients whose grants are associated with it. */
  clients?: string[];
  tokenQuota?: TokenQuota;
}

/** Somebody who can log in; there is no password, since the stand-in never asks. */
export interface Auth0Person {
  /** `auth0|…`. */
  id: string;
  email: string;
  name: string;
  /** Go into ID and access tokens as they are, e.g. `https://postern.dev/roles`. */
  claims?: Record<string, unknown>;
  /** Permissions by the API's audience (RBAC). */
  permissions?: Record<string, string[]>;
  /** Ids of the organizations that the person is a member of. */
  organizations?: string[];
  /** Ids of roles that hold everywhere. */
  roles?: string[];
  /** Ids of roles, by the organization in which they hold. */
  organizationRoles?: Record<string, string[]>;
  /** What groups give beside these: permissions by the API's audience, and ids of roles by organization. */
  groupPermissions?: Record<string, string[]>;
  groupRoles?: Record<string, string[]>;
  /** By an administrator. */
  blocked?: boolean;
}

export interface Auth0Role {
  /** `rol_…`. */
  id: string;
  name: string;
  /** Permissions by the API's audience. */
  permissions: Record<string, string[]>;
}

/** A log stream of type `http`, the custom webhook; names follow its `sink`. */
export interface Auth0LogStream {
  /** `lst_…`. */
  id: string;
  name: string;
  httpEndpoint: string;
  /** Sent as Authorization, as it is. */
  httpAuthorization?: string;
  httpContentFormat?: 'JSONLINES' | 'JSONARRAY' | 'JSONOBJECT';
}

/** Permissions of a person at an API: their own, their roles', and those of their roles in the organization that they log in to. */
export function permissionsOf(account: Auth0Account, person: Auth0Person, audience: string, organization?: string): string[] {
  const there = organization === undefined ? [] : [person.organizationRoles, person.groupRoles].flatMap((by) => by?.[organization] ?? []);
  const roles = [...(person.roles ?? []), ...there];
  const given = roles.flatMap((role) => account.roles?.find(({ id }) => id === role)?.permissions[audience] ?? []);
  return [...new Set([...(person.permissions?.[audience] ?? []), ...(person.groupPermissions?.[audience] ?? []), ...given])];
}
