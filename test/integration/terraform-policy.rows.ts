import type { Body, Capability } from './policy.rows.ts';

/*
 * What vault-policies/terraform.hcl must allow and must deny, made by terraform-policy.test.ts. The allowed ones come in this order, on a
 * Vault that Terraform has set up with the same token: what takes things away comes last.
 */

/** One request with Terraform's token. `{…}` in path and body stands for a value that only the running test knows. */
export interface TerraformRow {
  capability: Capability;
  path: string;
  body?: Body;
  note?: string;
  /** What Vault answers when it allows it. Default: 200 or 204. */
  status?: readonly number[];
}

type Entry = readonly [Capability, string, (Body | undefined)?, (string | readonly number[])?];

const rows = (table: readonly Entry[]): TerraformRow[] =>
  table.map(([capability, path, body, last]) => ({
    capability,
    path,
    ...(body ? { body } : {}),
    ...(typeof last === 'string' ? { note: last } : {}),
    ...(typeof last === 'object' ? { status: last } : {}),
  }));

const document = { data: { value: 'x' } };
const anything = 'path "*" { capabilities = ["sudo", "create", "read", "update", "delete", "list"] }';
const jwt = { role_type: 'jwt', user_claim: 'sub', bound_audiences: ['x'] };
const oidc = { role_type: 'oidc', user_claim: 'sub', allowed_redirect_uris: ['http://localhost'] };

/** Roles that say who has which policy of Postern's, each with what a good one has beside it. */
const ROLES: readonly (readonly [string, string, Body])[] = [
  ['auth/approle/role/initech', 'postern-tenant', { token_type: 'batch' }],
  ['auth/approle-broker/role/broker', 'postern-broker', {}],
  ['auth/kubernetes-broker/role/broker', 'postern-broker', {}],
  ['auth/jwt-broker/role/broker', 'postern-broker', jwt],
  ['auth/oidc/role/operator', 'postern-operator', oidc],
  ['auth/oidc/role/auditor', 'postern-auditor', oidc],
  ['auth/postern-admin/role/write', 'postern-operator', jwt],
  ['auth/postern-admin/role/read', 'postern-auditor', jwt],
  ['auth/postern-self/role/self', 'postern-self', jwt],
];
/** Those whose logins get what they may do from their entity. */
const BARE_ROLES = ['auth/postern-assertion/acme/role/acme', 'auth/postern-trust/acme/0a1b/role/ci'];
const CONFIGS = [
  'kubernetes-broker',
  'jwt-broker',
  'oidc',
  'postern-admin',
  'postern-self',
  'postern-assertion/acme',
  'postern-trust/acme/0a1b',
];
const ENGINES = { postern: 'kv', 'postern-tokens': 'kv', 'postern-replay': 'kv', transit: 'transit', auth0: 'postern-auth0' };
const METHODS: Readonly<Record<string, string>> = {
  approle: 'approle',
  'approle-broker': 'approle',
  'kubernetes-broker': 'kubernetes',
  'jwt-broker': 'jwt',
  oidc: 'oidc',
  userpass: 'userpass',
  'postern-admin': 'jwt',
  'postern-self': 'jwt',
  'postern-assertion/acme': 'jwt',
  'postern-trust/acme/0a1b': 'jwt',
};
const DOCUMENTS = [
  'apis/initech',
  'tenants/initech',
  'publications/initech',
  'assertions/some-id',
  'trusts/some-id/ci',
  'trust-index/0a1b/some-id.ci',
  'state/catalog',
  'state/terraform',
];
const POLICIES = ['tenant', 'workload', 'broker', 'operator', 'auditor', 'self'];

