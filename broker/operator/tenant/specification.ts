import { SCOPE_TOKEN, quotaPart } from '#broker/authorization/documents.ts';
import type { Api, QuotaPart, TenantGrants } from '#broker/authorization/documents.ts';
import { PosternError } from '#broker/error.ts';
import { isCidr } from '#broker/operator/name.ts';
import { limitsDocument } from '#broker/rate-limit/limits.ts';
import type { Limits } from '#broker/rate-limit/limits.ts';

/** An API, with scopes of it. */
export interface Grant {
  readonly api: string;
  readonly scopes: readonly string[];
}

/** What a tenant is to be. What is left out gets its default, or stays as it is in an update. */
export interface TenantSpecification {
  grants?: readonly { readonly api: string; readonly scopes: readonly string[] }[];
  defaultApi?: string | null;
  /** APIs that it serves: it may introspect every tenant's tokens for them. */
  introspects?: readonly string[];
  /** APIs whose token brokers keep fresh in KV, for a Vault Agent; each among its grants. */
  publish?: readonly string[];
  /** Auth0 organization id. */
  organization?: string | null;
  /** Further claims of this tenant's tokens; names are URIs. */
  claims?: Readonly<Record<string, string | number | boolean | string[]>>;
  /** Seconds that the Vault token behind one login lives: one of `TOKEN_TTLS`. Default 300. */
  tokenTtl?: number;
  /** Seconds; 0: until revoked. Default 0. */
  secretIdTtl?: number;
  /** Logins; 0: no limit. Default 0. */
  secretIdNumUses?: number;
  /** Where its secret_ids may be used from; empty: anywhere. */
  cidrs?: readonly string[];
  /** Within what its people make keys of their own; null: they don't. */
  selfService?: NonNullable<TenantGrants['self_service']> | null;
  /** How often it may ask for a token; null: as often as it likes. */
  limits?: Limits | null;
  /** Its part of the tokens that Auth0 counts; null: as many as it likes. */
  quota?: QuotaPart | null;
}

/**
 * Lives that a tenant's Vault tokens can have, in seconds. The operators' policy names them one by one, since nobody can revoke such a
 * token.
 */
export const TOKEN_TTLS = [30, 60, 120, 300, 600, 900, 1800, 3600] as const;

/** Binds a token to its tenant; nobody sets it by hand. */
const TENANT_CLAIM = 'https://postern.dev/tenant';

const whole = (value: number, min: number, max: number): boolean => Number.isInteger(value) && value >= min && value <= max;

/**
 * The same rules as in `terraform/modules/tenant`.
 * @throws {PosternError} invalid_request, naming every fault at once and what exists
 */
export function checkSpecification(tenant: string, spec: TenantSpecification, apis: ReadonlyMap<string, Api | undefined>): void {
  const faults: string[] = [];
  const { grants = [], defaultApi, introspects = [], publish = [], organization, claims = {}, cidrs = [] } = spec;
  const { tokenTtl, secretIdTtl, secretIdNumUses } = spec;
  for (const grant of grants) faults.push(...grantFaults(grant, apis));
  const granted = grants.map(({ api }) => api);
  for (const api of new Set(granted.filter((name, at) => granted.indexOf(name) !== at)))
    faults.push(`two grants for the API "${api}": put their scopes into one`);
  if (defaultApi && spec.grants !== undefined && !granted.includes(defaultApi))
    faults.push(`the default API "${defaultApi}" is not among its grants`);
  for (const api of publish)
    if (spec.grants !== undefined && !granted.includes(api)) faults.push(`it has no grant for what is to be published: ${api}`);
  for (const api of introspects) if (apis.get(api) === undefined) faults.push(`there is no API "${api}" to introspect tokens for`);
  if (organization && !/^org_[A-Za-z0-9]{1,120}$/.test(organization))
    faults.push(`"${organization}" is not an Auth0 organization id such as org_abc123`);
  for (const name of Object.keys(claims)) {
    if (!/^https?:\/\/\S+$/.test(name))
      faults.push(`"${name}" can't be a claim: its name is a URI such as https://example.com/plan, for Auth0 drops others`);
    else if (name === TENANT_CLAIM) faults.push(`the claim ${TENANT_CLAIM} binds a token to its tenant and can't be set by hand`);
  }
  for (const cidr of cidrs) if (!isCidr(cidr)) faults.push(`"${cidr}" is not a block of addresses such as 203.0.113.0/24`);
  if (tokenTtl !== undefined && !TOKEN_TTLS.some((ttl) => ttl === tokenTtl))
    faults.push(`the token TTL is one of ${TOKEN_TTLS.join(', ')} s: a batch token can't be revoked, so Vault lets operators set no other`);
  if (secretIdTtl !== undefined && secretIdTtl !== 0 && !whole(secretIdTtl, 60, 31_536_000))
    faults.push('the secret_id TTL is 0 (until revoked) or 60 s to 1 year');
  if (secretIdNumUses !== undefined && !whole(secretIdNumUses, 0, 1_000_000_000))
    faults.push('the number of uses is 0 (no limit) or a whole number of logins');
  const limits = limitsDocument.nullish().safeParse(spec.limits);
  for (const { path, message } of limits.error?.issues ?? []) faults.push(`its limits: ${[...path.map(String), message].join(' ')}`);
  const part = quotaPart.nullish().safeParse(spec.quota);
  for (const { path, message } of part.error?.issues ?? []) faults.push(`its quota: ${[...path.map(String), message].join(' ')}`);
  if (faults.length > 0)
    throw new PosternError('invalid_request', `The tenant "${tenant}" can't be like this:\n${faults.map((f) => `  ${f}`).join('\n')}`);
}

function grantFaults(
  { api: name, scopes }: { api: string; scopes: readonly string[] },
  apis: ReadonlyMap<string, Api | undefined>,
): string[] {
  const api = apis.get(name);
  if (api === undefined) {
    const known = [...apis.keys()];
    return [
      apis.has(name)
        ? `the API "${name}" is not valid in Vault: see \`postern doctor\``
        : `there is no API "${name}"; there ${known.length === 0 ? 'is none yet (APIs are made by Terraform)' : `is ${known.join(', ')}`}`,
    ];
  }
  const unknown = scopes.filter((scope) => !SCOPE_TOKEN.test(scope) || !api.scopes.includes(scope));
  return unknown.length === 0
    ? []
    : [
        `the API "${name}" has no scope ${unknown.map((s) => `"${s}"`).join(', ')}; it has ` +
          (api.scopes.length === 0 ? 'none' : api.scopes.join(', ')),
      ];
}
