import type { ManagementClient } from 'auth0';
import { PosternError } from '#broker/error.ts';
import { explainManagement } from './management.ts';

/** The mark that `terraform/modules/auth0` sets on the shared application; the Action recognizes it by the same. */
export const MARK = { key: 'postern', value: 'broker' };

export interface SharedApplication {
  clientId: string;
  name: string;
  grantTypes: readonly string[];
  organizationUsage: string | undefined;
}

const FIELDS = 'client_id,name,client_metadata,grant_types,organization_usage';

/**
 * The one application that all tenants share: the one named, else the one with Terraform's mark. Its secret stays at Auth0.
 * @throws {PosternError} not_found; conflict where several carry the mark
 */
export async function findSharedApplication(management: ManagementClient, clientId?: string): Promise<SharedApplication> {
  const marked: SharedApplication[] = [];
  try {
    if (clientId !== undefined) {
      const {
        client_id: id,
        name,
        grant_types: grants,
        organization_usage: usage,
      } = await management.clients.get(clientId, { fields: FIELDS, include_fields: true });
      return { clientId: id ?? clientId, name: name ?? '', grantTypes: grants ?? [], organizationUsage: usage };
    }
    for await (const one of await management.clients.list({ fields: FIELDS, include_fields: true, per_page: 100, include_totals: true })) {
      if (one.client_metadata?.[MARK.key] !== MARK.value || one.client_id === undefined) continue;
      marked.push({
        clientId: one.client_id,
        name: one.name ?? '',
        grantTypes: one.grant_types ?? [],
        organizationUsage: one.organization_usage,
      });
    }
  } catch (error) {
    throw explainManagement(error, 'find the shared application', 'read:clients');
  }
  const [found] = marked;
  if (found === undefined) {
    throw new PosternError('not_found', `No Auth0 application carries Postern's mark (client_metadata ${MARK.key}=${MARK.value})`, {
      detail: 'Apply terraform/modules/auth0, or name the application with --client-id.',
    });
  }
  if (marked.length > 1) {
    throw new PosternError(
      'conflict',
      `${marked.length} Auth0 applications carry Postern's mark: ${marked.map(({ clientId: id }) => id).join(', ')}`,
      { detail: 'Name the right one with --client-id.' },
    );
  }
  return found;
}

/** The secret, to be written to Vault and used for nothing else. @throws {PosternError} access_denied without the scope read:client_keys */
export async function readClientSecret(management: ManagementClient, clientId: string): Promise<string> {
  const client = await management.clients
    .get(clientId, { fields: 'client_id,client_secret', include_fields: true })
    .catch((error: unknown) => {
      throw explainManagement(error, `read the secret of the application ${clientId}`, 'read:client_keys');
    });
  if (typeof client.client_secret === 'string' && client.client_secret !== '') return client.client_secret;
  throw new PosternError('access_denied', `Auth0 does not show the secret of the application ${clientId}`, {
    detail: 'The Management token needs the scope read:client_keys, and the application must authenticate by a client secret.',
  });
}
