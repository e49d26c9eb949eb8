import { UPSTREAM_PATH, signingKeyPath } from '#broker/mounts.ts';
import type { Mounts } from '#broker/mounts.ts';

type Capability = 'create' | 'read' | 'update' | 'delete' | 'list';

/** Something that people do with Postern, and what Vault must allow for it. */
export interface Duty {
  readonly name: string;
  /** For people, after "you may". */
  readonly words: string;
  /** All of them. Vault judges a path, not whether there is something: `some-tenant` stands for any. */
  readonly needs: readonly (readonly [path: string, capability: Capability])[];
  /** Nobody needs it for daily work: told where it is allowed, and left out where not. */
  readonly excessive?: true;
}

const TENANT = 'some-tenant';

/** From looking to what nobody should be able to. Which policy allows what: `vault-policies/`. */
export function dutiesOf(mounts: Mounts): readonly Duty[] {
  const { approle, kv, tokens, trust, policyPrefix } = mounts;
  const upstream = `${kv}/data/${UPSTREAM_PATH}`;
  const role = `auth/${approle}/role/${TENANT}`;
  return [
    {
      name: 'see_tenants',
      words: 'see tenants, their grants and who holds which credential',
      needs: [
        [`auth/${approle}/role`, 'list'],
        [role, 'read'],
        [`${kv}/data/tenants/${TENANT}`, 'read'],
        [`${role}/secret-id`, 'list'],
      ],
    },
    {
      name: 'look_at_vault',
      words: 'have `postern doctor` look at mounts, policies and the audit',
      needs: [
        ['sys/mounts', 'read'],
        ['sys/auth', 'read'],
        ['sys/audit', 'read'],
        [`sys/policies/acl/${policyPrefix}operator`, 'read'],
      ],
    },
    {
      name: 'manage_tenants',
      words: 'make, change, disable and delete tenants',
      needs: [
        [role, 'create'],
        [role, 'delete'],
        [`${kv}/data/tenants/${TENANT}`, 'update'],
        [`${kv}/data/tenants/${TENANT}`, 'delete'],
      ],
    },
    { name: 'issue_credentials', words: 'issue secret_ids and API keys', needs: [[`${role}/secret-id`, 'update']] },
    {
      name: 'revoke_credentials',
      words: 'revoke them on every broker',
      needs: [
        [`${role}/secret-id-accessor/destroy`, 'update'],
        [`${kv}/data/state/ended`, 'update'],
        [`${kv}/data/state/epoch`, 'update'],
      ],
    },
    {
      name: 'manage_trusts',
      words: 'write which workloads of an issuer are a tenant',
      needs: [
        [`auth/${trust}/some-issuer/${TENANT}/role/ci`, 'create'],
        [`${kv}/data/trusts/${TENANT}/ci`, 'create'],
      ],
    },
    { name: 'set_upstream', words: "set the shared Auth0 application's secret", needs: [[upstream, 'update']] },
    { name: 'rotate_signing_key', words: 'rotate the signing key', needs: [[`${signingKeyPath(mounts)}/rotate`, 'update']] },
    { name: 'drop_cached_tokens', words: 'throw cached tokens away', needs: [[`${tokens}/metadata/${TENANT}/some-api`, 'delete']] },
    {
      name: 'read_upstream',
      words: "read the shared Auth0 application's secret",
      needs: [[upstream, 'read']],
      excessive: true,
    },
    {
      name: 'read_tokens',
      words: "read tenants' access tokens",
      needs: [[`${tokens}/data/${TENANT}/some-api`, 'read']],
      excessive: true,
    },
    {
      name: 'write_policies',
      words: 'write policies, and with that give itself everything',
      needs: [[`sys/policies/acl/${policyPrefix}operator`, 'update']],
      excessive: true,
    },
  ];
}
