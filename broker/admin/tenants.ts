import { z } from 'zod';
import { createTenant } from '#broker/operator/tenant/create.ts';
import { disableTenant, enableTenant } from '#broker/operator/tenant/disable.ts';
import { pageTenants } from '#broker/operator/tenant/list.ts';
import { showTenant } from '#broker/operator/tenant/view.ts';
import { requirePermission } from './caller.ts';
import { operation } from './operation.ts';
import type { Operation } from './operation.ts';
import { cursorOf, nextLink, pageOf, pageQuery } from './page.ts';
import { limits, newTenant, quotaPart, tenantId, tenantPage, tenantView } from './schema.ts';

const tag = 'Tenants';
const none = z.strictObject({});
const ofTenant = z.strictObject({ tenant: tenantId });
/** A part of an id is no id: a pattern of its own. */
const tenantQuery = pageQuery.extend({
  search: z
    .string()
    .regex(/^[a-z0-9_-]{1,128}$/, "is not a part of a tenant's id")
    .optional()
    .meta({ description: 'Only tenants whose id contains it.' }),
});
const view = { name: 'Tenant', schema: tenantView };

export const LINK = {
  Link: { description: 'The next page, `rel="next"` (RFC 8288); absent on the last one.', schema: { type: 'string' }, required: false },
};
export const LOCATION = {
  Location: { description: 'Where it is now.', schema: { type: 'string', format: 'uri-reference' }, required: true },
};

export const tenantOperations: readonly Operation[] = [
  operation({
    id: 'listTenants',
    method: 'GET',
    path: '/v1/tenants',
    tag,
    summary: 'Lists tenants, in the order of their ids',
    need: { permission: 'read:tenants', changes: false },
    params: none,
    query: tenantQuery,
    success: { status: 200, description: 'One page of them.', body: { name: 'TenantPage', schema: tenantPage }, headers: LINK },
    refusals: [],
    async handle({ caller, query, path }) {
      const { search } = query;
      const page = { ...pageOf(query), search };
      const { tenants, next } = await pageTenants(caller.access, page);
      const cursor = next === undefined ? null : cursorOf(next);
      return {
        status: 200,
        headers: cursor === null ? {} : { Link: nextLink(path, page.limit, cursor, search === undefined ? {} : { search }) },
        body: { tenants, next_cursor: cursor },
      };
    },
  }),
  operation({
    id: 'createTenant',
    method: 'POST',
    path: '/v1/tenants',
    tag,
    summary: 'Makes a tenant',
    description:
      'Its id makes the request repeatable: a second time it is a conflict, and so is the name of a tenant ' +
      'that was deleted lately. A tenant of which only a part was made is completed. With anything in ' +
      '`grants` or `introspects` it needs `manage:grants` too.',
    need: { permission: 'manage:tenants', changes: true },
    params: none,
    query: none,
    body: { name: 'NewTenant', schema: newTenant },
    success: { status: 201, description: 'It is made.', body: view, headers: LOCATION },
    refusals: ['conflict', 'unprocessable'],
    async handle({ caller, body }) {
      const { tenant, grants, introspects, force } = body;
      // Else who may only make tenants could make one that may have everything.
      if (grants.length > 0 || introspects.length > 0) requirePermission(caller, 'manage:grants');
      const specification = {
        grants,
        defaultApi: body.default_api,
        introspects,
        organization: body.organization,
        claims: body.claims,
        tokenTtl: body.token_ttl,
        secretIdTtl: body.secret_id_ttl,
        secretIdNumUses: body.secret_id_num_uses,
        cidrs: body.cidrs,
        limits: body.limits,
        quota: body.quota,
      };
      const made = await createTenant(caller.access, tenant, specification, { force });
      return { status: 201, headers: { Location: `/v1/tenants/${tenant}` }, body: made };
    },
  }),
  operation({
    id: 'showTenant',
    method: 'GET',
    path: '/v1/tenants/{tenant}',
    tag,
    summary: 'Shows a tenant',
    need: { permission: 'read:tenants', changes: false },
    params: ofTenant,
    query: none,
    success: { status: 200, description: 'As Vault has it.', body: view },
    refusals: ['not-found', 'unprocessable'],
    handle: async ({ caller, params }) => ({ status: 200, headers: {}, body: await showTenant(caller.access, params.tenant) }),
  }),
  operation({
    id: 'setLimits',
    method: 'PUT',
    path: '/v1/tenants/{tenant}/limits',
    tag,
    summary: 'Sets how often a tenant may ask for a token',
    description:
      'What is not named is not limited, so that `{}` ends all limits. It holds on every broker within 2 s, for all credentials of the ' +
      'tenant together; what was used of a window stays used.',
    need: { permission: 'manage:tenants', changes: true },
    params: ofTenant,
    query: none,
    body: { name: 'Limits', schema: limits },
    success: { status: 200, description: 'They hold.', body: view },
    refusals: ['not-found', 'conflict', 'unprocessable'],
    async handle({ caller, params, body }) {
      await showTenant(caller.access, params.tenant);
      return { status: 200, headers: {}, body: await createTenant(caller.access, params.tenant, { limits: body }, { update: true }) };
    },
  }),
  operation({
    id: 'setTenantQuota',
    method: 'PUT',
    path: '/v1/tenants/{tenant}/quota',
    tag,
    summary: "Sets a tenant's part of the tokens that Auth0 counts",
    description:
      'By `monthly` or by `share`; `{}` ends it. It holds on every broker within 2 s; what was fetched this month stays fetched, and cached ' +
      'tokens are served on.',
    need: { permission: 'manage:tenants', changes: true },
    params: ofTenant,
    query: none,
    body: { name: 'QuotaPart', schema: quotaPart },
    success: { status: 200, description: 'It holds.', body: view },
    refusals: ['not-found', 'conflict', 'unprocessable'],
    async handle({ caller, params, body }) {
      await showTenant(caller.access, params.tenant);
      return { status: 200, headers: {}, body: await createTenant(caller.access, params.tenant, { quota: body }, { update: true }) };
    },
  }),
  operation({
    id: 'disableTenant',
    method: 'POST',
    path: '/v1/tenants/{tenant}/disable',
    tag,
    summary: 'Stops a tenant on every broker within 2 s',
    description: 'Its credentials and grants stay. Repeating it changes nothing.',
    need: { permission: 'manage:tenants', changes: true },
    params: ofTenant,
    query: none,
    success: { status: 200, description: 'It is disabled.', body: view },
    refusals: ['not-found', 'conflict', 'unprocessable'],
    handle: async ({ caller, params }) => ({ status: 200, headers: {}, body: await disableTenant(caller.access, params.tenant) }),
  }),
  operation({
    id: 'enableTenant',
    method: 'POST',
    path: '/v1/tenants/{tenant}/enable',
    tag,
    summary: 'Lets a disabled tenant go on',
    description: 'A conflict where its document, which may be managed by Terraform, disables it too.',
    need: { permission: 'manage:tenants', changes: true },
    params: ofTenant,
    query: none,
    success: { status: 200, description: 'It is not disabled any more.', body: view },
    refusals: ['not-found', 'conflict', 'unprocessable'],
    handle: async ({ caller, params }) => ({ status: 200, headers: {}, body: await enableTenant(caller.access, params.tenant) }),
  }),
];
