import { z } from 'zod';
import { addTrust } from '#broker/operator/trust/add.ts';
import { removeTrust } from '#broker/operator/trust/remove.ts';
import { listTrusts, showTrust } from '#broker/operator/trust/view.ts';
import { operation } from './operation.ts';
import type { Operation } from './operation.ts';
import { cursorOf, nextLink, pageOf, pageQuery } from './page.ts';
import { newTrust, tenantId, trustName, trustPage, trustView } from './schema.ts';
import { LINK } from './tenants.ts';

const tag = 'Trusts';
const none = z.strictObject({});
const ofTenant = z.strictObject({ tenant: tenantId });
const ofTrust = z.strictObject({ tenant: tenantId, trust: trustName });
const view = { name: 'Trust', schema: trustView };

export const trustOperations: readonly Operation[] = [
  operation({
    id: 'listTrusts',
    method: 'GET',
    path: '/v1/tenants/{tenant}/trusts',
    tag,
    summary: 'Lists which workloads of other issuers are this tenant, in the order of their names',
    need: { permission: 'read:tenants', changes: false },
    params: ofTenant,
    query: pageQuery,
    success: { status: 200, description: 'One page of them.', body: { name: 'TrustPage', schema: trustPage }, headers: LINK },
    refusals: ['not-found', 'unprocessable'],
    async handle({ caller, params, query, path }) {
      const page = pageOf(query);
      const left = (await listTrusts(caller.access, params.tenant)).filter(({ name }) => page.after === undefined || name > page.after);
      const trusts = left.slice(0, page.limit);
      const last = left.length > trusts.length ? trusts.at(-1) : undefined;
      const cursor = last === undefined ? null : cursorOf(last.name);
      return {
        status: 200,
        headers: cursor === null ? {} : { Link: nextLink(path, page.limit, cursor) },
        body: { trusts, next_cursor: cursor },
      };
    },
  }),
  operation({
    id: 'showTrust',
    method: 'GET',
    path: '/v1/tenants/{tenant}/trusts/{trust}',
    tag,
    summary: 'Shows what a token must be for one trust',
    need: { permission: 'read:tenants', changes: false },
    params: ofTrust,
    query: none,
    success: { status: 200, description: 'As Vault has it.', body: view },
    refusals: ['not-found', 'unprocessable'],
    handle: async ({ caller, params }) => ({ status: 200, headers: {}, body: await showTrust(caller.access, params.tenant, params.trust) }),
  }),
  operation({
    id: 'setTrust',
    method: 'PUT',
    path: '/v1/tenants/{tenant}/trusts/{trust}',
    tag,
    summary: 'Writes a trust, in the place of one of that name if there is one',
    description:
      'On every broker within 2 s; repeating it changes nothing. Access tokens issued before live on. A conflict where the trust is ' +
      "Terraform's, or the issuer is none that Terraform named for this tenant.",
    need: { permission: 'manage:trusts', changes: true },
    params: ofTrust,
    query: none,
    body: { name: 'NewTrust', schema: newTrust },
    success: { status: 200, description: 'It holds.', body: view },
    refusals: ['not-found', 'conflict', 'unprocessable'],
    async handle({ caller, params, body }) {
      const { issuer, audience, subject, subject_pattern: subjectPattern, claims, scopes, cidrs } = body;
      const { epoch: _epoch, ...written } = await addTrust(caller.access, {
        tenant: params.tenant,
        name: params.trust,
        issuer,
        audience,
        subject,
        subjectPattern,
        claims,
        scopes: scopes ?? undefined,
        cidrs,
        replace: true,
      });
      return { status: 200, headers: {}, body: written };
    },
  }),
  operation({
    id: 'removeTrust',
    method: 'DELETE',
    path: '/v1/tenants/{tenant}/trusts/{trust}',
    tag,
    summary: 'Ends a trust on every broker within 2 s',
    description: 'Access tokens that were issued for it before live on. One that is managed by Terraform comes back with the next apply.',
    need: { permission: 'manage:trusts', changes: true },
    params: ofTrust,
    query: none,
    success: { status: 204, description: 'Nothing is trusted by it.' },
    refusals: ['not-found', 'conflict', 'unprocessable'],
    async handle({ caller, params }) {
      await removeTrust(caller.access, params.tenant, params.trust);
      return { status: 204, headers: {}, body: undefined };
    },
  }),
];
