import { z } from 'zod';
import { keyId } from '#broker/admin/schema.ts';
import { cursorOf, nextLink, pageOf } from '#broker/admin/page.ts';
import { Problem } from '#broker/admin/problem.ts';
import { LINK, LOCATION } from '#broker/admin/tenants.ts';
import { PosternError } from '#broker/error.ts';
import {
  issueOwned,
  limitsOf,
  listOwned,
  longestLifeOf,
  ownedKey,
  renameOwned,
  revokeOwned,
  rotateOwned,
  scopesOf,
} from '#broker/operator/key/owned.ts';
import type { KeyView } from '#broker/operator/key/list.ts';
import { revokeKeys, revokeStrays } from '#broker/operator/key/revoke.ts';
import { endReplaced } from '#broker/operator/key/rotate.ts';
import type { RotatedKey } from '#broker/operator/key/rotate.ts';
import { ADMINISTRATOR } from './caller.ts';
import { selfOperation } from './operation.ts';
import type { SelfOperation } from './operation.ts';
import {
  issuedOf,
  listQuery,
  me,
  newKey,
  newName,
  ownIssuedKey,
  ownKey,
  ownKeyOf,
  ownKeyPage,
  ownRotatedKey,
  rotatedOf,
  rotation,
} from './schema.ts';

const tag = 'Your keys';
const none = z.strictObject({});
const ofKey = z.strictObject({ key_id: keyId });
const KEYS = '/self/v1/keys';