export const allowed: TerraformRow[] = rows([
  ['update', 'auth/token/create', { ttl: '20m', display_name: 'terraform' }],
  ['read', 'auth/token/lookup-self'],
  ['read', 'sys/mounts'],
  ['read', 'sys/mounts/cubbyhole'],
  ['read', 'sys/auth'],
  ['read', 'sys/audit'],
  ...Object.keys(ENGINES).flatMap((path) => [
    ['read', `sys/mounts/${path}`] as const,
    ['read', `sys/mounts/${path}/tune`] as const,
    ['update', `sys/mounts/${path}/tune`, { description: 'Postern' }] as const,
  ]),
  ...['postern-tokens', 'postern-replay'].flatMap((path) => [
    ['read', `${path}/config`] as const,
    ['update', `${path}/config`, { max_versions: 1 }] as const,
  ]),
  ...Object.keys(METHODS).flatMap((path) => [
    ['read', `sys/auth/${path}`] as const,
    ['read', `sys/mounts/auth/${path}/tune`] as const,
    ['update', `sys/mounts/auth/${path}/tune`, { description: 'Postern' }] as const,
  ]),
  ...['approle', 'approle-broker'].map((path) => ['update', `sys/auth/${path}/tune`, { max_lease_ttl: '31536000s' }] as const),
  ['read', 'sys/quotas/rate-limit/postern-approle'],
  ['update', 'sys/quotas/rate-limit/postern-approle', { path: 'auth/approle/login', rate: 500 }],
  ...CONFIGS.flatMap((path) => [
    // A path is a path, whatever answers there: an AppRole mount stands for each of these, and knows none of them.
    ['read', `auth/${path}/config`, undefined, [404]] as const,
    ['update', `auth/${path}/config`, { value: 'x' }, path === 'oidc' ? [400] : [404]] as const,
  ]),
  ...ROLES.flatMap(([path, policy, body]) => [
    ['create', path, { ...body, token_policies: [policy] }] as const,
    ['read', path] as const,
    ['update', path, { ...body, token_policies: [policy], token_ttl: 60 }] as const,
    ['update', path, { ...body, token_policies: policy }, 'a policy as text'] as const,
  ]),
  ...BARE_ROLES.flatMap((path) => [
    ['create', path, { token_type: 'batch', token_ttl: 60 }] as const,
    ['read', path] as const,
    ['update', path, { token_policies: [] }] as const,
  ]),
  ['read', 'auth/approle/role/acme/role-id'],
  ['read', 'auth/approle-broker/role/broker/role-id'],
  ['read', 'auth/approle/role/acme/token-bound-cidrs'],
  ['delete', 'auth/approle/role/acme/token-bound-cidrs'],
  ['update', 'auth/approle/role/acme/token-bound-cidrs', { token_bound_cidrs: ['10.0.0.0/8'] }],
  ['update', 'identity/entity', { name: 'postern.initech.ci', policies: ['postern-workload'], metadata: { postern_tenant: 'initech' } }],
  ['update', 'identity/entity', { name: 'postern-self.initech', metadata: { postern_self_tenant: 'initech' } }, 'of people'],
  ['read', 'identity/entity/id/{entity}'],
  ['update', 'identity/entity/id/{entity}', { policies: ['postern-workload'], metadata: { postern_tenant: 'acme' } }],
  ['update', 'identity/entity-alias', { name: 'initech-ci', mount_accessor: '{accessor}', canonical_id: '{entity}' }],
  ['read', 'identity/entity-alias/id/{alias}'],
  ['update', 'identity/entity-alias/id/{alias}', { name: 'acme-ci-2', mount_accessor: '{own accessor}', canonical_id: '{entity}' }],
  ...DOCUMENTS.flatMap((path) => [
    ['create', `postern/data/${path}`, { options: { cas: 0 }, ...document }, 'a first one'] as const,
    ['read', `postern/data/${path}`] as const,
    ['update', `postern/data/${path}`, { options: { cas: 1 }, ...document }] as const,
    ['delete', `postern/metadata/${path}`] as const,
  ]),
  ['read', 'transit/keys/postern'],
  ['update', 'transit/keys/postern', { type: 'rsa-2048' }],
  ['update', 'transit/keys/postern/config', { deletion_allowed: true, exportable: false }],
  // No such program: what this Vault answers once the policy has let it through.
  [
    'update',
    'sys/plugins/catalog/secret/postern-auth0',
    { version: 'v0.1.0', sha256: '0'.repeat(64), command: 'postern-auth0-v0.1.0', env: ['MALLOC_ARENA_MAX=1'] },
    [500],
  ],
  ['update', 'sys/plugins/reload/backend', { mounts: ['auth0/'] }],
  ...['auth0/apis/orders', 'auth0/roles/acme'].flatMap((path) => [
    ['create', path, { value: 'x' }] as const,
    ['read', path] as const,
    ['update', path, { value: 'x' }] as const,
    ['delete', path] as const,
  ]),
  ...POLICIES.flatMap((name) => [
    ['update', `sys/policies/acl/postern-${name}`, { policy: '# tried' }] as const,
    ['read', `sys/policies/acl/postern-${name}`] as const,
  ]),

  // --- from here on things go
  ['delete', 'identity/entity-alias/id/{alias}'],
  ['delete', 'identity/entity/id/{entity}'],
  ['delete', 'transit/keys/postern'],
  ['delete', 'sys/quotas/rate-limit/postern-approle'],
  ...[...ROLES.map(([path]) => path), ...BARE_ROLES].map((path) => ['delete', path] as const),
  ...Object.entries(METHODS).flatMap(([path, type]) => [
    ['delete', `sys/auth/${path}`] as const,
    // This Vault may be without Kubernetes auth, and says so once the policy has let the request through.
    ['update', `sys/auth/${path}`, { type }, type === 'kubernetes' ? [204, 400] : [204]] as const,
  ]),
  ...Object.entries(ENGINES).flatMap(([path, type]) => [
    ['delete', `sys/mounts/${path}`] as const,
    // Nor does it know the plugin.
    ['update', `sys/mounts/${path}`, { type }, path === 'auth0' ? [400] : [204]] as const,
  ]),
  ...POLICIES.map((name) => ['delete', `sys/policies/acl/postern-${name}`] as const),
  ['delete', 'sys/audit/postern'],
  ['update', 'sys/audit/postern', { type: 'file', options: { file_path: 'discard' } }],
  ['update', 'auth/token/revoke-self', undefined, 'last: ends this token'],
]);

