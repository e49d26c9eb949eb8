import { z } from 'zod';
import { CLIENT_ID } from '#broker/credential/approle.ts';
import { NAME } from '#broker/credential/identity.ts';
import { BackendError } from '#broker/plugin/backend.ts';
import type { Apis } from '#broker/plugin/engine/apis.ts';
import type { Credentials } from '#broker/plugin/engine/credentials.ts';
import { duration, flag, jsonOf, map, objectOf, text } from '#broker/plugin/engine/field.ts';
import type { Values } from '#broker/plugin/engine/field.ts';
import { name, operation } from '#broker/plugin/engine/path.ts';
import type { Path } from '#broker/plugin/engine/path.ts';
import { Invalid } from '#broker/plugin/engine/records.ts';
import { roleDocument } from '#broker/plugin/engine/roles.ts';
import type { Role, Roles } from '#broker/plugin/engine/roles.ts';
import { listed } from './api.ts';

const { grants, claims } = roleDocument.shape;

const fields = {
  grants: z
    .preprocess(grantsFrom, grants)
    .describe(
      'Which APIs it may call with which scopes: {"orders": ["read:orders"]}, a list of {"api", "scopes"} as the broker keeps it, ' +
        'or orders="read:orders write:orders" (once for each API). Every API must exist, and offer the scopes.',
    )
    .optional(),
  default_api: text('Name of the API that is meant where a reader names no audience. Where there is one grant only, that is it.', {
    max: 63,
    pattern: [NAME, 'must be the name of an API'],
  }).optional(),
  client_id: text(
    'The AppRole role_id by which the tenant logs in. Where it is there, nobody else reads its tokens: not who had its name before ' +
      'it, and not an operator.',
    { max: 128, pattern: [CLIENT_ID, 'must be a role_id'] },
  ).optional(),
  organization: text('Auth0 organization id (org_…), which config binding=organization binds its tokens by.', { max: 128 }).optional(),
  claims: map(
    'More claims of its tokens, by namespaced name. Tokens from Auth0 carry only what an Action sets there: these are part of what ' +
      'the cache tells tokens apart by, and are kept for the broker.',
    claims,
  ).optional(),
  disabled: flag('Refuses it tokens, and drops those that are cached. Those already handed out live on.').optional(),
  min_remaining: duration(
    'Its tokens are handed out only with so much life left, or half their life where that is less. Default: that of config.',
    { max: 86_400 },
  ).optional(),
};

const tenant = name('The tenant: the AppRole role name, in Postern.');

export interface RoleOptions {
  readonly roles: Roles;
  readonly apis: Apis;
  readonly credentials: Credentials;
}

