import { failed, LISTED, ok, warning } from '#broker/doctor/check.ts';
import type { Check } from '#broker/doctor/check.ts';
import type { Inspection } from '#broker/doctor/inspection.ts';
import type { Json, View } from '#broker/doctor/view.ts';
import type { KeySource, Trust } from '#broker/credential/trust.ts';
import { trustIndex } from '#broker/credential/trust.ts';
import { PosternError } from '#broker/error.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { listedOr } from '#broker/operator/listed.ts';
import { patiently } from '#broker/operator/patience.ts';
import { BULK_WIDTH, WIDTH } from '#broker/operator/secret/secret-id.ts';
import { readTrust, trustNames } from '#broker/operator/trust/view.ts';
import { trustMount } from '#broker/vault/trust-login.ts';
import { indexEntry, trustOf } from '#broker/vault/trusts.ts';

const title = 'trusts';
const AGAIN = 'terraform apply, or postern trust add … --replace where an operator wrote it.';

/** Whether brokers and Vault take the same tokens for each tenant's workloads, and whether their issuers' keys can be had. */
export const trusts: Inspection = {
  title,
  async inspect(view) {
    const { access, tenants } = view;
    // One list tells who has any.
    const [all, having] = [await tenants(), await listedOr(access, 'trusts', undefined)];
    const withTrusts = having === undefined ? undefined : new Set(having);
    const asked = all.flatMap(({ tenant, role_id: clientId }) =>
      clientId === null || withTrusts?.has(clientId) === false ? [] : [{ tenant, clientId }],
    );
    const count = view.progress('trusts');
    let done = 0;
    const found = await inParallel(asked, BULK_WIDTH, async ({ tenant, clientId }) => {
      const names = await patiently(() => trustNames(access, clientId));
      count((done += 1), asked.length);
      return Promise.all(names.map(async (name) => ({ tenant, clientId, name, data: (await readTrust(access, clientId, name)).data })));
    });
    const written = found.flat();
    const looked = await inParallel(written, WIDTH, ({ tenant, clientId, name, data }) => lookAt(view, tenant, clientId, name, data));
    const wrong = looked.flatMap(({ problems }, at) => (problems.length === 0 ? [] : [{ ...written[at]!, problems }]));
    const checks = wrong
      .slice(0, LISTED)
      .map(({ tenant, name, problems }) => failed(`trust: ${tenant}/${name}`, problems.join('; '), AGAIN));
    if (wrong.length > LISTED) checks.push(failed(title, `${wrong.length - LISTED} more are not as they should be`, AGAIN));
    const sources = new Map(looked.flatMap(({ trust }) => (trust === undefined ? [] : [[sourceOf(trust), trust] as const])));
    const issuers = await inParallel([...sources.values()].slice(0, LISTED), WIDTH, (source) => issuer(view, source));
    return [...checks, ok(title, `${written.length} of ${found.filter((of) => of.length > 0).length} tenants`), ...issuers];
  },
};

async function lookAt(
  { access, mounts, read }: View,
  tenant: string,
  clientId: string,
  name: string,
  data: Json | undefined,
): Promise<{ trust: Trust | undefined; problems: string[] }> {
  let trust: Trust;
  try {
    trust = trustOf(clientId, name, data);
  } catch (error) {
    if (!(error instanceof PosternError)) throw error;
    return { trust: undefined, problems: [error.detail ?? error.message] };
  }
  const mount = trustMount(mounts.trust, tenant, trust.issuer);
  const found = (path: string): Promise<Json | undefined> =>
    read(`look at the trusts of ${tenant}`, path).catch((error: unknown) => {
      // There is no such mount.
      if (error instanceof PosternError && (error.code === 'misconfigured' || error.code === 'not_found')) return undefined;
      throw error;
    });
  const index = `${access.mounts.kv}/data/trust-index/${trustIndex(trust.issuer, trust.audience)}/${indexEntry(clientId, name)}`;
  const [config, role, entry] = await Promise.all([found(`${mount}/config`), found(`${mount}/role/${name}`), found(index)]);
  const problems = [
    ...(trust.tenant === tenant ? [] : [`it names another tenant, ${trust.tenant}`]),
    ...(config === undefined ? [`${mount}, where Vault would judge its tokens, is not there`] : configProblems(trust, config)),
    ...(config === undefined || role !== undefined ? [] : [`Vault has no role of it at ${mount}`]),
    ...(role === undefined ? [] : roleProblems(trust, role)),
    ...(entry?.['data'] ? [] : ['it is not found where no client_id is sent']),
  ];
  return { trust, problems };
}

