import { afterAll, beforeAll, expect, test } from 'vitest';
import { type PolicyFixture, startPolicyFixture } from './policy.fixture.ts';

/*
 * 500 and more paths that nobody thought of one by one: Vault itself says what the machine identities could do there. Only
 * the listed ones may be anything but `deny`.
 */

let vault: PolicyFixture;
beforeAll(async () => {
  vault = await startPolicyFixture();
});
afterAll(() => vault?.stop());

const granted: Record<'tenant' | 'broker', Record<string, string[]>> = {
  tenant: {
    'postern/data/tenants/acme': ['read'],
    'postern-tokens/data/acme/orders': ['read'],
    'postern-tokens/data/acme/billing': ['read'],
    'postern-tokens/data/acme/orders/3f2a': ['read'],
    'auth/token/lookup-self': ['read'],
  },
  broker: {
    'postern/data/apis/orders': ['read'],
    'postern/data/apis/billing': ['read'],
    // `+` matches an empty segment too; nothing lies there.
    'postern/data/apis/': ['read'],
    'postern/metadata/apis': ['list'],
    'postern/metadata/apis/': ['list'],
    'postern/data/state/catalog': ['read'],
    'postern/data/state/ended': ['read'],
    'postern/data/state/epoch': ['read'],
    'postern-tokens/metadata/acme/orders': ['read'],
    'postern/data/upstream/auth0': ['read'],
    'transit/keys/postern': ['read'],
    'transit/sign/postern': ['update'],
    'transit/sign/postern/sha2-256': ['update'],
    'auth/token/lookup-self': ['read'],
    'auth/token/renew-self': ['update'],
    'auth/token/revoke-self': ['update'],
    // Of a secret_id that it must have, and of no other role.
    'auth/approle-broker/role/broker/secret-id/lookup': ['update'],
  },
};

test.each(['tenant', 'broker'] as const)('%s: 500 paths, no capability that was not meant', async (identity) => {
  const paths = probes();
  expect(paths.length).toBeGreaterThanOrEqual(500);
  const { data } = await vault.root('POST', 'sys/capabilities', { token: vault.tokens[identity], paths });
  const unexpected = paths.flatMap((path) => {
    const found = [...(data[path] as string[])].sort();
    return JSON.stringify(found) === JSON.stringify(expected(identity, path)) ? [] : [`${path}: ${found.join(', ')}`];
  });
  expect(unexpected).toEqual([]);
  // The probe must be able to see what is granted, or all of it would prove nothing.
  for (const path of Object.keys(granted[identity])) expect(data[path], path).toEqual(granted[identity][path]);
});

function expected(identity: 'tenant' | 'broker', path: string): string[] {
  const exact = granted[identity][path];
  if (exact) return exact;
  if (identity === 'tenant' && path.startsWith('postern-tokens/data/acme/')) return ['read'];
  // The broker fills every tenant's cache; it reads none of it.
  if (identity === 'broker' && path.startsWith('postern-tokens/data/')) return ['create', 'update'];
  // Their versions, for check-and-set: no token is in the metadata, and no name is listed.
  if (identity === 'broker' && /^postern-tokens\/metadata\/[^/]*\/[^/]*$/.test(path)) return ['read'];
  return ['deny'];
}

