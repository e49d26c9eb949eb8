import type { ManagementClient } from 'auth0';
import { PosternError } from '#broker/error.ts';
import type { Terminal } from '#cli/output.ts';

/** @returns undefined where the environment names no Auth0. @throws {PosternError} invalid_request */
export async function managementIfSet(env: Terminal['env']): Promise<ManagementClient | undefined> {
  const domain = env['AUTH0_DOMAIN'];
  // The second name is the one that Auth0's Terraform provider reads.
  const token = env['AUTH0_MGMT_TOKEN'] || env['AUTH0_API_TOKEN'];
  if (!domain || !token) return undefined;
  // Loaded only where it is used: Auth0's package is large.
  const { createManagement } = await import('#broker/auth0/management.ts');
  return createManagement({ domain, token });
}

/** @throws {PosternError} invalid_request */
export async function management(env: Terminal['env']): Promise<ManagementClient> {
  const client = await managementIfSet(env);
  if (client !== undefined) return client;
  throw new PosternError('invalid_request', 'AUTH0_DOMAIN and AUTH0_MGMT_TOKEN must be set in the environment', {
    detail: 'The token is one for the Management API: Auth0 dashboard > APIs > Auth0 Management API, or `auth0 api`.',
  });
}
