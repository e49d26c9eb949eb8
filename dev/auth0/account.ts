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
  /** Source of the Credentials-Exchange Action bound to the M2M trigger; without one no claim is added. */
  action?: string | undefined;
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
  grantTypes: ('client_credentials' | 'authorization_code')[];
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
}