export const selfOperations: readonly SelfOperation[] = [
  selfOperation({
    id: 'showMe',
    method: 'GET',
    path: '/self/v1/me',
    tag,
    summary: 'Tells who you are here, and what your keys may do',
    changes: false,
    params: none,
    query: none,
    success: { status: 200, description: 'As your access token and your organization say.', body: { name: 'Me', schema: me } },
    refusals: [],
    handle: async ({ person }) => {
      const { keys_per_user } = limitsOf(person.grants);
      const { id, organization, administrator } = person;
      return {
        status: 200,
        headers: {},
        body: { user: id, organization, administrator, scopes: scopesOf(person), max_ttl: await longestLifeOf(person), keys_per_user },
      };
    },
  }),
  selfOperation({
    id: 'listOwnKeys',
    method: 'GET',
    path: KEYS,
    tag,
    summary: 'Lists your keys, oldest first',
    changes: false,
    params: none,
    query: listQuery,
    success: { status: 200, description: 'One page of them.', body: { name: 'OwnKeyPage', schema: ownKeyPage }, headers: LINK },
    refusals: [],
    async handle({ person, query, path, lastUse }) {
      if (query.of === 'organization' && !person.administrator)
        throw new Problem('insufficient-scope', `The access token lacks the permission ${ADMINISTRATOR}`, { permission: ADMINISTRATOR });
      const page = pageOf(query);
      const keys = (await listOwned(person, query.of)).sort((a, b) => (positionOf(a) < positionOf(b) ? -1 : 1));
      const left = keys.filter((key) => page.after === undefined || positionOf(key) > page.after);
      const wanted = left.slice(0, page.limit);
      const last = left.length > wanted.length ? wanted.at(-1) : undefined;
      const cursor = last === undefined ? null : cursorOf(positionOf(last));
      const used = await lastUse(wanted.map(({ key_id }) => key_id));
      return {
        status: 200,
        headers: cursor === null ? {} : { Link: nextLink(path, page.limit, cursor, query.of === 'me' ? {} : { of: query.of }) },
        body: { keys: wanted.map((key) => ownKeyOf(usedAt(key, used))), next_cursor: cursor },
      };
    },
  }),
  selfOperation({
    id: 'issueOwnKey',
    method: 'POST',
    path: KEYS,
    tag,
    summary: 'Makes a key of yours; the others go on',
    description: 'The answer holds the key, which is told nowhere else. Send an Idempotency-Key, such as a random UUID.',
    changes: true,
    params: none,
    query: none,
    body: { name: 'NewOwnKey', schema: newKey },
    repeatable: true,
    success: { status: 201, description: 'It is made.', body: { name: 'OwnIssuedKey', schema: ownIssuedKey }, headers: LOCATION },
    refusals: ['conflict', 'unprocessable'],
    async handle({ person, body, marker }) {
      const issued = issuedOf(await issueOwned(person, { ...body, request: marker }));
      return { status: 201, headers: { Location: `${KEYS}/${issued.key_id}` }, body: issued };
    },
    // An attempt that broke off may have made a key that nobody knows.
    async recover({ person, marker }) {
      if (marker !== undefined) await revokeStrays(person.access, person.tenant, marker);
      return undefined;
    },
    async undo({ person }, { body }) {
      const { key_id } = body as z.output<typeof ownIssuedKey>;
      await revokeKeys(person.access, { tenant: person.tenant, keys: [key_id] });
    },
  }),
  selfOperation({
    id: 'showOwnKey',
    method: 'GET',
    path: `${KEYS}/{key_id}`,
    tag,
    summary: 'Shows a key, never its secret',
    changes: false,
    params: ofKey,
    query: none,
    success: { status: 200, description: 'As Vault has it.', body: { name: 'OwnKey', schema: ownKey } },
    refusals: ['not-found'],
    async handle({ person, params, lastUse }) {
      const key = await ownedKey(person, params.key_id, 'organization');
      return { status: 200, headers: {}, body: ownKeyOf(usedAt(key, await lastUse([key.key_id]))) };
    },
  }),
  selfOperation({
    id: 'renameOwnKey',
    method: 'PATCH',
    path: `${KEYS}/{key_id}`,
    tag,
    summary: 'Gives a key of yours another name',
    changes: true,
    params: ofKey,
    query: none,
    body: { name: 'NewName', schema: newName },
    success: { status: 200, description: 'It has it.', body: { name: 'OwnKey', schema: ownKey } },
    refusals: ['not-found', 'conflict'],
    handle: async ({ person, params, body }) => ({
      status: 200,
      headers: {},
      body: ownKeyOf(await renameOwned(person, params.key_id, body.name)),
    }),
  }),
  selfOperation({
    id: 'revokeOwnKey',
    method: 'DELETE',
    path: `${KEYS}/{key_id}`,
    tag,
    summary: 'Ends a key of yours on every broker within 2 s',
    description: "An administrator ends anybody's in the organization. Access tokens that were issued for it before live on.",
    changes: true,
    params: ofKey,
    query: none,
    success: { status: 204, description: 'It is destroyed.' },
    refusals: ['not-found', 'conflict'],
    async handle({ person, params }) {
      await revokeOwned(person, params.key_id);
      return { status: 204, headers: {}, body: undefined };
    },
  }),
  selfOperation({
    id: 'rotateOwnKey',
    method: 'POST',
    path: `${KEYS}/{key_id}/rotate`,
    tag,
    summary: 'Makes a key in place of another of yours, which ends after an overlap',
    description: 'The new key has the name, scopes, limits, blocks and life of the old one. Send an Idempotency-Key.',
    changes: true,
    params: ofKey,
    query: none,
    body: { name: 'Rotation', schema: rotation },
    repeatable: true,
    success: { status: 201, description: 'The new key.', body: { name: 'OwnRotatedKey', schema: ownRotatedKey }, headers: LOCATION },
    refusals: ['not-found', 'conflict', 'unprocessable'],
    async handle({ person, params, body, keep }) {
      let issued: RotatedKey | undefined;
      const answer = (one: RotatedKey) => ({ status: 201, headers: { Location: `${KEYS}/${one.key_id}` }, body: rotatedOf(one) });
      const { warnings } = await rotateOwned(person, params.key_id, {
        overlap: body.overlap,
        deliver: async (one) => {
          issued = one;
          await keep(answer(one));
        },
      });
      if (issued === undefined) throw new PosternError('temporarily_unavailable', 'The rotation ended without a new key');
      return answer({ ...issued, warnings: [...issued.warnings, ...warnings] });
    },
    // Where the new key is more than an attempt the old one's end is all that is left; else the domain destroys what was left.
    async recover({ person, params, body }, draft) {
      if (draft === undefined) return undefined;
      const issued = draft.body as z.output<typeof ownRotatedKey>;
      const keys = await listOwned(person, 'me');
      const old = keys.find((key) => key.key_id === params.key_id);
      const done =
        keys.some((key) => key.key_id === issued.key_id && key.state === 'active') &&
        (old === undefined || old.replaced_by === issued.key_id);
      if (!done) return undefined;
      const { warnings } = await endReplaced(person.access, person.tenant, {
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

function usedAt(key: KeyView, used: ReadonlyMap<string, string>): KeyView {
  return { ...key, last_used_at: used.get(key.key_id) ?? null };
}
