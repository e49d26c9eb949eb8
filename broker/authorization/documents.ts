import { z } from 'zod';
import { NAME } from '#broker/credential/identity.ts';
import { limitsDocument } from '#broker/rate-limit/limits.ts';
import { sharedValue } from '#broker/shared.ts';
import { isManagementAudience } from './management-audience.ts';
import { flag, names, orNothing, structure, wholeNumber, words } from './text-value.ts';

/** An OAuth scope token: RFC 6749 §3.3. */
export const SCOPE_TOKEN = /^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/;

export const apiName = z.string().regex(NAME, 'must be 1 to 63 characters of a-z, 0-9 and -, with a letter or digit at both ends');
const scopes = words(z.array(z.string().regex(SCOPE_TOKEN, 'is not an OAuth scope token')).max(500).default([]));

/**
 * Auth0's token dialects ("Access token profiles"): `access_token` has azp and gty, `rfc9068_profile`
 * client_id, jti and `typ: at+jwt`; the `_authz` ones add permissions[].
 */
export const DIALECTS = ['access_token', 'access_token_authz', 'rfc9068_profile', 'rfc9068_profile_authz'] as const;
export type Dialect = (typeof DIALECTS)[number];

/** Why an audience is refused: a token for it would administer the Auth0 tenant. */
export const MANAGEMENT_AUDIENCE = "is that of Auth0's Management API, or ends in /api/v2 as that does: it is never issued for";

/** `apis/<api>`: a resource server (Auth0: API) and where its tokens come from. */
export const apiDocument = z.object({
  audience: z
    .string()
    .min(1)
    .max(1024)
    .refine((audience) => !isManagementAudience(audience), MANAGEMENT_AUDIENCE),
  /** The name of a token source; whether this version has one of that name is for the reader to say. */
  source: z.string().regex(NAME, 'is not the name of a token source'),
  scopes,
  /** Seconds a token of source transit lives; Auth0 sets its own. Auth0's default is 86,400, its most 2,592,000. */
  lifetime: wholeNumber(z.number().int().min(30).max(2_592_000).default(86_400)),
  dialect: z.enum(DIALECTS).default('access_token'),
  /** Brokers keep its token fresh in KV, for each tenant that is granted it and of which operators wrote that down. */
  publish: flag(z.boolean().optional()),
});

export type Api = z.infer<typeof apiDocument> & { readonly name: string };

/** Claims that are the issuer's own to set; a tenant's extra claims are namespaced URIs, as Auth0 demands. */
const claimName = z.string().regex(/^https?:\/\/\S+$/, 'is not a namespaced claim: use a URI such as https://example.com/plan');

/** A tenant's part of the tokens that an issuer counts: so many new ones a month, or a share of the application's budget. */
export const quotaPart = z
  .object({
    monthly: z.number().int().min(0).max(1_000_000_000).nullish(),
    share: z.number().gt(0).max(1).nullish(),
  })
  .refine(
    ({ monthly, share }) => (typeof monthly === 'number' ? typeof share !== 'number' : typeof share === 'number'),
    'has either monthly or share',
  );
export type QuotaPart = z.infer<typeof quotaPart>;

/** `tenants/<tenant>`: what a tenant may have. */
export const tenantDocument = z.object({
  /** The AppRole role_id of the tenant that this was written for. A credential with another is that of a former tenant of this name. */
  client_id: z.string().min(1).max(128).nullish(),
  grants: structure(
    z
      .array(z.object({ api: apiName, scopes }))
      .max(200)
      .default([]),
  ),
  default_api: orNothing(apiName.nullish()),
  /** APIs that this tenant serves: it may introspect every tenant's tokens for them. */
  introspects: names(z.array(apiName).max(200).default([])),
  /** APIs whose token brokers keep fresh in KV, for a Vault Agent: what is in `publications/<tenant>` is what they go by. */
  publish: names(z.array(apiName).max(200).default([])),
  /** Auth0 organization id. */
  organization: z.string().min(1).max(128).nullish(),
  claims: structure(z.record(claimName, z.union([z.string(), z.number(), z.boolean(), z.array(z.string())])).default({})),
  disabled: flag(z.boolean().default(false)),
  /**
   * Since when access tokens may be alive that hold more than this, seconds since 1970: grants were taken away, and brokers are not told of
   * that yet, or it was broken off. Brokers don't look at it.
   */
  narrowing_since: wholeNumber(z.number().int().min(0).max(253_402_300_799)).nullish(),
  /** How often it may ask for a token, with all of its credentials together. */
  limits: structure(limitsDocument).nullish(),
  /** `terraform`: its next apply writes this document anew. */
  managed_by: z.string().max(64).nullish(),
  /** How many new tokens it may have in a month of an issuer that counts them: so many, or a share of the application's budget. */
  quota: structure(quotaPart).nullish(),
  /** Whether its people make keys of their own, and within what; without it they don't. */
  self_service: structure(
    z.object({
      /** Longest life of such a key, seconds. */
      max_ttl: wholeNumber(z.number().int().min(60).max(31_536_000).default(7_776_000)),
      keys_per_user: wholeNumber(z.number().int().min(1).max(1_000).default(10)),
      keys: wholeNumber(z.number().int().min(1).max(10_000).default(1_000)),
    }),
  ).nullish(),
});

export type TenantGrants = z.infer<typeof tenantDocument>;

/** The same document without its client_id, as one copy for all tenants whose documents say the same, and so of its parts. */
export function sharedGrants(document: TenantGrants): TenantGrants {
  const { grants, introspects, publish, claims } = document;
  return sharedValue({
    ...document,
    client_id: undefined,
    grants: sharedValue(grants),
    introspects: sharedValue(introspects),
    publish: sharedValue(publish),
    claims: sharedValue(claims),
  });
}

/** The APIs that exist; reading them is the broker's right, they are not a secret of any tenant. */
export interface ApiCatalog {
  byAudience(audience: string): Api | undefined | Promise<Api | undefined>;
  byName(name: string): Api | undefined | Promise<Api | undefined>;
  /** Why the document of an API is left out, for the operator; undefined where there is none. */
  faultOf?(api: { readonly name: string } | { readonly audience: string }): string | undefined;
}

/** What a client asks for; undefined where it left a parameter out. */
export interface GrantRequest {
  readonly audience: string | undefined;
  readonly scope: string | undefined;
  readonly organization: string | undefined;
}
