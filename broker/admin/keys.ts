import { z } from 'zod';
import { PosternError } from '#broker/error.ts';
import { issueKey } from '#broker/operator/key/issue.ts';
import type { IssuedKey } from '#broker/operator/key/issue.ts';
import { revokeKeys, revokeStrays } from '#broker/operator/key/revoke.ts';
import { endReplaced, rotateKey } from '#broker/operator/key/rotate.ts';
import type { RotatedKey } from '#broker/operator/key/rotate.ts';
import { listKeys, pickKey } from '#broker/operator/key/list.ts';
import type { KeyView } from '#broker/operator/key/list.ts';
import type { RepeatableAnswer } from './idempotency.ts';
import { operation } from './operation.ts';
import type { Operation } from './operation.ts';
import { cursorOf, nextLink, pageOf } from './page.ts';
import { issuedKey, keyId, keyPage, keyQuery, keyView, newKey, rotatedKey, rotation, tenantId } from './schema.ts';
import { LINK, LOCATION } from './tenants.ts';

const tag = 'Keys';
const none = z.strictObject({});
const ofTenant = z.strictObject({ tenant: tenantId });
const ofKey = z.strictObject({ tenant: tenantId, key_id: keyId });

export const keyOperations: readonly Operation[] = [
  operation({
    id: 'listKeys',
    method: 'GET',
    path: '/v1/tenants/{tenant}/keys',
    tag,
    summary: "Lists a tenant's API keys, oldest first",
    need: { permission: 'read:keys', changes: false },
    params: ofTenant,
    query: keyQuery,
    success: { status: 200, description: 'One page of them.', body: { name: 'KeyPage', schema: keyPage }, headers: LINK },
    refusals: ['not-found', 'unprocessable'],
    async handle({ caller, params, query, path }) {
      const page = pageOf(query);
      const keys = (await listKeys(caller.access, params.tenant))
        .filter(({ owner }) => query.owner === undefined || owner === query.owner)
        .sort((a, b) => (positionOf(a) < positionOf(b) ? -1 : 1));
      const left = keys.filter((key) => page.after === undefined || positionOf(key) > page.after);
      const wanted = left.slice(0, page.limit);
      const last = left.length > wanted.length ? wanted.at(-1) : undefined;
      const cursor = last === undefined ? null : cursorOf(positionOf(last));
      return {
        status: 200,
        headers:
          cursor === null ? {} : { Link: nextLink(path, page.limit, cursor, query.owner === undefined ? {} : { owner: query.owner }) },
        body: { keys: wanted, next_cursor: cursor },
      };
    },
  }),
  operation({
    id: 'issueKey',
    method: 'POST',
    path: '/v1/tenants/{tenant}/keys',
    tag,
    summary: 'Issues one more API key; the others go on',
    description:
      'The answer holds the key, which is told nowhere else. Send an Idempotency-Key, such as a random ' +
      'UUID, so that the request can be repeated when its answer was lost.',
    need: { permission: 'manage:keys', changes: true },
    params: ofTenant,
    query: none,
    body: { name: 'NewKey', schema: newKey },
    repeatable: true,
    success: { status: 201, description: 'It is issued.', body: { name: 'IssuedKey', schema: issuedKey }, headers: LOCATION },
    refusals: ['not-found', 'conflict', 'unprocessable'],
    async handle({ caller, params, body, marker }) {
      const { name, ttl, cidrs, scopes, limits, owner, environment } = body;
      const issued = await issueKey(caller.access, {
        tenant: params.tenant,
        environment,
        ...(marker === undefined ? {} : { request: marker }),
        ...(name === undefined ? {} : { name }),
        ...(ttl === undefined ? {} : { ttl }),
        ...(cidrs === undefined ? {} : { cidrs }),
        ...(scopes === undefined ? {} : { scopes }),
        ...(limits === undefined ? {} : { limits }),
        ...(owner === undefined ? {} : { owner }),
      });
      return answerOf(issued);
    },
    // An attempt that broke off may have issued a key that nobody knows.
    async recover({ caller, params, marker }) {
      if (marker !== undefined) await revokeStrays(caller.access, params.tenant, marker);
      return undefined;
    },
    async undo({ caller, params }, { body }) {
      const { accessor } = body as IssuedKey;
      if (accessor !== null) await revokeKeys(caller.access, { tenant: params.tenant, keys: [accessor] });
    },
  }),
  operation({
    id: 'showKey',
    method: 'GET',
    path: '/v1/tenants/{tenant}/keys/{key_id}',
    tag,
    summary: 'Shows an API key, never its secret',
    need: { permission: 'read:keys', changes: false },
    params: ofKey,
    query: none,
    success: { status: 200, description: 'As Vault has it.', body: { name: 'Key', schema: keyView } },
    refusals: ['not-found', 'unprocessable'],
    handle: async ({ caller, params }) => ({
      status: 200,
      headers: {},
      body: pickKey(await listKeys(caller.access, params.tenant), params.tenant, params.key_id),
    }),
  }),
  operation({
    id: 'revokeKey',
    method: 'DELETE',
    path: '/v1/tenants/{tenant}/keys/{key_id}',
    tag,
    summary: 'Ends an API key on every broker within 2 s',
    description:
      'Access tokens that were issued for it before live on. A second time the key is not there any more, and its end is announced again.',
    need: { permission: 'manage:keys', changes: true },
    params: ofKey,
    query: none,
    success: { status: 204, description: 'It is destroyed.' },
    refusals: ['not-found', 'conflict', 'unprocessable'],
    async handle({ caller, params }) {
      const { revoked } = await revokeKeys(caller.access, { tenant: params.tenant, keys: [params.key_id] });
      if (revoked.length === 0) throw new PosternError('not_found', `${params.tenant} has no API key ${params.key_id}`);
      return { status: 204, headers: {}, body: undefined };
    },
  }),
  operation({
    id: 'rotateKey',
    method: 'POST',
    path: '/v1/tenants/{tenant}/keys/{key_id}/rotate',
    tag,
    summary: 'Issues a key in place of another, which ends after an overlap',
    description:
      'The new key has the name, scopes, limits (or those sent), blocks and life of the old one. A conflict where the old key is ' +
      'replaced already or has ended. Send an Idempotency-Key: without it an answer that was lost takes the new key with it.',
    need: { permission: 'manage:keys', changes: true },
    params: ofKey,
    query: none,
    body: { name: 'Rotation', schema: rotation },
    repeatable: true,
    success: { status: 201, description: 'The new key.', body: { name: 'RotatedKey', schema: rotatedKey }, headers: LOCATION },
    refusals: ['not-found', 'conflict', 'unprocessable'],
    async handle({ caller, params, body, keep }) {
      let issued: RotatedKey | undefined;
      const { warnings } = await rotateKey(caller.access, {
        tenant: params.tenant,
        key: params.key_id,
        overlap: body.overlap,
        ...(body.limits === undefined ? {} : { limits: body.limits }),
        deliver: async (one) => {
          issued = one;
          await keep(answerOf(one));
        },
      });
      if (issued === undefined) throw new PosternError('temporarily_unavailable', 'The rotation ended without a new key');
      return answerOf({ ...issued, warnings: [...issued.warnings, ...warnings] });
    },
    // Where the new key is more than an attempt the old one's end is all that is left; else the domain destroys what was left.
    async recover({ caller, params, body }, draft) {
      if (draft === undefined) return undefined;
      const issued = draft.body as RotatedKey;
      const keys = await listKeys(caller.access, params.tenant);
      const old = keys.find((key) => key.key_id === params.key_id);
      const done =
        keys.some((key) => key.key_id === issued.key_id && key.state === 'active') &&
        (old === undefined || old.replaced_by === issued.key_id);
      if (!done) return undefined;
      const { warnings } = await endReplaced(caller.access, params.tenant, {
        keyId: params.key_id,
        accessor: old?.accessor,
        overlap: body.overlap,
      });
      return { ...draft, body: { ...issued, warnings: [...issued.warnings, ...warnings] } };
    },
  }),
];

/** Later keys come later; keys of one second by their ids. */
function positionOf({ issued_at, key_id }: KeyView): string {
  return `${issued_at ?? ''} ${key_id}`;
}

function answerOf(issued: IssuedKey): RepeatableAnswer {
  return { status: 201, headers: { Location: `/v1/tenants/${issued.tenant}/keys/${issued.key_id}` }, body: issued };
}
