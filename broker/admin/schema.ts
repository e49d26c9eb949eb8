import { z } from 'zod';
import { SCOPE_TOKEN } from '#broker/authorization/documents.ts';
import { ENVIRONMENT } from '#broker/credential/api-key.ts';
import { MOST_REQUESTS } from '#broker/rate-limit/limits.ts';
import { NAME } from '#broker/credential/identity.ts';
import { OWNER } from '#broker/credential/owner.ts';
import type { IssuedKey } from '#broker/operator/key/issue.ts';
import { MAX_OVERLAP } from '#broker/operator/key/rotate.ts';
import type { RotatedKey } from '#broker/operator/key/rotate.ts';
import { KEY_ID } from '#broker/operator/key/list.ts';
import type { KeyView } from '#broker/operator/key/list.ts';
import { TOKEN_TTLS } from '#broker/operator/tenant/specification.ts';
import type { TenantView } from '#broker/operator/tenant/view.ts';
import type { TrustView } from '#broker/operator/trust/view.ts';
import { pageQuery } from './page.ts';
import { PROBLEMS, TYPE_BASE } from './problem.ts';

/*
 * The forms of what goes in and out. What JSON Schema can't say (is there such an API?) the domain checks. Patterns are written so that
 * every implementation of JSON Schema reads them alike: ASCII classes, no \p, no look-ahead. What goes out is compared with the domain's
 * own types (`satisfies`): a field that the domain gains does not compile until it is described here.
 */

const H16 = '[0-9a-fA-F]{1,4}';
const IPV4 = '((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const IPV6 = [
  `(${H16}:){7}${H16}`,
  `(${H16}:){1,7}:`,
  ...[1, 2, 3, 4, 5, 6].map((after) => `(${H16}:){1,${7 - after}}(:${H16}){1,${after}}`),
  `:(:${H16}){1,7}`,
  '::',
  // RFC 4291 §2.2: the last two groups as IPv4.
  `(${H16}:){6}${IPV4}`,
  `(${H16}:){1,5}:${IPV4}`,
  ...[1, 2, 3, 4].map((after) => `(${H16}:){1,${5 - after}}(:${H16}){1,${after}}:${IPV4}`),
  `:(:${H16}){0,5}:${IPV4}`,
].join('|');
/** Every spelling that the domain takes: it stores the canonical one. */
export const CIDR = new RegExp(`^(${IPV4}/(0{0,2}[0-9]|0?[12][0-9]|0?3[0-2])|(${IPV6})/(0{0,2}[0-9]|0?[1-9][0-9]|1[01][0-9]|12[0-8]))$`);

const CLAIM_NAME = /^https?:\/\/[\x21-\x7e]{1,500}$/;
/**
 * Anything on one line, and nothing that turns the direction of writing: a name must not make the list around it read otherwise.
 * Made of text, since a control character in a literal looks like a slip.
 */
const CONTROLS = '\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069';
const ONE_LINE = new RegExp(`^[^${CONTROLS}]{1,128}$`, 'u');

/** A half of a surrogate pair is not a character: Vault takes no JSON with one. No pattern says so in every language. */
const isUnicode = (text: string): boolean => text.isWellFormed();
const unicode = z.string().refine(isUnicode, 'is not Unicode text');

export const tenantId = z
  .string()
  .regex(NAME, 'is 1 to 63 characters of a-z, 0-9 and -, with a letter or digit at both ends')
  .meta({ description: 'Id of a tenant.', examples: ['acme'] });
export const apiName = z
  .string()
  .regex(NAME, 'is 1 to 63 characters of a-z, 0-9 and -, with a letter or digit at both ends')
  .meta({ description: 'Name of an API.', examples: ['orders'] });
