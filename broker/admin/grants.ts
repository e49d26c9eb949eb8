import { z } from 'zod';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readApis } from '#broker/operator/apis.ts';
import { createTenant } from '#broker/operator/tenant/create.ts';
import { showTenant } from '#broker/operator/tenant/view.ts';
import type { TenantView } from '#broker/operator/tenant/view.ts';
import { operation } from './operation.ts';
import type { Operation } from './operation.ts';
import { cursorOf, nextLink, pageOf, pageQuery } from './page.ts';
import { apiPage, grants, grantsView, tenantId } from './schema.ts';
import { LINK } from './tenants.ts';

const tag = 'Grants';
const none = z.strictObject({});
const ofTenant = z.strictObject({ tenant: tenantId });
const view = { name: 'Grants', schema: grantsView };

export const grantOperations: readonly Operation[] = [
  operation({
    id: 'readGrants',
    method: 'GET',
    path: '/v1/tenants/{tenant}/grants',
    tag,
    summary: 'Tells what a tenant may have',
    need: { permission: 'read:tenants', changes: false },
    params: ofTenant,
    query: none,
    success: { status: 200, description: 'Its grants.', body: view },
    refusals: ['not-found', 'unprocessable'],
    handle: async ({ caller, params }) => ({ status: 200, headers: {}, body: viewOf(await showTenant(caller.access, params.tenant)) }),
  }),
  operation({
    id: 'setGrants',
    method: 'PUT',
    path: '/v1/tenants/{tenant}/grants',
    tag,
    summary: 'Sets all that a tenant may have',
    description:
      'What is not named is taken away, on every broker within 2 s. Access tokens that hold it are inactive at introspection; who ' +
      'verifies by the key set alone takes them to their end. All else of the tenant stays.',
    need: { permission: 'manage:grants', changes: true },
    params: ofTenant,
    query: none,
    body: { name: 'NewGrants', schema: grants },
    success: { status: 200, description: 'They hold.', body: view },
    refusals: ['not-found', 'conflict', 'unprocessable'],
    async handle({ caller, params, body }) {
      // A tenant that is there in part is completed by `createTenant`; one that is not there must not appear by its grants.
      await showTenant(caller.access, params.tenant);
      return {
        status: 200,
        headers: {},
        body: viewOf(
          await createTenant(
            caller.access,
            params.tenant,
            {
              grants: body.grants,
              defaultApi: body.default_api,
              introspects: body.introspects,
              ...(body.publish === undefined ? {} : { publish: body.publish }),
            },
            { update: true, replace: true },
          ),
        ),
      };
    },
  }),
  operation({
    id: 'listApis',
    method: 'GET',
    path: '/v1/apis',
    tag,
    summary: 'Lists the APIs that can be granted, in the order of their names',
    description: 'They are made by Terraform.',
    need: { permission: 'read:tenants', changes: false },
    params: none,
    query: pageQuery,
    success: { status: 200, description: 'One page of them.', body: { name: 'ApiPage', schema: apiPage }, headers: LINK },
    refusals: [],
    async handle({ caller, query, path }) {
      const page = pageOf(query);
      const left = (await apisOf(caller.access)).filter(({ api }) => page.after === undefined || api > page.after);
      const apis = left.slice(0, page.limit);
      const last = left.length > apis.length ? apis.at(-1) : undefined;
      const cursor = last === undefined ? null : cursorOf(last.api);
      return {
        status: 200,
        headers: cursor === null ? {} : { Link: nextLink(path, page.limit, cursor) },
        body: { apis, next_cursor: cursor },
      };
    },
  }),
];

function viewOf({ tenant, grants, default_api, introspects, publish }: TenantView): z.output<typeof grantsView> {
  return { tenant, grants, default_api, introspects, publish };
}

/** Those that are valid: no broker serves another. */
async function apisOf(access: VaultAccess): Promise<z.output<typeof apiPage>['apis']> {
  const apis = [...(await readApis(access)).values()].filter((api) => api !== undefined);
  return apis
    .map(({ name, audience, source, scopes, lifetime, dialect }) => ({ api: name, audience, source, scopes, lifetime, dialect }))
    .sort((a, b) => (a.api < b.api ? -1 : 1));
}