function configProblems(trust: Trust, config: Json): string[] {
  const text = (name: string): string => (typeof config[name] === 'string' ? config[name] : '');
  const keys = Array.isArray(config['jwt_validation_pubkeys']) ? config['jwt_validation_pubkeys'].map((key) => String(key).trim()) : [];
  const same =
    trust.keys === undefined
      ? keys.length === 0 && text('jwks_url') === (trust.jwksUrl ?? '') && caOf(config) === (trust.caPem ?? '').trim()
      : keys.toSorted().join() ===
        trust.keys
          .map((key) => key.trim())
          .toSorted()
          .join();
  return [
    ...(text('bound_issuer') === trust.issuer ? [] : ['Vault takes tokens of another issuer there']),
    ...(same ? [] : ["Vault takes the issuer's keys from elsewhere than brokers"]),
  ];
}

function caOf(config: Json): string {
  const found = [config['jwks_ca_pem'], config['oidc_discovery_ca_pem']].find((one) => typeof one === 'string' && one !== '');
  return typeof found === 'string' ? found.trim() : '';
}

/** Of what Vault judges by, as far as it can say it: a pattern is wider there. */
function roleProblems(trust: Trust, role: Json): string[] {
  const claims = (role['bound_claims'] ?? {}) as Json;
  const wanted = { ...trust.claims, sub: trust.subject ?? trust.subjectPattern?.replace('**', '*') };
  const one = (value: unknown): unknown => (Array.isArray(value) && value.length === 1 ? value[0] : value);
  const same =
    one(role['bound_audiences']) === trust.audience &&
    (role['bound_subject'] ?? '') === (trust.subject ?? '') &&
    Object.keys(claims).length === Object.keys(wanted).length &&
    Object.entries(wanted).every(([claim, value]) => one(claims[claim]) === value);
  const policies = Array.isArray(role['token_policies']) ? role['token_policies'] : [];
  return [
    ...(same ? [] : ['Vault judges its tokens by other claims than brokers']),
    ...(role['token_type'] === 'batch' ? [] : [`its role gives ${String(role['token_type'])} tokens, which brokers refuse`]),
    ...(role['user_claim'] === 'iss' && policies.length === 0 ? [] : ["its role gives more than the tenant's own rights"]),
  ];
}

function sourceOf({ issuer, jwksUrl, keys, caPem }: KeySource): string {
  return JSON.stringify([issuer, jwksUrl, keys, caPem]);
}

async function issuer({ issuerKeys }: View, source: KeySource): Promise<Check> {
  const name = `issuer: ${source.issuer}`;
  try {
    const count = await issuerKeys.count(source);
    const where = source.keys === undefined ? 'fetched' : 'written down';
    return count > 0
      ? ok(name, `${count} ${count === 1 ? 'key' : 'keys'}, ${where}`)
      : failed(
          name,
          `no key that could verify a token, ${where}`,
          "Ask the issuer, or set tenants.<t>.issuers' keys or jwks_url in Terraform.",
        );
  } catch (error) {
    if (!(error instanceof PosternError)) throw error;
    return warning(
      name,
      `from here ${error.message.replace(/^The/, 'the')}`,
      'Brokers and Vault need it. Can they reach it? At a private address: POSTERN_TRUST_PRIVATE_HOSTS, for this command too.',
    );
  }
}