export const scope = z.string().regex(SCOPE_TOKEN, 'is not an OAuth scope (RFC 6749 §3.3)');
export const scopes = z.array(scope).max(500);
export const cidrs = z.array(z.string().regex(CIDR, 'is not a block of addresses such as 203.0.113.0/24')).max(100);
export const oneLine = z
  .string()
  .regex(ONE_LINE, 'is 1 to 128 characters on one line, none of which turns the direction of writing')
  .refine(isUnicode, 'is not Unicode text');

const grant = z.strictObject({ api: apiName, scopes });
const claims = z.record(
  z.string().regex(CLAIM_NAME, 'is not a URI such as https://example.com/plan'),
  z.union([unicode, z.number(), z.boolean(), z.array(unicode)]),
);
const organization = z.string().regex(/^org_[A-Za-z0-9]{1,120}$/, 'is not an Auth0 organization id such as org_abc123');
/** 0, or from a minimum up: what 0 means is each field's own. */
const secondsOrZero = (min: number, max: number) => z.union([z.literal(0), z.int().min(min).max(max)]);
const keyLife = secondsOrZero(60, 31_536_000);

const quota = (description: string) => z.int().min(1).max(MOST_REQUESTS).nullish().meta({ description });
export const limits = z.strictObject({
  per_second: quota('Most requests in a second.'),
  per_minute: quota('Most requests in a minute.'),
  per_day: quota('Most requests in a day.'),
  burst: quota('So many more than `per_second` in each minute; not without it.'),
});
const monthly = z.int().min(0).max(1_000_000_000).meta({ description: 'New tokens in a month.' });
const share = z.number().gt(0).max(1).meta({ description: "This part of the application's budget (POSTERN_QUOTA_MONTHLY)." });
export const quotaPart = z
  .union([z.strictObject({ monthly, share: z.null().optional() }), z.strictObject({ share, monthly: z.null().optional() })])
  .meta({ description: 'Its part of the tokens that Auth0 counts: by `monthly` or by `share`. A further cold exchange is 429.' });
const quotaView = z
  .union([z.strictObject({ monthly: z.int() }), z.strictObject({ share: z.number() })])
  .nullable()
  .meta({ description: 'Its part of the tokens that Auth0 counts; null: none of its own.' });
const limitsView = limits.nullable().meta({ description: 'How often it may ask for a token; null: as often as it likes.' });

export const newTenant = z.strictObject({
  tenant: tenantId,
  grants: z
    .array(grant)
    .max(200)
    .default([])
    .meta({ description: 'What it may ask for; APIs that exist, with scopes that they have, each API once.' }),
  default_api: apiName.nullable().default(null).meta({ description: 'The API where a request names no audience; one of its grants.' }),
  introspects: z
    .array(apiName)
    .max(200)
    .default([])
    .meta({ description: 'APIs that it serves, of whose tokens it may ask (RFC 7662), whosever they are.' }),
  organization: organization.nullable().default(null).meta({ description: 'Auth0 organization.' }),
  claims: claims.default({}).meta({ description: 'Further claims of its tokens; names are URIs.' }),
  token_ttl: z.literal(TOKEN_TTLS).default(300).meta({ description: 'Seconds that the Vault token behind one login lives.' }),
  secret_id_ttl: keyLife.default(0).meta({ description: 'Longest life of its credentials in seconds; 0: until revoked.' }),
  secret_id_num_uses: z.int().min(0).max(1_000_000_000).default(0).meta({ description: 'Most logins of each credential; 0: no limit.' }),
  cidrs: cidrs.default([]).meta({ description: 'Where its credentials may be used from; empty: anywhere.' }),
  limits: limits.nullable().default(null).meta({ description: 'How often it may ask for a token, with all of its credentials together.' }),
  quota: quotaPart.nullable().default(null),
  force: z
    .boolean()
    .default(false)
    .meta({ description: 'Use the name of a deleted tenant though access tokens of that one may still be alive; else it is a conflict.' }),
});