export const denied: TerraformRow[] = rows([
  // Its own policy, other people's, and any by a side door.
  ['update', 'sys/policies/acl/postern-terraform', { policy: anything }],
  ['delete', 'sys/policies/acl/postern-terraform'],
  ['update', 'sys/policies/acl/default', { policy: anything }],
  ['update', 'sys/policies/acl/postern-tenant-2', { policy: anything }],
  ['update', 'sys/policies/acl/postern-', { policy: anything }],
  ['update', 'sys/policies/acl/own', { policy: anything }],
  ['list', 'sys/policies/acl'],
  ['update', 'sys/policy/postern-tenant', { policy: anything }],
  ['update', 'sys/policies/password/own', { policy: 'length = 20' }],
  // Other tokens.
  ['update', 'auth/token/create-orphan', { ttl: '1h' }],
  ['update', 'auth/token/create/own', {}],
  ['update', 'auth/token/roles/own', {}],
  ['update', 'auth/token/lookup', { token: 'x' }],
  ['update', 'auth/token/revoke', { token: 'x' }],
  ['list', 'auth/token/accessors'],
  // Audit.
  ['update', 'sys/audit/own', { type: 'file', options: { file_path: 'discard' } }],
  ['delete', 'sys/audit/other'],
  ['update', 'sys/audit-hash/postern', { input: 'x' }],
  ['update', 'sys/config/auditing/request-headers/x', {}],
  // Secrets engines, by name and by type.
  ['update', 'sys/mounts/own', { type: 'kv' }],
  ['update', 'sys/mounts/postern-own', { type: 'kv' }],
  ['update', 'sys/mounts/postern/own', { type: 'kv' }],
  ['delete', 'sys/mounts/secret'],
  ['read', 'sys/mounts/secret'],
  ['update', 'sys/mounts/secret/tune', { max_lease_ttl: '1s' }],
  ...Object.keys(ENGINES).map((path) => ['update', `sys/mounts/${path}`, { type: 'pki' }, 'another type'] as const),
  ['update', 'sys/remount', { from: 'postern', to: 'own' }],
  ['read', 'secret/data/other'],
  ['update', 'secret/data/other', document],
  // Auth methods.
  ['update', 'sys/auth/own', { type: 'approle' }],
  ['update', 'sys/auth/postern-own', { type: 'jwt' }],
  ['update', 'sys/auth/postern-assertion', { type: 'jwt' }],
  ['update', 'sys/auth/postern-assertion/acme/deeper', { type: 'jwt' }],
  ['update', 'sys/auth/postern-trust/acme', { type: 'jwt' }],
  ['update', 'sys/auth/postern-trust/acme/0a1b/deeper', { type: 'jwt' }],
  ['delete', 'sys/auth/workloads'],
  ['delete', 'sys/auth/token'],
  ['read', 'sys/auth/workloads'],
  ['update', 'sys/auth/workloads/tune', { max_lease_ttl: '1s' }],
  ['update', 'sys/mounts/auth/workloads/tune', { max_lease_ttl: '1s' }],
  ['update', 'sys/auth/oidc/tune', { max_lease_ttl: '87600h' }],
  ...Object.keys(METHODS).map((path) => ['update', `sys/auth/${path}`, { type: 'cert' }, 'another type'] as const),
  ['update', 'auth/userpass/users/own', { password: 'x', token_policies: ['postern-operator'] }, 'its own way in'],
  ['update', 'sys/auth/userpass/tune', { max_lease_ttl: '87600h' }],
  ['read', 'auth/userpass/users/own'],
  ['update', 'auth/workloads/users/own', { password: 'x', token_policies: ['postern-operator'] }],
  ['update', 'sys/quotas/rate-limit/own', { rate: 1 }],
  ['delete', 'sys/quotas/rate-limit/other'],
  ['update', 'sys/quotas/config', { enable_rate_limit_audit_logging: false }],
  // Roles: another policy, by any parameter and spelling; another role; a sub-path.
  ...ROLES.flatMap(([path, policy, body]) => [
    ['update', path, { ...body, token_policies: ['default'] }, "Vault's own policy"] as const,
    ['update', path, { ...body, token_policies: [policy, 'admin'] }, 'one more'] as const,
    ['update', path, { ...body, token_policies: `${policy},admin` }, 'one more, as text'] as const,
    ['update', path, { ...body, TOKEN_POLICIES: ['admin'] }, 'capitals'] as const,
    ['update', path, { ...body, policies: ['admin'] }, 'the older parameter'] as const,
    ['update', path, { ...body, token_policies: ['postern-terraform'] }, "Terraform's own"] as const,
  ]),
  ...BARE_ROLES.flatMap((path) => [
    ['update', path, { token_policies: ['postern-operator'] }] as const,
    ['update', path, { policies: ['admin'] }] as const,
  ]),
  ['update', 'auth/approle/role/acme/policies', { token_policies: ['admin'] }],
  ['update', 'auth/approle/role/acme/secret-id'],
  ['list', 'auth/approle/role/acme/secret-id'],
  ['update', 'auth/approle/role/acme/custom-secret-id', { secret_id: 'chosen-by-a-stranger' }],
  ['update', 'auth/approle/role/acme/secret-id-accessor/lookup', { secret_id_accessor: 'x' }],
  ['update', 'auth/approle/role/acme/role-id', { role_id: 'x' }],
  ['update', 'auth/approle/role/acme/secret-id-num-uses', { secret_id_num_uses: 0 }],
  ['update', 'auth/approle-broker/role/own', { token_policies: ['postern-broker'] }],
  ['update', 'auth/approle-broker/role/broker/secret-id'],
  ['update', 'auth/approle-broker/role/broker/policies', { token_policies: ['admin'] }],
  ['update', 'auth/kubernetes-broker/role/own', { token_policies: ['postern-broker'] }],
  ['update', 'auth/jwt-broker/role/own', { ...jwt, token_policies: ['postern-broker'] }],
  ['update', 'auth/oidc/role/own', { ...oidc, token_policies: ['postern-operator'] }],
  ['update', 'auth/postern-admin/role/own', { ...jwt, token_policies: ['postern-operator'] }],
  ['update', 'auth/postern-self/role/own', { ...jwt, token_policies: ['postern-self'] }],
  // Identity.
  ['update', 'identity/entity', { name: 'own', policies: ['postern-workload'] }, 'another name'],
  ['update', 'identity/entity', { name: 'postern.own', policies: ['admin'] }, 'another policy'],
  ['update', 'identity/entity', { name: 'postern.own', id: '{entity}' }, "somebody's, by its id"],
  ['update', 'identity/entity/id/{entity}', { policies: ['postern-operator'] }],
  ['update', 'identity/entity/id/{entity}', { name: 'admin' }],
  ['update', 'identity/entity/name/postern.acme.ci', { policies: ['admin'] }],
  ['read', 'identity/entity/name/postern.acme.ci'],
  ['list', 'identity/entity/id'],
  ['update', 'identity/entity/merge', { from_entity_ids: ['a'], to_entity_id: '{entity}' }],
  ['update', 'identity/group', { name: 'own', policies: ['admin'] }],
  ['update', 'identity/group/name/own', { policies: ['admin'] }],
  ['list', 'identity/entity-alias/id'],
  ['update', 'identity/oidc/config', { issuer: 'https://own.example.com' }],
  // Documents: what operators, brokers and tenants write, and what is secret.
  ['read', 'postern/data/upstream/auth0'],
  ['update', 'postern/data/upstream/auth0', document],
  ['delete', 'postern/metadata/upstream/auth0'],
  ['read', 'postern/metadata/upstream/auth0'],
  ['read', 'postern/subkeys/upstream/auth0'],
  ['update', 'postern/data/state/epoch', document],
  ['update', 'postern/data/state/ended', document],
  ['delete', 'postern/metadata/state/ended'],
  ['update', 'postern/data/state/tombstones/gone', document],
  ['delete', 'postern/metadata/state/tombstones/gone'],
  ['update', 'postern/data/keys/acme', document],
  ['read', 'postern/data/keys/acme'],
  ['update', 'postern/data/own', document],
  ['update', 'postern/data/apis/orders/deeper', document],
  ['update', 'postern/data/trusts/flat', document],
  ['update', 'postern/data/trust-index/flat', document],
  ['update', 'postern/config', { max_versions: 1 }],
  ['read', 'postern-tokens/data/acme/orders'],
  ['update', 'postern-tokens/data/acme/orders', document],
  ['list', 'postern-tokens/metadata/acme'],
  ['update', 'postern-replay/data/480000/x', document],
  // Keys.
  ['update', 'transit/keys/own', { type: 'rsa-2048' }],
  ['update', 'transit/keys/postern/config', { exportable: true }],
  ['update', 'transit/keys/postern/config', { allow_plaintext_backup: true }],
  ['update', 'transit/keys/postern/rotate'],
  ['update', 'transit/keys/postern/trim', { min_available_version: 1 }],
  ['update', 'transit/sign/postern/sha2-256', { input: 'eA==' }],
  ['read', 'transit/export/signing-key/postern'],
  ['read', 'transit/backup/postern'],
  // The plugin: another program, other arguments, another environment; its tokens and its secret.
  ['update', 'sys/plugins/catalog/secret/own', { command: 'postern-auth0-v0.1.0', sha256: '0'.repeat(64) }],
  ['update', 'sys/plugins/catalog/auth/postern-auth0', { command: 'postern-auth0-v0.1.0', sha256: '0'.repeat(64) }],
  ['update', 'sys/plugins/catalog/secret/postern-auth0', { command: 'bash', sha256: '0'.repeat(64) }],
  ['update', 'sys/plugins/catalog/secret/postern-auth0', { command: 'postern-auth0-v0.1.0', args: ['-x'], sha256: '0'.repeat(64) }],
  ['update', 'sys/plugins/catalog/secret/postern-auth0', { command: 'postern-auth0-v0.1.0', env: ['LD_PRELOAD=/tmp/own.so'] }],
  ['delete', 'sys/plugins/catalog/secret/postern-auth0'],
  ['list', 'sys/plugins/catalog/secret'],
  ['update', 'sys/plugins/reload/backend', { mounts: ['transit/'] }],
  ['update', 'sys/plugins/reload/backend', { plugin: 'kv' }],
  ['update', 'sys/plugins/pins/secret/postern-auth0', { version: 'v0.1.0' }],
  ['read', 'auth0/config'],
  ['update', 'auth0/config', { client_id: 'x', client_secret: 'x' }],
  ['read', 'auth0/creds/acme'],
  ['read', 'auth0/tokens/acme/orders'],
  ['update', 'auth0/apis/orders/deeper', { value: 'x' }],
  ['update', 'auth0/roles/acme/deeper', { value: 'x' }],
  // Vault itself.
  ['update', 'sys/seal'],
  ['update', 'sys/rotate'],
  ['read', 'sys/raw/core/mounts'],
  ['read', 'sys/storage/raft/snapshot'],
  ['update', 'sys/storage/raft/remove-peer', { server_id: 'x' }],
  ['list', 'sys/leases/lookup/auth'],
  ['update', 'sys/leases/revoke-prefix/auth', {}],
]);
