import { issuerFault, trustFault, trustIndex } from '#broker/credential/trust.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { announce } from '#broker/operator/announcement.ts';
import { canonicalCidrs, checkTenantId } from '#broker/operator/name.ts';
import { readRoleId } from '#broker/operator/secret/issue.ts';
import { checkGranted } from '#broker/operator/tenant/granted.ts';
import { TOKEN_TTLS } from '#broker/operator/tenant/specification.ts';
import { trustMount } from '#broker/vault/trust-login.ts';
import { MOST_TRUSTS, indexEntry } from '#broker/vault/trusts.ts';
import type { TrustDocument } from '#broker/vault/trusts.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { eraseTrust } from './remove.ts';
import { checkTrustName, readTrust, trustNames, viewOf } from './view.ts';
import type { TrustView } from './view.ts';

export interface NewTrust {
  readonly tenant: string;
  readonly name: string;
  readonly issuer: string;
  readonly audience: string;
  readonly subject?: string | undefined;
  readonly subjectPattern?: string | undefined;
  readonly claims?: Readonly<Record<string, string>> | undefined;
  readonly scopes?: readonly string[] | undefined;
  readonly cidrs?: readonly string[] | undefined;
  /** Put it in the place of one of that name; else that is a conflict. */
  readonly replace?: boolean | undefined;
}

/**
 * Writes down that a workload of an issuer is the tenant's: at Vault, then where brokers look; every broker knows it within 2 s. Which
 * issuers a tenant may trust is Terraform's to say, which makes their mounts.
 * @throws {PosternError} invalid_request, not_found, conflict
 */
export async function addTrust(access: VaultAccess, wanted: NewTrust): Promise<TrustView & { epoch: number }> {
  const { tenant, name, issuer } = wanted;
  checkTenantId(tenant);
  checkTrustName(name);
  const fault = issuerFault(issuer);
  if (fault !== undefined) throw wrong(`The issuer ${fault}`);
  const own = wanted.cidrs === undefined || wanted.cidrs.length === 0 ? undefined : canonicalCidrs(wanted.cidrs);
  const stated = {
    issuer,
    audience: wanted.audience,
    subject: wanted.subject,
    subjectPattern: wanted.subjectPattern,
    claims: wanted.claims ?? {},
    scopes: wanted.scopes === undefined ? undefined : [...new Set(wanted.scopes)].sort(),
  };
  const ill = trustFault({ ...stated, jwksUrl: undefined, keys: undefined, caPem: undefined });
  if (ill !== undefined) throw wrong(`The trust's ${ill}`);

  const clientId = await readRoleId(access, tenant);
  if (stated.scopes !== undefined) await checkGranted(access, tenant, stated.scopes, 'the trust');
  const names = await trustNames(access, clientId);
  const { data: before, version } = await readTrust(access, clientId, name);
  if (before !== undefined && wanted.replace !== true)
    throw new PosternError('conflict', `${tenant} has a trust ${name} already`, {
      detail: 'Replace it (--replace), or choose another name.',
    });
  if (before?.['managed_by'] === 'terraform')
    throw new PosternError('conflict', `The trust ${name} of ${tenant} is Terraform's: its next apply would undo this`, {
      detail: `Change tenants.${tenant}.trusts.${name} there, or choose another name.`,
    });
  if (before === undefined && names.length >= MOST_TRUSTS)
    throw new PosternError('conflict', `${tenant} has ${MOST_TRUSTS} trusts already`);
  const source = await sourceOf(access, tenant, issuer);
  const role = await roleOf(access, tenant);
  const cidrs = own ?? role.cidrs;
  const document: TrustDocument = {
    tenant,
    issuer,
    audience: stated.audience,
    ...(stated.subject === undefined ? { subject_pattern: stated.subjectPattern } : { subject: stated.subject }),
    claims: stated.claims,
    ...(stated.scopes === undefined ? {} : { scopes: stated.scopes }),
    cidrs,
    ...source,
  };
  const moved = before !== undefined && (before['issuer'] !== issuer || before['audience'] !== stated.audience);
  // Where it was found before it would otherwise stay.
  if (moved) await eraseTrust(access, tenant, clientId, name, before);
  const isPattern = stated.subject === undefined;
  await access.call(`write the trust ${name} of ${tenant}`, async ({ client, documents, as }) => {
    // First what lists show, so that whoever is interrupted can go on or remove it; until Vault knows it too, nobody gets in by it.
    await documents.write(`trusts/${clientId}/${name}`, { ...document }, moved ? 0 : version, as);
    await client.write(
      `${trustMount(access.mounts.trust, tenant, issuer)}/role/${name}`,
      {
        role_type: 'jwt',
        user_claim: 'iss',
        bound_audiences: [stated.audience],
        bound_subject: stated.subject ?? '',
        // Vault's globs know no segments: it is the broker that holds a * to one.
        bound_claims: { ...stated.claims, sub: stated.subject ?? stated.subjectPattern?.replace('**', '*') },
        bound_claims_type: isPattern ? 'glob' : 'string',
        clock_skew_leeway: '30',
        expiration_leeway: '30',
        not_before_leeway: '30',
        token_type: 'batch',
        token_ttl: role.ttl,
        token_max_ttl: role.ttl,
        token_no_default_policy: true,
        token_bound_cidrs: cidrs,
      },
      as,
    );
    await documents.write(`trust-index/${trustIndex(issuer, stated.audience)}/${indexEntry(clientId, name)}`, { tenant }, undefined, as);
  });
  const { epoch } = await announce(access, tenant);
  return { ...viewOf(tenant, clientId, name, { ...document }), epoch };
}