export const tenantView = z.strictObject({
  tenant: z.string(),
  state: z
    .enum(['active', 'disabled', 'incomplete'])
    .meta({ description: '`incomplete`: a role without a document or the reverse; nothing is issued to it.' }),
  role_id: z.string().nullable().meta({ description: 'Its client_id.' }),
  grants: z.array(z.strictObject({ api: z.string(), scopes: z.array(z.string()) })),
  default_api: z.string().nullable(),
  introspects: z.array(z.string()),
  publish: z.array(z.string()),
  organization: z.string().nullable(),
  self_service: z
    .strictObject({ max_ttl: z.int(), keys_per_user: z.int(), keys: z.int() })
    .nullable()
    .meta({ description: "Within what its people make keys of their own; null: they don't. Set in Terraform." }),
  limits: limitsView,
  quota: quotaView,
  claims: z.record(z.string(), z.unknown()),
  token_ttl: z.number(),
  secret_id_ttl: z.number(),
  secret_id_num_uses: z.number(),
  cidrs: z.array(z.string()),
  last_used_at: z.iso.datetime().nullable().meta({ description: 'To the minute, and known some minutes late.' }),
  lives_on: z.array(z.strictObject({ api: z.string(), seconds: z.number() })).meta({
    description:
      'Worst case after a revocation: how long a token handed out just before still opens its API where services verify by key set alone.',
  }),
  problems: z.array(z.string()).meta({ description: 'What is not as it should be, in words.' }),
}) satisfies z.ZodType<TenantView>;

export const nextCursor = z.string().nullable().meta({ description: 'For the next page; null on the last one.' });
export const tenantPage = z.strictObject({ tenants: z.array(tenantView), next_cursor: nextCursor });

export const grants = z.strictObject({
  grants: z
    .array(grant)
    .max(200)
    .meta({ description: 'Everything it may ask for from now on; APIs that exist, with scopes that they have, each API once.' }),
  default_api: apiName.nullable().default(null).meta({ description: 'The API where a request names no audience; one of its grants.' }),
  introspects: z
    .array(apiName)
    .max(200)
    .default([])
    .meta({ description: 'APIs that it serves, of whose tokens it may ask (RFC 7662), whosever they are.' }),
  publish: z
    .array(apiName)
    .max(200)
    .optional()
    .meta({ description: 'APIs whose token is kept fresh in KV for a Vault Agent, of its grants. Left out: it stays as it is.' }),
});
export const grantsView = z.strictObject({
  tenant: z.string(),
  grants: z.array(z.strictObject({ api: z.string(), scopes: z.array(z.string()) })),
  default_api: z.string().nullable(),
  introspects: z.array(z.string()),
  publish: z.array(z.string()),
});

export const keyId = z
  .string()
  .regex(KEY_ID, 'is not a key id such as key_0f1e2d3c4b5a69788796a5b4')
  .meta({ description: 'Id of an API key; no secret.', examples: ['key_0f1e2d3c4b5a69788796a5b4'] });

const ownerId = z.string().regex(OWNER, 'is not an Auth0 user id such as auth0|0123456789abcdef');

export const keyQuery = z.strictObject({
  ...pageQuery.shape,
  owner: ownerId.optional().meta({ description: 'Only the keys of this Auth0 user.', examples: ['auth0|0123456789abcdef'] }),
});

export const newKey = z.strictObject({
  name: oneLine.optional().meta({ description: 'For people: what it is for.' }),
  ttl: keyLife.optional().meta({ description: "Seconds until it ends; 0: until revoked. Without it the tenant's `secret_id_ttl`." }),
  cidrs: cidrs.optional().meta({ description: "Where it may be used from, within the tenant's own blocks. Without it those." }),
  scopes: z
    .array(scope)
    .min(1)
    .max(100)
    .optional()
    .meta({ description: 'What it is narrowed to; scopes that the tenant is granted. Without it all that the tenant has, now and later.' }),
  limits: limits.nullable().optional().meta({ description: 'How often it may be used. Without it as often as its tenant.' }),
  owner: ownerId.optional().meta({
    description:
      "The Auth0 user whose key it is; then `scopes` are needed, and `ttl` is the longest that the tenant's people may have by default. " +
      "Without it the key is the tenant's own.",
    examples: ['auth0|0123456789abcdef'],
  }),
  environment: z
    .string()
    .regex(ENVIRONMENT, 'is 1 to 16 characters of a-z and 0-9')
    .default('live')
    .meta({ description: "A part of the key's text, for people and secret scanners." }),
});