export function rolePaths({ roles, apis, credentials }: RoleOptions): readonly Path[] {
  /** @throws {ReadOnly}, {BackendError} 503 */
  const drop = async (called: string, done: string): Promise<void> => {
    try {
      await credentials.drop(called);
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      throw new BackendError(
        503,
        `roles/${called} is ${done}, and that holds from now on; but Vault's storage did not let its cached tokens be dropped: delete ` +
          `creds/${called} to have that, too`,
      );
    }
  };
  /**
   * What a write leaves of a role that isn't valid: it is not to make anybody else's of it, nor to enable it by the way.
   * @throws {BackendError} 400 for a part of a role
   */
  const bondsOf = async (called: string, { message }: Invalid, values: Values<typeof fields>): Promise<Partial<Role>> => {
    const bonds = await roles.lookAtBonds(called);
    const left = bonds instanceof Invalid ? undefined : bonds;
    if (values.disabled !== true && (values.grants === undefined || (!left?.client_id && values.client_id === undefined)))
      throw new BackendError(
        400,
        `${message}, so that no part of it can be changed: write it whole, with grants and client_id (in JSON null where it has none), or ` +
          'with disabled=true, or delete it',
      );
    return left ?? { disabled: true };
  };
  return [
    {
      pattern: 'roles',
      synopsis: 'The tenants that can have tokens.',
      description: 'Lists their names.',
      parameters: {},
      operations: { list: operation({ summary: 'Lists their names.', handle: async () => listed(await roles.names()) }) },
    },
    {
      pattern: 'roles/:tenant',
      synopsis: 'What one tenant may have.',
      description:
        "A tenant reads its tokens at creds/<tenant>; Vault's policy says who may read which tenant's. A later write changes what " +
        'it names, and holds from the next read of creds on. How long tokens live is set at the API in Auth0. Deleting or ' +
        'disabling a role, or giving it another client_id, drops its cached tokens, and a token that is just being fetched is ' +
        'neither stored nor handed out.',
      parameters: { tenant },
      exists: async ({ tenant: called = '' }) => (await roles.look(called)) !== undefined,
      operations: {
        read: operation({
          summary: 'Its grants and settings.',
          handle: async ({ names }) => {
            const role = await roles.stored(names.tenant ?? '');
            return (
              role && {
                data: {
                  ...role,
                  default_api: role.default_api ?? null,
                  client_id: role.client_id ?? null,
                  organization: role.organization ?? null,
                  min_remaining: role.min_remaining ?? null,
                },
              }
            );
          },
        }),
        write: operation({
          summary: 'Creates or changes it.',
          fields,
          handle: ({ names, values }) =>
            roles.alone(names.tenant ?? '', async () => {
              const called = names.tenant ?? '';
              const found = await roles.look(called);
              const before = found instanceof Invalid ? await bondsOf(called, found, values) : found;
              // null puts a field back to its default.
              const named = Object.entries(values).filter(([, value]) => value !== undefined);
              const role = roleDocument.parse({
                ...before,
                ...Object.fromEntries(named.map(([field, value]) => [field, value ?? undefined])),
              });
              // An API that has gone since must not keep anybody from disabling the role.
              if (values.grants !== undefined || values.default_api !== undefined) await checkApis(role, apis);
              await roles.write(called, role);
              // A token for whoever had the name before, or for a tenant that is disabled, is not left lying about.
              if (role.disabled || found instanceof Invalid || (before !== undefined && before.client_id !== role.client_id))
                await drop(called, 'stored as it was written');
              else credentials.forgetTenant(called);
              const warnings =
                Object.keys(role.claims).length > 0 ? ['claims are set in tokens from Auth0 only by an Action of your own there'] : [];
              if (found instanceof Invalid)
                warnings.push(
                  `${found.message}: all of it is replaced${role.client_id ? '' : ', and the role has no client_id now'}` +
                    (role.disabled && values.disabled !== true ? '; it stays disabled until disabled=false is written' : ''),
                );
              return warnings.length > 0 ? { warnings } : undefined;
            }),
        }),
        delete: operation({
          summary: 'Removes it and its cached tokens.',
          handle: ({ names }) =>
            roles.alone(names.tenant ?? '', async () => {
              const called = names.tenant ?? '';
              await roles.delete(called);
              await drop(called, 'deleted');
              return undefined;
            }),
        }),
      },
    },
  ];
}

/** @throws {BackendError} 400 for an API that does not exist, or a scope that it does not have */
async function checkApis(role: Role, apis: Apis): Promise<void> {
  const seen = new Set<string>();
  for (const { api, scopes } of role.grants) {
    if (seen.has(api)) throw new BackendError(400, `grants: the API ${api} is there twice`);
    seen.add(api);
    const found = await apis.look(api);
    if (found instanceof Invalid) throw new BackendError(400, `grants: what is stored at apis/${api} is not valid: write it again first`);
    if (found === undefined) throw new BackendError(400, `grants: there is no API ${api}: write apis/${api} first`);
    const unknown = scopes.filter((scope) => !found.scopes.includes(scope));
    if (unknown.length > 0) throw new BackendError(400, `grants: the API ${api} has no scope ${unknown.slice(0, 10).join(', ')}`);
  }
  if (role.default_api && !seen.has(role.default_api)) throw new BackendError(400, 'default_api must be one of the granted APIs');
}

/** From any of the three forms to that of the document. */
function grantsFrom(value: unknown, context: z.RefinementCtx): unknown {
  const given = jsonOf(value, context);
  if (Array.isArray(given) && given.every((one) => typeof one === 'object')) return given;
  const byApi = objectOf(given);
  if (byApi === undefined) {
    context.addIssue('must be {"api": ["scope"]}, a list of {"api", "scopes"}, or api="scope scope"');
    return given;
  }
  return Object.entries(byApi).map(([api, scopes]) => ({
    api,
    scopes: typeof scopes === 'string' ? scopes.split(/[\s,]+/).filter((scope) => scope !== '') : scopes,
  }));
}
