import { checkpointPage, offsetPage } from './management-endpoint.ts';
import type { Auth0Account } from './account.ts';
import type { Endpoint } from './management-endpoint.ts';

export function applicationEndpoints(account: Auth0Account): Endpoint[] {
  return [
    {
      pattern: /^GET clients$/,
      scope: 'read:clients',
      description: 'Get Clients',
      handle: ({ query }) => {
        const fields = query.get('fields')?.split(',');
        // Auth0 tells secrets to whoever has read:client_keys, which nobody has here.
        const all = account.clients.map(({ id, name, grantTypes, metadata, authentication }) => {
          const whole = {
            client_id: id,
            name: name ?? id,
            global: false,
            grant_types: grantTypes,
            token_endpoint_auth_method: authentication ?? 'client_secret_post',
            ...(metadata === undefined ? {} : { client_metadata: metadata }),
          };
          return Object.fromEntries(Object.entries(whole).filter(([field]) => fields?.includes(field) ?? true));
        });
        return { status: 200, json: offsetPage(all, query, 'clients') };
      },
    },
    {
      pattern: /^GET client-grants$/,
      scope: 'read:client_grants',
      description: 'Get Client Grants',
      handle: ({ query }) => {
        const all = account.grants
          .filter(({ clientId }) => (query.get('client_id') ?? clientId) === clientId)
          .map(({ clientId, audience, scopes, organizationUsage, allowAnyOrganization }, at) => ({
            id: `cgr_${at}`,
            client_id: clientId,
            audience,
            scope: scopes,
            organization_usage: organizationUsage ?? 'deny',
            allow_any_organization: allowAnyOrganization ?? false,
            subject_type: 'client',
          }));
        return { status: 200, json: checkpointPage('client_grants', all, query) };
      },
    },
  ];
}
