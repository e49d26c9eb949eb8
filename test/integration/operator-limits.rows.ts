import { trust } from './policy.rows.ts';
import type { Body } from './policy.rows.ts';

/*
 * What the worst value of each parameter that vault-policies/operator.hcl lets through does. operator-limits.test.ts really calls Vault
 * with each as an operator, and holds docs/operator-limits.md against this table.
 */

export interface Limit {
  path: string;
  /** What the operator tries, in words for the table. */
  worst: string;
  body: Body;
  /** `policy`: permission denied. `Vault`: the engine answers 400. `nobody`: it is accepted, and `why` says what it gives. */
  by: 'policy' | 'Vault' | 'nobody';
  /** Where OpenBao judges otherwise. */
  onOpenBao?: 'policy' | 'Vault' | 'nobody';
  why: string;
}

const role = 'auth/approle/role/acme';
const secret = 'auth/approle/role/acme/secret-id';
/** Of a mount that Terraform made, as `postern trust add` writes it. */
const trustRole = 'auth/postern-trust/acme/3f2a/role/ci';
const lasting = '31536000';
const document = (data: Body): Body => ({ data });

export const LIMITS: readonly Limit[] = [
  { path: role, worst: '`token_ttl` of a year', body: { token_ttl: lasting }, by: 'policy', why: '30 s to 1 h are named one by one' },
  {
    path: role,
    worst: '`token_ttl` of a year, as a number',
    body: { token_ttl: 31_536_000 },
    by: 'policy',
    why: 'no number is in the list',
  },
  { path: role, worst: '`token_max_ttl` of a year', body: { token_max_ttl: lasting }, by: 'policy', why: 'the same list' },
  {
    path: role,
    worst: '`token_ttl` empty',
    body: { token_ttl: '' },
    by: 'nobody',
    onOpenBao: 'policy',
    why: "the mount's default, 300 s",
  },
  { path: role, worst: '`token_ttl` "1e3"', body: { token_ttl: '1e3' }, by: 'Vault', why: 'no duration' },
  { path: role, worst: '`token_type` service', body: { token_type: 'service' }, by: 'policy', why: 'batch alone is named' },
  {
    path: role,
    worst: '`token_policies` with another',
    body: { token_policies: ['postern-tenant', 'default'] },
    by: 'policy',
    why: 'the tenants’ policy alone',
  },
  {
    path: role,
    worst: '`token_bound_cidrs` 0.0.0.0/0',
    body: { token_bound_cidrs: ['0.0.0.0/0'] },
    by: 'nobody',
    why: 'from anywhere, as without: which addresses are good is the operators’ to say',
  },
  { path: role, worst: '`secret_id_bound_cidrs` 0.0.0.0/0', body: { secret_id_bound_cidrs: ['0.0.0.0/0'] }, by: 'nobody', why: 'the same' },
  {
    path: role,
    worst: '`secret_id_ttl` of 100 years',
    body: { secret_id_ttl: '3153600000' },
    by: 'nobody',
    why: 'cut to a year by the mount; a secret_id can be revoked',
  },
  { path: role, worst: '`secret_id_num_uses` of 10^9', body: { secret_id_num_uses: 1_000_000_000 }, by: 'nobody', why: 'no limit, as 0' },
  { path: role, worst: '`secret_id_num_uses` below 0', body: { secret_id_num_uses: -1 }, by: 'Vault', why: 'cannot be negative' },
  { path: secret, worst: '`ttl` of 100 years', body: { ttl: '3153600000' }, by: 'nobody', why: 'cut to a year by the mount' },
  { path: secret, worst: '`num_uses` below 0', body: { num_uses: -1 }, by: 'Vault', why: 'cannot be negative' },
  {
    path: secret,
    worst: '`cidr_list` 0.0.0.0/0',
    body: { cidr_list: ['0.0.0.0/0'] },
    by: 'nobody',
    why: 'the role’s own blocks hold beside it',
  },
  {
    path: secret,
    worst: '`metadata` that names another tenant',
    body: { metadata: '{"role_name":"globex"}' },
    by: 'nobody',
    why: 'Vault writes role_name itself at each login',
  },
  {
    path: secret,
    worst: '`metadata` with an end far away',
    body: { metadata: '{"expires_at":"99999999999"}', ttl: '60' },
    by: 'nobody',
    why: 'Vault ends it all the same: brokers take the earlier end',
  },
  {
    path: secret,
    worst: '`metadata` of 2 MiB',
    body: { metadata: JSON.stringify({ a: 'x'.repeat(2 << 20) }) },
    by: 'Vault',
    onOpenBao: 'nobody',
    why: 'a text has 1 MiB at most on Vault; the operator’s own secret_id carries it',
  },
  { path: secret, worst: '`secret_id` of one’s own', body: { secret_id: 'chosen' }, by: 'policy', why: 'not named' },
  {
    path: 'postern/data/apis/orders',
    worst: 'another audience',
    body: document({ audience: 'https://acme.eu.auth0.com/api/v2/', source: 'auth0' }),
    by: 'policy',
    why: 'APIs are Terraform’s',
  },
  {
    path: 'postern/data/tenants/acme',
    worst: 'a claim that names another tenant',
    body: document({ claims: { 'https://postern.dev/tenant': 'globex' } }),
    by: 'nobody',
    why: 'the broker writes that claim last; claims that are no URI make the document invalid',
  },
  {
    path: 'postern/data/tenants/acme',
    worst: 'every API, every scope, `introspects`',
    body: document({ grants: [{ api: 'orders', scopes: ['read:orders'] }], introspects: ['orders'] }),
    by: 'nobody',
    why: 'granting is the operators’ job; brokers give no scope that the API lacks',
  },
  {
    path: 'postern/data/publications/acme',
    worst: 'every API, every scope, the `client_id` of another tenant',
    body: document({ client_id: 'globex-id', grants: [{ api: 'orders', scopes: ['read:orders', 'admin'] }] }),
    by: 'nobody',
    why: 'a token that names `<t>` lies where only `<t>` reads, with scopes that the API has; no more than a secret_id of either gives',
  },
  { path: 'postern/data/state/publisher', worst: 'the lease for good', body: document({ holder: 'x' }), by: 'policy', why: 'brokers’' },
  {
    path: 'postern/data/state/published/acme',
    worst: 'an end far away, so that none is fetched',
    body: document({ apis: {} }),
    by: 'policy',
    why: 'brokers’',
  },
  {
    path: 'postern-tokens/data/acme/orders',
    worst: 'a token of one’s own',
    body: document({ access_token: 'x' }),
    by: 'policy',
    why: 'operators can only throw cached tokens away',
  },
  {
    path: 'postern/data/keys/acme',
    worst: 'anything',
    body: document({ rotations: 'none' }),
    by: 'nobody',
    why: 'the tenant’s API keys are refused until it is mended; `doctor` names it. No end is put off: announced ends hold',
  },
  {
    path: 'postern/data/state/epoch',
    worst: 'an older number',
    body: document({ epoch: 0, disabled: [], recent: [] }),
    by: 'nobody',
    why: 'running brokers take it for a restored Vault: ERROR, and what they know as ended stays refused',
  },
  { path: 'postern/data/state/ended', worst: 'an empty one', body: document({ serial: 0, recent: [] }), by: 'nobody', why: 'the same' },
  {
    path: 'postern/data/state/tombstones/acme',
    worst: 'an end in the past',
    body: document({ until: 0 }),
    by: 'nobody',
    why: 'the name can be used again at once, as with `--force`; `client_id` keeps old credentials out',
  },
  { path: 'postern/data/state/catalog', worst: 'anything', body: document({ digest: 'x' }), by: 'policy', why: 'Terraform’s' },
  {
    path: 'postern/data/assertions/acme-id',
    worst: 'a key of one’s own',
    body: document({ tenant: 'acme', keys: [] }),
    by: 'policy',
    why: 'registered keys are Terraform’s; operators can only remove them',
  },
  {
    path: trustRole,
    worst: 'any repository of that issuer',
    body: { ...trust, bound_claims: { sub: '*' } },
    by: 'nobody',
    why: 'whose workloads a tenant trusts is the operators’ to say, of issuers that Terraform named',
  },
  {
    path: trustRole,
    worst: '`token_policies` with another',
    body: { ...trust, token_policies: ['root'] },
    by: 'policy',
    why: 'what it may do comes with Terraform’s entity: the tenant’s own',
  },
  {
    path: trustRole,
    worst: '`user_claim` that names another tenant’s entity',
    body: { ...trust, user_claim: 'sub' },
    by: 'policy',
    why: '`iss` alone, which the mount fixes',
  },
  { path: trustRole, worst: '`token_ttl` of a year', body: { ...trust, token_ttl: lasting }, by: 'policy', why: '30 s to 1 h, one by one' },
  { path: trustRole, worst: '`token_type` service', body: { ...trust, token_type: 'service' }, by: 'policy', why: 'batch alone is named' },
  {
    path: trustRole,
    worst: '`expiration_leeway` of a day',
    body: { ...trust, expiration_leeway: '86400' },
    by: 'policy',
    why: '30 s alone is named',
  },
  {
    path: 'auth/postern-trust/acme/3f2a/config',
    worst: 'an issuer’s keys of one’s own',
    body: { jwt_validation_pubkeys: [] },
    by: 'policy',
    why: 'issuers and their keys are Terraform’s',
  },
  {
    path: 'postern/data/trusts/acme-id/ci',
    worst: 'keys of one’s own',
    body: document({ tenant: 'acme', keys: ['-----BEGIN PUBLIC KEY-----'] }),
    by: 'nobody',
    why: 'Vault verifies once more, by the keys that Terraform named',
  },
  {
    path: 'postern/data/trust-index/3f2a/globex-id.ci',
    worst: 'a name that is not there',
    body: document({ tenant: 'globex' }),
    by: 'nobody',
    why: 'brokers find nothing there; more than 50 for one audience: its workloads need a client_id',
  },
  {
    path: 'postern/data/upstream/auth0',
    worst: 'another application',
    body: document({ client_id: 'x', client_secret: 'y' }),
    by: 'nobody',
    why: 'sent only to the Auth0 that brokers are configured with; tokens that are not bound to the tenant are refused',
  },
  {
    path: 'auth0/apis/orders',
    worst: 'the Management API',
    body: { audience: 'https://acme.eu.auth0.com/api/v2/' },
    by: 'policy',
    why: 'Terraform’s; the plugin refuses it too',
  },
  {
    path: 'auth0/config',
    worst: 'another issuer',
    body: { issuer: 'https://evil.example.com/', client_id: 'x', client_secret: 'y' },
    by: 'policy',
    why: '`client_id` and `client_secret` alone',
  },
  {
    path: 'auth0/config',
    worst: 'the application that rotates',
    body: { management_client_id: 'x', management_client_secret: 'y' },
    by: 'policy',
    why: 'the same',
  },
  {
    path: 'auth0/roles/acme',
    worst: 'any grant',
    body: { grants: { orders: ['read:orders'] } },
    by: 'nobody',
    why: 'APIs that Terraform wrote there, with scopes that they have',
  },
  {
    path: 'transit/keys/postern/rotate',
    worst: 'at once',
    body: {},
    by: 'nobody',
    why: 'brokers sign with the new version only when verifiers know it',
  },
  { path: 'transit/keys/postern/config', worst: '`exportable`', body: { exportable: true }, by: 'policy', why: 'not named' },
  {
    path: 'transit/keys/postern/config',
    worst: 'only the newest version stays',
    body: { min_decryption_version: 1 },
    by: 'nobody',
    why: 'services refuse tokens signed before: an outage of minutes, which disabling every tenant is too; no token is made by it',
  },
];

export const GAINS: Readonly<Record<Limit['by'], string>> = {
  policy: "Vault's policy",
  Vault: 'Vault',
  nobody: 'accepted',
};

/** The table of docs/operator-limits.md. */
export function table(): string {
  const rows = LIMITS.map(
    ({ path, worst, by, onOpenBao, why }) =>
      `| \`${path.replace('acme', '<t>')}\` | ${worst} | ${GAINS[by]}${onOpenBao ? `; on OpenBao: ${GAINS[onOpenBao]}` : ''} | ${why} |`,
  );
  return ['| path | worst value | refused by | what it comes to |', '| --- | --- | --- | --- |', ...rows].join('\n');
}
