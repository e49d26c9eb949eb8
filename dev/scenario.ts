import { randomBytes } from 'node:crypto';
import type { Auth0Account } from './auth0.ts';

/**
 * The company of the demo and of `postern dev`: three APIs, two customers. Terraform gets it as
 * variables, the Auth0 stand-in as its account.
 */
export const APIS = {
  /** Issued by Auth0, through the one shared application. */
  orders: { audience: 'https://orders.example.com', source: 'auth0', scopes: ['read:orders', 'write:orders'], lifetime: 86_400 },
  /** Issued by Postern itself, signed in Vault. */
  reports: { audience: 'https://reports.example.com', source: 'transit', scopes: ['read:reports'], lifetime: 3_600 },
  /** globex alone has a grant for it. */
  payroll: { audience: 'https://payroll.example.com', source: 'transit', scopes: ['read:payroll'], lifetime: 3_600 },
} as const;

export const TENANTS = {
  acme: {
    grants: [
      { api: 'orders', scopes: ['read:orders', 'write:orders'] },
      { api: 'reports', scopes: ['read:reports'] },
    ],
    claims: { 'https://postern.dev/plan': 'gold' },
  },
  globex: {
    grants: [
      { api: 'orders', scopes: ['read:orders'] },
      { api: 'reports', scopes: ['read:reports'] },
      { api: 'payroll', scopes: ['read:payroll'] },
    ],
    claims: {},
  },
} as const;

export type ApiName = keyof typeof APIS;
export type TenantName = keyof typeof TENANTS;

/** Each customer's organization at Auth0, by its tenant's name. */
export const ORGANIZATIONS: Readonly<Record<TenantName, string>> = { acme: 'org_acme5a0f3c1d', globex: 'org_globex7b2e9d4f' };

/** The customers as the stack sets them up: their people may make keys of their own. */
export const TENANTS_WITH_PEOPLE = {
  acme: { ...TENANTS.acme, organization: ORGANIZATIONS.acme, self_service: {} },
  globex: { ...TENANTS.globex, organization: ORGANIZATIONS.globex, self_service: {} },
};

/** Where Vault's OIDC login comes back to: the listener of `vault login -method=oidc`. */
export const OIDC_CALLBACK = 'http://localhost:8250/oidc/callback';

export const M2M_CLIENT = 'postern-shared-m2m';
export const OPERATORS_CLIENT = 'postern-operators';
/** The single-page application that stands for the console. */
export const CONSOLE_CLIENT = 'postern-console';
/** The Auth0 API that stands for the admin API. */
export const ADMIN_AUDIENCE = 'https://postern.example.com/admin';
const ADMIN_PERMISSIONS = ['read:tenants', 'read:keys', 'manage:tenants', 'manage:grants', 'manage:keys', 'manage:trusts'];

/** The Auth0 API that stands for the self-service API; its permissions are what people's keys may do. */
export const SELF_AUDIENCE = 'https://postern.example.com/self';
const SELF_PERMISSIONS = ['read:orders', 'write:orders', 'read:reports', 'manage:organization-keys'];
/** The web application in which a customer's people make keys (examples/self-service). */
export const SAAS_CLIENT = 'acme-saas';
/** Where a Management API token is had: for `postern owners sync`, and for what an administrator does. */
export const MANAGEMENT_CLIENT = 'postern-management';

/** Who can log in at the stand-in; Ned has no role and must be refused. The last two are people of acme. */
const PEOPLE = [
  {
    id: 'auth0|olivia',
    email: 'olivia@example.com',
    name: 'Olivia Operator',
    claims: { 'https://postern.dev/roles': ['operator'] },
    permissions: { [ADMIN_AUDIENCE]: ADMIN_PERMISSIONS },
  },
  {
    id: 'auth0|adam',
    email: 'adam@example.com',
    name: 'Adam Auditor',
    claims: { 'https://postern.dev/roles': ['auditor'] },
    permissions: { [ADMIN_AUDIENCE]: ['read:tenants', 'read:keys'] },
  },
  { id: 'auth0|ned', email: 'ned@example.com', name: 'Ned Nobody', claims: {} },
  {
    id: 'auth0|ursula',
    email: 'ursula@acme.example.com',
    name: 'Ursula User',
    organizations: [ORGANIZATIONS.acme],
    permissions: { [SELF_AUDIENCE]: ['read:orders', 'read:reports'] },
  },
  {
    id: 'auth0|anna',
    email: 'anna@acme.example.com',
    name: 'Anna Administrator',
    organizations: [ORGANIZATIONS.acme],
    permissions: { [SELF_AUDIENCE]: SELF_PERMISSIONS },
  },
];

/** @param action source of the Credentials-Exchange Action that Terraform installs */
export function auth0Account(action: string): { account: Auth0Account; m2mSecret: string; operatorsSecret: string } {
  const m2mSecret = randomBytes(32).toString('base64url');
  const operatorsSecret = randomBytes(32).toString('base64url');
  const auth0Apis = Object.values(APIS).filter(({ source }) => source === 'auth0');
  return {
    m2mSecret,
    operatorsSecret,
    account: {
      clients: [
        { id: M2M_CLIENT, name: 'Postern', metadata: { postern: 'broker' }, secrets: [m2mSecret], grantTypes: ['client_credentials'] },
        {
          id: OPERATORS_CLIENT,
          name: 'Postern operators',
          secrets: [operatorsSecret],
          grantTypes: ['authorization_code'],
          callbacks: [OIDC_CALLBACK],
        },
      ],
      apis: [
        ...auth0Apis.map(({ audience, scopes, lifetime }) => ({ audience, scopes: [...scopes], lifetime })),
        { audience: ADMIN_AUDIENCE, scopes: ADMIN_PERMISSIONS, dialect: 'access_token_authz', lifetime: 7_200 },
        { audience: SELF_AUDIENCE, scopes: SELF_PERMISSIONS, dialect: 'access_token_authz', lifetime: 7_200 },
      ],
      grants: auth0Apis.map(({ audience, scopes }) => ({ clientId: M2M_CLIENT, audience, scopes: [...scopes] })),
      organizations: Object.entries(ORGANIZATIONS).map(([name, id]) => ({ id, name })),
      people: structuredClone(PEOPLE),
      action,
    },
  };
}

/** The application of a SaaS company's customers. @param origin where it is */
export function saasOf(origin: string, secret: string): Auth0Account['clients'][number] {
  return {
    id: SAAS_CLIENT,
    name: 'SaaS of acme',
    secrets: [secret],
    grantTypes: ['authorization_code'],
    callbacks: [`${origin}/callback`],
    logoutUrls: [origin],
    people: ['auth0|ursula', 'auth0|anna'],
  };
}

/** The console's application. @param origin of the admin API, which serves it */
export function consoleOf(origin: string): Auth0Account['clients'][number] {
  return {
    id: CONSOLE_CLIENT,
    name: 'Postern console',
    secrets: [],
    grantTypes: ['authorization_code'],
    callbacks: [`${origin}/console/`],
    webOrigins: [origin],
    logoutUrls: [`${origin}/console/`],
  };
}
