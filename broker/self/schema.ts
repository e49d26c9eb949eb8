import { z } from 'zod';
import { ENVIRONMENT } from '#broker/credential/api-key.ts';
import { cidrs, keyFields, limits, nextCursor, oneLine, rotation, scope } from '#broker/admin/schema.ts';
import { pageQuery } from '#broker/admin/page.ts';
import type { IssuedKey } from '#broker/operator/key/issue.ts';
import type { KeyView } from '#broker/operator/key/list.ts';
import type { RotatedKey } from '#broker/operator/key/rotate.ts';

/* The forms of what people send and get. Where their keys lie in Vault is no business of theirs: no tenant, no accessor. */

export { rotation };

export const listQuery = z.strictObject({
  ...pageQuery.shape,
  of: z
    .enum(['me', 'organization'])
    .default('me')
    .meta({ description: 'Whose keys: your own, or, for an administrator, those of everybody in your organization.' }),
});

export const newKey = z.strictObject({
  name: oneLine.meta({ description: 'For people: what it is for.' }),
  scopes: z
    .array(scope)
    .min(1)
    .max(100)
    .optional()
    .meta({ description: 'What it may do: some of what you may, as GET /self/v1/me tells. Without it all of that.' }),
  ttl: z.int().min(60).max(31_536_000).optional().meta({ description: "Seconds until it ends. Without it your organization's longest." }),
  cidrs: cidrs.optional().meta({ description: 'Where it may be used from. Without it anywhere that your organization may.' }),
  limits: limits.optional().meta({ description: 'How often it may be used. Without it as often as your organization may ask.' }),
  environment: z
    .string()
    .regex(ENVIRONMENT, 'is 1 to 16 characters of a-z and 0-9')
    .default('live')
    .meta({ description: "A part of the key's text, for people and secret scanners." }),
});

export const newName = z.strictObject({ name: oneLine });

const { tenant: _tenant, ...fields } = keyFields;

export const ownKey = z.strictObject({
  ...fields,
  environment: z.string().nullable(),
  issued_at: z.iso.datetime().nullable(),
  last_used_at: z.iso.datetime().nullable().meta({ description: 'To the minute, and known some minutes late.' }),
  state: z.enum(['active', 'ending', 'ended', 'unconfirmed']),
  replaces: z.string().nullable(),
  replaced_by: z.string().nullable(),
});
export const ownKeyPage = z.strictObject({ keys: z.array(ownKey), next_cursor: nextCursor });

export const ownIssuedKey = z.strictObject({
  ...fields,
  key: z.string().meta({ description: 'The key itself: told here only.' }),
  environment: z.string(),
  warnings: z.array(z.string()),
});
export const ownRotatedKey = z.strictObject({
  ...ownIssuedKey.shape,
  replaces: z.string(),
  replaces_until: z.iso.datetime().meta({ description: 'When the old key ends; until then both are good.' }),
});

export const me = z.strictObject({
  user: z.string(),
  organization: z.string(),
  administrator: z.boolean().meta({ description: 'Whether you see and revoke the keys of everybody in your organization.' }),
  scopes: z.array(z.string()).meta({ description: 'What your keys may do.' }),
  max_ttl: z.int().meta({ description: 'Longest life of a key, seconds.' }),
  keys_per_user: z.int(),
});

export function ownKeyOf({ tenant: _t, accessor: _a, organization: _o, ...key }: KeyView): z.output<typeof ownKey> {
  return key;
}

export function issuedOf({
  key,
  key_id,
  name,
  owner,
  scopes,
  limits: howOften,
  cidrs: blocks,
  issued_by,
  expires_at,
  environment,
  warnings,
}: IssuedKey): z.output<typeof ownIssuedKey> {
  return { key_id, name, owner, scopes, limits: howOften, cidrs: blocks, issued_by, expires_at, key, environment, warnings };
}

export function rotatedOf(rotated: RotatedKey): z.output<typeof ownRotatedKey> {
  return { ...issuedOf(rotated), replaces: rotated.replaces, replaces_until: rotated.replaces_until };
}
