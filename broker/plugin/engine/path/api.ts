import { MANAGEMENT_AUDIENCE, SCOPE_TOKEN } from '#broker/authorization/documents.ts';
import { isManagementAudience } from '#broker/authorization/management-audience.ts';
import { BackendError } from '#broker/plugin/backend.ts';
import type { Apis } from '#broker/plugin/engine/apis.ts';
import { choice, list, text } from '#broker/plugin/engine/field.ts';
import { name, operation } from '#broker/plugin/engine/path.ts';
import type { Path } from '#broker/plugin/engine/path.ts';
import { Invalid } from '#broker/plugin/engine/records.ts';

const api = name('The name that roles know the API by.');

/** @param source the only one that an API can name here */
export function apiPaths(apis: Apis, source: string): readonly Path[] {
  const fields = {
    audience: text('Its identifier at Auth0, exactly: the aud of its tokens.'),
    scopes: list('The scopes that tenants may be granted, e.g. read:orders,write:orders. Default: none.', {
      item: [SCOPE_TOKEN, 'must be an OAuth scope'],
    }).optional(),
    source: choice('Where its tokens come from.', [source]).optional(),
  };
  return [
    {
      pattern: 'apis',
      synopsis: 'The APIs that roles can grant.',
      description: 'Lists their names.',
      parameters: {},
      operations: { list: operation({ summary: 'Lists their names.', handle: async () => listed(await apis.names()) }) },
    },
    {
      pattern: 'apis/:api',
      synopsis: 'An API at Auth0, under a short name.',
      description:
        'An API (resource server) that exists at Auth0 and that the shared application has a client grant for. The scopes here are ' +
        'what roles may grant; the client grant must have them too. A later write changes what it names. Deleting an API leaves ' +
        'roles that grant it as they are: the grant opens nothing until an API of that name is there again.',
      parameters: { api },
      exists: async ({ api: called = '' }) => (await apis.look(called)) !== undefined,
      operations: {
        read: operation({
          summary: 'Its audience and scopes.',
          handle: async ({ names }) => {
            const found = await apis.look(names.api ?? '');
            if (found instanceof Invalid) throw found;
            return found && { data: { audience: found.audience, scopes: found.scopes, source: found.source } };
          },
        }),
        write: operation({
          summary: 'Creates or changes it.',
          fields,
          handle: ({ names, values }) =>
            apis.alone(async () => {
              const called = names.api ?? '';
              const found = await apis.look(called);
              if (found instanceof Invalid && (typeof values.audience !== 'string' || values.scopes === undefined))
                throw new BackendError(
                  400,
                  `${found.message}, so that no part of it can be changed: write it whole, with audience and scopes`,
                );
              const before = found instanceof Invalid ? undefined : found;
              const audience = values.audience ?? before?.audience;
              if (audience === undefined) throw new BackendError(400, 'audience is required');
              if (isManagementAudience(audience)) throw new BackendError(400, `audience ${MANAGEMENT_AUDIENCE}`);
              const other = await apis.nameOf(audience);
              if (other !== undefined && other !== called)
                throw new BackendError(400, `audience is already that of the API ${other}: one audience has one name`);
              const scopes = values.scopes === null ? [] : (values.scopes ?? before?.scopes ?? []);
              await apis.write({
                ...(before ?? { lifetime: 86_400, dialect: 'access_token' as const }),
                name: called,
                audience,
                source,
                scopes: [...scopes],
              });
              return undefined;
            }),
        }),
        delete: operation({
          summary: 'Removes it.',
          handle: ({ names }) =>
            apis.alone(async () => {
              await apis.delete(names.api ?? '');
              return undefined;
            }),
        }),
      },
    },
  ];
}

/** As Vault lists: nothing at all is a 404. */
export function listed(names: readonly string[]): { readonly data: { readonly keys: readonly string[] } } | undefined {
  return names.length === 0 ? undefined : { data: { keys: names } };
}