/** Where Vault takes the issuer's keys from, so that brokers take the same. */
async function sourceOf(access: VaultAccess, tenant: string, issuer: string): Promise<Pick<TrustDocument, 'jwks_url' | 'keys' | 'ca_pem'>> {
  const path = `${trustMount(access.mounts.trust, tenant, issuer)}/config`;
  const config = await access.call(`read the issuers of ${tenant}`, ({ client, as }) =>
    client.read(path, as).catch((error: unknown) => {
      if (error instanceof VaultFault && error.reason === 'not_found') return undefined;
      throw error;
    }),
  );
  const {
    bound_issuer: bound,
    jwks_url: url,
    jwks_ca_pem: ca,
    oidc_discovery_ca_pem: discoveryCa,
    jwt_validation_pubkeys: keys,
  } = config?.data ?? {};
  if (bound !== issuer)
    throw new PosternError('conflict', `${tenant} has no login for this issuer at Vault`, {
      detail: `A platform engineer puts it into the Terraform variable: tenants.${tenant}.issuers = { "${issuer}" = {} }, and applies.`,
    });
  const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
  const pinned = Array.isArray(keys) && keys.length > 0 ? keys.map(String) : undefined;
  const pem = text(ca) ?? text(discoveryCa);
  return {
    ...(pinned ? { keys: pinned } : text(url) === undefined ? {} : { jwks_url: text(url) }),
    ...(pem === undefined ? {} : { ca_pem: pem }),
  };
}

/** What the tenant's logins are limited to otherwise. */
async function roleOf(access: VaultAccess, tenant: string): Promise<{ ttl: string; cidrs: string[] }> {
  const path = `auth/${access.mounts.approle}/role/${tenant}`;
  const answer = await access.call(`read the role of ${tenant}`, ({ client, as }) => client.read(path, as));
  const data = answer?.data ?? {};
  const list = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);
  const [ofSecrets, ofTokens] = [list(data['secret_id_bound_cidrs']), list(data['token_bound_cidrs'])];
  const ttl = Number(data['token_ttl']);
  return {
    ttl: String((TOKEN_TTLS as readonly number[]).includes(ttl) ? ttl : 300),
    cidrs: ofSecrets.length > 0 ? ofSecrets : ofTokens,
  };
}

function wrong(message: string): PosternError {
  return new PosternError('invalid_request', message, { detail: 'See docs/keyless.md.' });
}