export const rotation = z.strictObject({
  overlap: z
    .int()
    .min(0)
    .max(MAX_OVERLAP)
    .default(86_400)
    .meta({ description: 'Seconds for which the old key goes on beside the new one; 0: it ends at once.' }),
  limits: limits
    .nullable()
    .optional()
    .meta({ description: 'How often the new key may be used; null: as often as its tenant. Without it as the old one.' }),
});

export const keyFields = {
  tenant: z.string(),
  key_id: z.string().regex(KEY_ID),
  name: z.string().nullable(),
  owner: z.string().nullable().meta({ description: "The Auth0 user whose key it is; null: the tenant's own." }),
  scopes: z.array(z.string()).nullable().meta({ description: 'What it is narrowed to; null: all that its tenant has.' }),
  limits: limits.nullable().meta({ description: 'How often it may be used; null: as often as its tenant.' }),
  cidrs: z.array(z.string()),
  issued_by: z.string().nullable(),
  expires_at: z.iso.datetime().nullable().meta({ description: 'Null: until revoked.' }),
};

export const keyView = z.strictObject({
  ...keyFields,
  accessor: z.string().meta({ description: 'Of the secret_id at Vault.' }),
  organization: z.string().nullable().meta({ description: 'Where its owner made it.' }),
  environment: z.string().nullable(),
  issued_at: z.iso.datetime().nullable(),
  last_used_at: z.iso.datetime().nullable().meta({ description: 'To the minute, and known some minutes late.' }),
  state: z
    .enum(['active', 'ending', 'ended', 'unconfirmed'])
    .meta({ description: '`ending`: replaced, and good until expires_at; `ended`: refused; `unconfirmed`: of a rotation that broke off.' }),
  replaces: z.string().nullable(),
  replaced_by: z.string().nullable(),
}) satisfies z.ZodType<KeyView>;
export const keyPage = z.strictObject({ keys: z.array(keyView), next_cursor: nextCursor });

export const issuedKey = z.strictObject({
  ...keyFields,
  key: z
    .string()
    .meta({ description: 'The key itself: told here only, and in answers to the same request with the same Idempotency-Key within 24 h.' }),
  accessor: z.string().nullable(),
  environment: z.string(),
  issued_by: z.string(),
  warnings: z.array(z.string()),
}) satisfies z.ZodType<IssuedKey>;

export const rotatedKey = z.strictObject({
  ...issuedKey.shape,
  replaces: z.string().regex(KEY_ID).meta({ description: 'The old key.' }),
  replaces_until: z.iso.datetime().meta({ description: 'When the old key ends; until then both are good.' }),
  abandoned: z.array(z.string()).meta({ description: 'Keys destroyed now that a rotation that broke off had issued.' }),
}) satisfies z.ZodType<RotatedKey>;

export const trustName = z
  .string()
  .regex(NAME, 'is 1 to 63 characters of a-z, 0-9 and -, with a letter or digit at both ends')
  .meta({ description: 'Name of a trust.', examples: ['ci'] });
const exact = z.string().regex(/^[!-)+-~]{1,1024}$/, 'is 1 to 1,024 visible ASCII characters without *');