function probes(): string[] {
  const tenants = [
    'acme',
    'acme-2',
    'acm',
    'acme2',
    'globex',
    'ACME',
    'acme.',
    'acme%',
    '+',
    '*',
    '..',
    'acme/..',
    'acme/../globex',
    'root',
    'broker',
  ];
  const apis = ['orders', 'billing', 'orders/3f2a', '..', '+', '*'];
  const kinds = ['data', 'metadata', 'delete', 'undelete', 'destroy', 'subkeys'];
  const documents = [
    'apis',
    'apis/',
    'apis/orders',
    'apis/billing',
    'apis/orders/x',
    'state',
    'state/catalog',
    'state/ended',
    'state/epoch',
    'state/other',
    'upstream',
    'upstream/auth0',
    'upstream/auth0/x',
    'upstream/other',
    '',
  ];
  const roleParts = [
    '',
    '/role-id',
    '/secret-id',
    '/secret-id/lookup',
    '/secret-id/destroy',
    '/secret-id-accessor/lookup',
    '/secret-id-accessor/destroy',
    '/custom-secret-id',
    '/policies',
    '/period',
    '/token-ttl',
    '/bind-secret-id',
  ];
  const transit = [
    'sign',
    'verify',
    'encrypt',
    'decrypt',
    'rewrap',
    'hmac',
    'export/signing-key',
    'backup',
    'restore',
    'datakey/plaintext',
    'keys',
    'wrapping_key',
    'random',
    'hash',
    'cache-config',
  ];
  const system = [
    'mounts',
    'auth',
    'audit',
    'audit-hash/postern',
    'policy',
    'policy/postern-tenant',
    'policies/acl',
    'policies/acl/root',
    'policies/acl/postern-tenant',
    'policies/acl/postern-broker',
    'seal',
    'unseal',
    'step-down',
    'rotate',
    'rekey/init',
    'generate-root/attempt',
    'leader',
    'health',
    'host-info',
    'metrics',
    'monitor',
    'pprof',
    'in-flight-req',
    'raw/core/keyring',
    'remount',
    'leases/lookup',
    'leases/revoke',
    'leases/revoke-prefix/auth',
    'leases/tidy',
    'capabilities',
    'capabilities-self',
    'capabilities-accessor',
    'tools/random',
    'wrapping/wrap',
    'wrapping/unwrap',
    'plugins/catalog',
    'plugins/reload/backend',
    'config/auditing/request-headers',
    'config/cors',
    'config/ui/headers',
    'config/state/sanitized',
    'quotas/config',
    'quotas/rate-limit',
    'quotas/rate-limit/postern-approle',
    'auth/approle',
    'auth/approle/tune',
    'auth/approle-broker/tune',
    'mounts/postern',
    'mounts/postern/tune',
    'mounts/postern-tokens',
    'internal/ui/mounts',
    'internal/ui/resultant-acl',
    'internal/counters/activity',
    'storage/raft/configuration',
    'storage/raft/snapshot',
    'replication/status',
    'namespaces',
    'locked-users',
    'experiments',
    'key-status',
    'init',
    'control-group/request',
    'sync/destinations',
    'license/status',
  ];
  const identity = [
    'entity',
    'entity/id',
    'entity/id/x',
    'entity/name/acme',
    'entity/merge',
    'entity/batch-delete',
    'entity-alias',
    'entity-alias/id',
    'entity-alias/id/x',
    'group',
    'group/id',
    'group/name/x',
    'group-alias',
    'lookup/entity',
    'lookup/group',
    'oidc/config',
    'oidc/key/x',
    'oidc/role/x',
    'oidc/token/x',
    'oidc/provider/default/authorize',
    'mfa/method',
    'persona',
  ];
  const token = [
    'create',
    'create-orphan',
    'create/x',
    'lookup',
    'lookup-self',
    'lookup-accessor',
    'renew',
    'renew-self',
    'renew-accessor',
    'revoke',
    'revoke-self',
    'revoke-accessor',
    'revoke-orphan',
    'accessors',
    'roles',
    'roles/x',
    'tidy',
  ];
  return [
    ...new Set([
      ...tenants.flatMap((tenant) => kinds.map((kind) => `postern/${kind}/tenants/${tenant}`)),
      ...tenants.flatMap((tenant) => apis.flatMap((api) => ['data', 'metadata'].map((kind) => `postern-tokens/${kind}/${tenant}/${api}`))),
      ...documents.flatMap((name) => kinds.map((kind) => `postern/${kind}/${name}`)),
      ...['acme', 'globex', 'broker', 'own'].flatMap((role) =>
        roleParts.flatMap((part) => ['approle', 'approle-broker'].map((mount) => `auth/${mount}/role/${role}${part}`)),
      ),
      ...transit.flatMap((operation) =>
        ['postern', 'own', 'postern/sha2-256', 'postern/sha2-512', 'postern/rotate', 'postern/config', 'postern/trim'].map(
          (key) => `transit/${operation}/${key}`,
        ),
      ),
      ...system.map((path) => `sys/${path}`),
      ...identity.map((path) => `identity/${path}`),
      ...token.map((path) => `auth/token/${path}`),
      ...[
        'postern/config',
        'postern-tokens/config',
        'postern',
        'postern/',
        'postern-tokens',
        'auth',
        'auth/',
        'sys',
        'identity',
        'cubbyhole/own',
        'secret/data/other',
        'secret/metadata/other',
        'auth/oidc/config',
        'auth/oidc/role/operator',
        'auth/approle/tidy/secret-id',
        '',
      ].filter(Boolean),
    ]),
  ];
}
