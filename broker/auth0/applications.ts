import type { ManagementClient } from 'auth0';
import { MARK } from './application.ts';
import { explainManagement } from './management.ts';

/** A machine-to-machine application with the APIs that it may call. Its secret is never asked for. */
export interface Application {
  clientId: string;
  name: string;
  /** How it proves itself, e.g. `client_secret_post` or `private_key_jwt`. */
  authentication: string | undefined;
  /** Other ways in which it gets tokens, e.g. `authorization_code`. */
  otherGrantTypes: readonly string[];
  /** Whether it carries the mark of the application that all tenants share. */
  isShared: boolean;
  /** Names of its application metadata, which an Action may read. */
  metadata: readonly string[];
  grants: readonly ClientGrant[];
}

export interface ClientGrant {
  audience: string;
  scopes: readonly string[] | 'all';
  /** Whether an exchange may (`allow`) or must (`require`) name an organization. */
  organization: 'deny' | 'allow' | 'require';
}

/** Auth0's own limit for a page. */
const PAGE = 100;
const FIELDS = 'client_id,name,grant_types,token_endpoint_auth_method,client_metadata,global';

/**
 * Every application that may exchange its own credential, in the order of their names.
 * Needs read:clients and read:client_grants. https://auth0.com/docs/api/management/v2/clients/get-clients
 * @throws {PosternError} access_denied, too_many_requests, temporarily_unavailable
 */
export async function readApplications(management: ManagementClient, signal?: AbortSignal): Promise<Application[]> {
  const request = signal === undefined ? {} : { abortSignal: signal };
  const grants = await explained('list the client grants', 'read:client_grants', async () => {
    const found = new Map<string, ClientGrant[]>();
    for await (const grant of await management.clientGrants.list({ take: PAGE }, request)) {
      const { client_id: client, audience } = grant;
      // A grant of another subject is for people who log in.
      if (client === undefined || audience === undefined || (grant.subject_type ?? 'client') !== 'client') continue;
      found.set(client, [
        ...(found.get(client) ?? []),
        {
          audience,
          scopes: grant.allow_all_scopes === true ? 'all' : (grant.scope ?? []),
          organization: grant.organization_usage ?? 'deny',
        },
      ]);
    }
    return found;
  });
  return explained('list the applications', 'read:clients', async () => {
    const found: Application[] = [];
    const page = await management.clients.list({ per_page: PAGE, include_totals: true, fields: FIELDS, include_fields: true }, request);
    for await (const client of page) {
      const { client_id: id, grant_types: types = [] } = client;
      if (id === undefined || client.global === true || !types.includes('client_credentials')) continue;
      found.push({
        clientId: id,
        name: client.name ?? id,
        authentication: client.token_endpoint_auth_method ?? undefined,
        otherGrantTypes: types.filter((type) => type !== 'client_credentials'),
        isShared: client.client_metadata?.[MARK.key] === MARK.value,
        metadata: Object.keys(client.client_metadata ?? {}),
        grants: grants.get(id) ?? [],
      });
    }
    return found.sort((a, b) => a.name.localeCompare(b.name) || a.clientId.localeCompare(b.clientId));
  });
}

async function explained<T>(doing: string, scope: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw explainManagement(error, doing, scope);
  }
}
