import type { ManagementClient } from 'auth0';
import { createManagement } from '#broker/auth0/management.ts';
import { PosternError } from '#broker/error.ts';
import type { Terminal } from '#cli/output.ts';

/** @returns undefined where the environment names no Auth0. @throws {PosternError} invalid_request */
export function managementIfSet(env: Terminal['env']): ManagementClient | undefined {
  const domain = env['AUTH0_DOMAIN'];
  // The second name is the one that Auth0's Terraform provider reads.
  const token = env['AUTH0_MGMT_TOKEN'] || env['AUTH0_API_TOKEN'];
  return domain && token ? createManagement({ domain, token }) : undefined;
}

/** @throws {PosternError} invalid_request */
export function management(env: Terminal['env']): ManagementClient {
  const client = managementIfSet(env);
  if (client !== undefined) return client;
  throw new PosternError('invalid_request', 'AUTH0_DOMAIN and AUTH0_MGMT_TOKEN must be set in the environment', {
    detail: 'The token is one for the Management API: Auth0 dashboard > APIs > Auth0 Management API, or `auth0 api`.',
  });
}
