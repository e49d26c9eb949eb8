import { apiDocument, tenantDocument } from '#broker/authorization/documents.ts';
import type { Api, GrantRequest, TenantGrants } from '#broker/authorization/documents.ts';
import { Authorization } from '#broker/authorization/authorization.ts';
import type { AuthorizationOptions, AuthorizedGrant } from '#broker/authorization/authorization.ts';
import type { Identity } from '#broker/credential/identity.ts';
import { identityOf } from '#test/unit/credential/identity.ts';

export const ISSUER = 'https://tokens.example.com/';
export const AUTH0 = 'https://acme.eu.auth0.com/';
export const ORDERS = 'https://orders.example.com';

export function apiOf(name: string, document: Record<string, unknown> = {}): Api {
  return {
    ...apiDocument.parse({ audience: `https://${name}.example.com`, source: 'transit', scopes: ['read:all', 'write:all'], ...document }),
    name,
  };
}

export function tenantOf(document: Record<string, unknown> = {}): TenantGrants {
  return tenantDocument.parse({ grants: [{ api: 'orders', scopes: ['read:all', 'write:all'] }], ...document });
}

export interface StageOptions {
  apis?: Api[];
  tenant?: TenantGrants | undefined;
  readGrants?: (identity: Identity) => Promise<TenantGrants | undefined>;
  issuers?: AuthorizationOptions['issuers'];
  layout?: string;
  isDisabled?: (tenant: string) => boolean;
  kept?: AuthorizationOptions['kept'];
}

export function authorizationOf(options: StageOptions = {}): Authorization {
  const apis = options.apis ?? [apiOf('orders'), apiOf('billing', { source: 'auth0' })];
  const tenant = 'tenant' in options ? options.tenant : tenantOf();
  return new Authorization({
    grants: { readGrants: options.readGrants ?? (async () => tenant) },
    apis: {
      byAudience: (audience) => apis.find((api) => api.audience === audience),
      byName: (name) => apis.find((api) => api.name === name),
    },
    issuers: options.issuers ?? { transit: ISSUER, auth0: AUTH0 },
    ...(options.layout === undefined ? {} : { layout: options.layout }),
    isDisabled: options.isDisabled ?? (() => false),
    ...(options.kept === undefined ? {} : { kept: options.kept }),
  });
}

export const requestOf = (request: Partial<GrantRequest> = {}): GrantRequest => ({
  audience: ORDERS,
  scope: undefined,
  organization: undefined,
  ...request,
});

/** A grant, by the only way there is to one. */
export async function grantOf(
  options: StageOptions & { identity?: Partial<Identity>; request?: Partial<GrantRequest> } = {},
): Promise<AuthorizedGrant> {
  return authorizationOf(options).authorize(identityOf(options.identity), requestOf(options.request));
}
