import { timingSafeEqual } from 'node:crypto';
import { Refusal, accessDenied, invalidRequest, unauthorized } from './refusal.ts';
import type { Auth0Account, Auth0Api, Auth0Client, Auth0ClientGrant, Auth0Organization } from './account.ts';
import type { TokenRequest } from './request.ts';

/** A client_credentials exchange that Auth0 allows, before the Action has had its say. */
export interface Exchange {
  client: Auth0Client;
  api: Auth0Api;
  scopes: string[];
  organization: Auth0Organization | undefined;
}

/**
 * The client behind the credentials, if it may use this grant type.
 * @throws Refusal 401 for an unknown client and a wrong secret alike; 403 for a grant type not enabled
 */
export function authenticate(account: Auth0Account, request: TokenRequest): Auth0Client {
  const client = account.clients.find(({ id }) => id === request.clientId);
  const isPublic = client?.secrets.length === 0 && request.grantType === 'authorization_code';
  if (!client || !(isPublic || client.secrets.some((secret) => same(secret, request.clientSecret)))) throw unauthorized();
  if (!(client.grantTypes as string[]).includes(request.grantType)) {
    if (!['client_credentials', 'authorization_code'].includes(request.grantType)) {
      throw new Refusal(403, 'unsupported_grant_type', `Unsupported grant type: ${request.grantType}`);
    }
    throw new Refusal(
      403,
      'unauthorized_client',
      `Grant type '${request.grantType}' not allowed for the client.`,
      'https://auth0.com/docs/clients/client-grant-types',
    );
  }
  return client;
}

/**
 * Audience, client grant, scopes and organization of an authenticated client's exchange.
 * @throws Refusal with Auth0's status and wording
 */
export function authorizeExchange(account: Auth0Account, client: Auth0Client, request: TokenRequest): Exchange {
  const { audience, scope, organization } = request.parameters;
  if (!audience) throw accessDenied('No audience parameter was provided, and no default audience has been configured');
  const api = account.apis.find((candidate) => candidate.audience === audience);
  if (!api) throw accessDenied(`Service not enabled within domain: ${audience}`);
  const grant = account.grants.find((candidate) => candidate.clientId === client.id && candidate.audience === audience);
  if (!grant) {
    throw accessDenied(
      `Client "${client.id}" is not authorized to access resource server "${audience}". You need to create ` +
        'a "client-grant" associated to this API.',
    );
  }
  return {
    client,
    api,
    scopes: grantedScopes(api, grant, scope),
    organization: chosenOrganization(account, client, grant, organization),
  };
}

/** No scope asked for: all that are granted. */
function grantedScopes(api: Auth0Api, grant: Auth0ClientGrant, scope: string | undefined): string[] {
  const granted = grant.scopes.filter((name) => api.scopes.includes(name));
  if (!scope) return granted;
  const wanted = [...new Set(scope.split(/\s+/).filter(Boolean))];
  const missing = wanted.filter((name) => !granted.includes(name));
  if (missing.length > 0) throw accessDenied(`Client has not been granted scopes: ${missing.join(', ')}`);
  return wanted;
}

/** Named by id or by name, as Auth0 takes both. */
function chosenOrganization(
  account: Auth0Account,
  client: Auth0Client,
  grant: Auth0ClientGrant,
  wanted: string | undefined,
): Auth0Organization | undefined {
  const usage = grant.organizationUsage ?? 'deny';
  if (wanted === undefined) {
    if (usage === 'require') throw invalidRequest('parameter organization is required for this client');
    return undefined;
  }
  if (usage === 'deny') throw invalidRequest('parameter organization is not allowed for this client');
  const organization = account.organizations.find(({ id, name }) => id === wanted || name === wanted);
  if (!organization) throw invalidRequest('parameter organization is invalid');
  if (!grant.allowAnyOrganization && !organization.clients?.includes(client.id)) {
    throw accessDenied(`Client "${client.id}" is not authorized to access organization "${organization.id}"`);
  }
  return organization;
}

function same(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