export const newTrust = z.strictObject({
  issuer: exact.meta({
    description: "The token's `iss`, letter by letter: an https address that Terraform named among the tenant's issuers.",
  }),
  audience: exact.meta({ description: "The token's `aud`, and nobody else besides." }),
  subject: exact.optional().meta({ description: "The token's `sub`, exactly. Either this or `subject_pattern`." }),
  subject_pattern: z
    .string()
    .regex(/^[!-~]{1,1024}$/, 'is 1 to 1,024 visible ASCII characters')
    .optional()
    .meta({
      description: '`*` stands for one whole segment between `:` and `/`, `**` at the end for one or more; two segments come first.',
    }),
  claims: z
    .record(z.string().regex(/^[!-~]{1,1024}$/, 'is the name of a claim, or a JSON pointer to one'), exact)
    .refine((all) => Object.keys(all).length <= 50, 'are at most 50')
    .default({})
    .meta({ description: 'Further claims, by name or JSON pointer (RFC 6901), and the text that each must be.' }),
  scopes: z
    .array(scope)
    .min(1)
    .max(500)
    .nullable()
    .default(null)
    .meta({ description: 'What it is narrowed to; scopes that the tenant is granted. Null: all that the tenant has, now and later.' }),
  cidrs: cidrs.default([]).meta({ description: 'Where it may be used from; empty: as the tenant.' }),
});

export const trustView = z.strictObject({
  tenant: z.string(),
  name: z.string(),
  issuer: z.string(),
  audience: z.string(),
  subject: z.string().nullable(),
  subject_pattern: z.string().nullable(),
  claims: z.record(z.string(), z.string()),
  scopes: z.array(z.string()).nullable().meta({ description: 'What it is narrowed to; null: all that its tenant has.' }),
  cidrs: z.array(z.string()),
  keys: z.enum(['discovery', 'jwks_url', 'pinned']).meta({ description: "Where the issuer's keys come from." }),
  managed_by: z.string().nullable().meta({ description: '`terraform`: changed there alone; null: by operators.' }),
  problem: z.string().nullable().meta({ description: 'What makes brokers refuse it, in words.' }),
}) satisfies z.ZodType<TrustView>;
export const trustPage = z.strictObject({ trusts: z.array(trustView), next_cursor: nextCursor });

const change = z.strictObject({
  time: z.iso.datetime(),
  event: z.string().meta({ description: 'The operation, as the audit names it.', examples: ['admin.issueKey'] }),
  outcome: z.enum(['done', 'replayed', 'refused', 'unknown']).meta({
    description: '`unknown`: answered with 500 or more, so that all of it, some of it or nothing may be done.',
  }),
  caller: z.string().meta({ description: "Subject of the caller's JWT, or display name of the Vault token." }),
  tenant: z.string().nullable(),
  key_id: z.string().nullable(),
  trust: z.string().nullable(),
  error: z.string().nullable().meta({ description: 'Why it was refused: the end of a problem type.' }),
});
export const changeList = z.strictObject({
  since: z.iso.datetime().meta({ description: 'The start of this broker: it knows of nothing older.' }),
  changes: z.array(change),
});

const apiView = z.strictObject({
  api: z.string(),
  audience: z.string(),
  source: z.string().meta({ description: 'The token source that its tokens come from.' }),
  scopes: z.array(z.string()),
  lifetime: z.number().meta({ description: 'Seconds.' }),
  dialect: z.string(),
});
export const apiPage = z.strictObject({ apis: z.array(apiView), next_cursor: nextCursor });

export const problem = z.strictObject({
  type: z.enum(Object.keys(PROBLEMS).map((slug) => TYPE_BASE + slug)),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  instance: z.string().meta({ description: 'This occurrence; the log of the broker names it too.' }),
  errors: z
    .array(
      z.strictObject({
        in: z.enum(['body', 'path', 'query', 'header']),
        at: z.string().meta({ description: 'JSON Pointer into the body, or name of the parameter.' }),
        detail: z.string(),
      }),
    )
    .optional(),
});
