import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { planTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { startVault, type VaultFixture } from '#test/fixture/vault.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';

/* What terraform/ says to variables that are wrong: all faults at once, each in words that name what to mend. */

const apis = { orders: { audience: 'https://orders.example.com', source: 'auth0', scopes: ['read:orders'] } };
const grant = { api: 'orders', scopes: ['read:orders'] };

let vault: VaultFixture;
let vaultToken: string;
let stateDirectory: string;

beforeAll(async () => {
  vault = await startVault();
  vaultToken = await terraformToken(vault);
  stateDirectory = await mkdtemp(join(tmpdir(), 'postern-variables-'));
});

afterAll(async () => {
  await vault?.stop();
  if (stateDirectory) await rm(stateDirectory, { recursive: true, force: true });
});

const plan = (variables: Record<string, unknown>, more: { environment?: Record<string, string>; variableFiles?: string[] } = {}) =>
  planTerraform({ vaultAddress: vault.address, vaultToken, stateDirectory, variables, ...more });

/** Terraform's messages as one line of text: it breaks them at the terminal's width. */
async function refusal(variables: Record<string, unknown>): Promise<string> {
  const error = await plan({ apis, ...variables }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ name: 'PosternError', code: 'misconfigured' });
  return (error as Error).message.replaceAll(/\s+/g, ' ');
}

test.each<[string, Record<string, unknown>, string[]]>([
  [
    'tenants',
    {
      tenants: {
        Acme: {},
        '-acme': {},
        'acme/globex': {},
        ['a'.repeat(64)]: {},
        broker: {},
        twice: { grants: [grant, grant] },
        defaulting: { default_api: 'orders' },
        organized: { organization: 'acme' },
        claiming: { claims: { plan: 'gold' } },
        binding: { claims: { 'https://postern.dev/tenant': 'globex' } },
        bound: { cidrs: ['10.0.0.0/33'] },
        octal: { cidrs: ['010.0.0.0/8'] },
        fenced: { vault_cidrs: ['10.0.0'] },
        none: { limits: { per_minute: 0 } },
        both: { quota: { monthly: 5, share: 0.1 } },
        half: { quota: { monthly: 5.5 } },
        whole: { quota: { share: 5 } },
        bursting: { limits: { per_day: 10, burst: 5 } },
        short: { token_ttl: 5 },
        long: { token_ttl: 86_400 },
        split: { token_ttl: 60.5 },
        ancient: { secret_id_ttl: 99_999_999 },
        negative: { secret_id_num_uses: -1 },
        calling: { workloads: { 'a.b': { accessor: 'auth_jwt_1', alias: 'x' } } },
        guessing: { workloads: { ci: { accessor: 'kubernetes/', alias: 'x' } } },
        sharing: { workloads: { one: { accessor: 'auth_jwt_1', alias: 'x' }, two: { accessor: 'auth_jwt_1', alias: 'x' } } },
        telling: { assertion_keys: [{ pem: '-----BEGIN PRIVATE KEY-----\nx' }] },
        crowded: { assertion_keys: Array.from({ length: 11 }, () => ({ pem: '-----BEGIN PUBLIC KEY-----\nx' })) },
        unnamed: { assertion_keys: [{ pem: '-----BEGIN PUBLIC KEY-----\nx', kid: '' }] },
      },
    },
    [
      `"Acme" can't be a tenant's id: it is 1 to 63 lower-case letters, digits and hyphens`,
      `"-acme" can't be a tenant's id`,
      `"acme/globex" can't be a tenant's id`,
      `"${'a'.repeat(64)}" can't be a tenant's id`,
      `"broker" is a reserved word and can't be a tenant's id`,
      'Tenant twice has two grants for one API',
      'Tenant defaulting has a default_api that it has no grant for',
      'Tenant organized: organization is an Auth0 organization id',
      `Tenant claiming: a claim's name is a namespaced URI`,
      'Tenant binding: the claim https://postern.dev/tenant binds a token to its tenant',
      "Tenant calling: a workload's name is 1 to 63 lower-case letters, digits and hyphens",
      'Tenant guessing: a workload has the accessor of an auth mount',
      'Tenant sharing has two workloads with the same alias',
      'Tenant telling: assertion_keys are public keys in PEM. A private key belongs to the tenant alone',
      'Tenant crowded has more than 10 assertion_keys',
      'Tenant unnamed: a kid has 1 to 255 characters',
      'Tenant bound: cidrs are blocks of addresses',
      'Tenant fenced: vault_cidrs are blocks of addresses',
      'Tenant none: limits are whole numbers of requests, 1 at least',
      'Tenant both: quota has either monthly',
      'Tenant half: quota.monthly is a whole number of tokens',
      'Tenant whole: quota.share is above 0 and at most 1',
      'Tenant bursting: limits.burst is what may go beyond limits.per_second',
      'Tenant short: token_ttl is a whole number of seconds from 30 to 3600',
      'Tenant long: token_ttl is',
      'Tenant split: token_ttl is',
      'Tenant ancient: secret_id_ttl is 0 (until revoked) or a whole number of seconds from 60 to 31536000',
      'Tenant negative: secret_id_num_uses is 0 (no limit) or a whole number of logins',
    ],
  ],
  [
    'grants of what there is not',
    {
      tenants: {
        acme: { grants: [{ api: 'billing' }] },
        globex: { grants: [{ api: 'orders', scopes: ['read:orders', 'write:orders'] }] },
        hooli: { introspects: ['orders', 'billing'] },
      },
    },
    [
      `Tenant hooli introspects an API that isn't among the apis: billing.`,
      `Tenant acme is granted an API that isn't among the apis: billing.`,
      `Tenant globex is granted scopes that the API doesn't have: write:orders on orders.`,
    ],
  ],
  [
    'apis',
    {
      apis: {
        Orders: { audience: 'orders', source: 'okta', scopes: ['read orders'], lifetime: 5, dialect: 'jwt' },
        billing: { audience: 'orders', source: 'transit' },
      },
    },
    [
      `An API's name is 1 to 63 lower-case letters, digits and hyphens`,
      `An API's audience is an absolute URI`,
      'Two APIs have the same audience',
      `An API's source is auth0 or transit. Given: okta, transit.`,
      'A scope is 1 to 280 printable ASCII characters without space, quote or backslash',
      `An API's lifetime is a whole number of seconds from 60 to 2592000`,
      `An API's dialect is access_token, access_token_authz, rfc9068_profile or rfc9068_profile_authz`,
    ],
  ],
  ...[
    'https://acme.eu.auth0.com/api/v2/',
    'HTTPS://ACME.EU.AUTH0.COM/API/V2/',
    'https://acme.eu.auth0.com:443/api/v2/',
    'https:acme.eu.auth0.com/api/v2/',
    'https://LOGIN.example.com:8443/api/v2',
    'urn:auth0-authz-api',
  ].map((audience): [string, Record<string, unknown>, string[]] => [
    `the Management API as ${audience}`,
    { apis: { management: { audience, source: 'auth0' } } },
    [`An API's audience can't be that of Auth0's Management API`],
  ]),
  ...[
    'https://acme.eu.auth0.com/%61pi/v2/',
    'https://login.example.com//api/v2/',
    'https://login.example.com/x/../api/v2/',
    'https://user@login.example.com/x',
    'https:\\\\login.example.com\\api\\v2',
    'https://acme.eu.\uFF41uth0.com/',
  ].map((audience): [string, Record<string, unknown>, string[]] => [
    `the spelling ${audience}`,
    { apis: { management: { audience, source: 'auth0' } } },
    [`An API's audience is written in printable ASCII`],
  ]),
  [
    'mounts and settings',
    {
      mounts: { approle: '/x', broker_approle: 'oidc', kv: 'transit' },
      login_rate: 0,
      broker: { token_ttl: 10, cidrs: ['x'] },
      audit: { type: 'kafka' },
      transit_key: 'a/b',
    },
    [
      `A mount's path is lower-case letters, digits, hyphens and underscores`,
      'The auth methods (approle, broker_approle, broker_kubernetes, broker_jwt, oidc, userpass, admin, self, assertion, trust) each need',
      'The secrets engines (kv, tokens, replay, transit, plugin) each need a mount path of their own',
      'login_rate is a positive number of requests a second',
      `The broker's token_ttl is at least 60 seconds and at most its token_max_ttl`,
      `The broker's cidrs are blocks of addresses`,
      `The audit device's type is file, socket or syslog`,
      'transit_key is 1 to 63 lower-case letters',
    ],
  ],
  [
    'the plugin',
    { plugin: { version: '0.1.0', sha256: 'ABC', command: '../postern-auth0' } },
    [
      'plugin.version is a version such as v0.1.0',
      'plugin.sha256 is 64 hexadecimal digits',
      "plugin.command is the name of a file that lies directly in Vault's plugin directory",
    ],
  ],
  ['half a plugin', { plugin: { version: 'v0.1.0' } }, ['plugin has both version and sha256, or neither']],
  [
    'a cache that forgets too soon',
    { cached_token_retention: 100 },
    [`cached_token_retention (100 s) is shorter than an API's lifetime (86400 s)`],
  ],
  [
    'the OIDC issuer',
    { oidc: { discovery_url: 'example.eu.auth0.com', ttl: 9, max_ttl: 3 }, break_glass: { max_ttl: 90_000 } },
    [`oidc.discovery_url is the issuer's URL`, 'oidc.ttl is more than 0 and at most oidc.max_ttl', 'at most 28800 (8 hours)'],
  ],
  [
    'the admin API',
    { admin_api: { issuer: 'example.eu.auth0.com', audience: 'a b', read_permissions: ['read:keys,manage:keys'] } },
    [`admin_api.issuer is the issuer's URL`, 'admin_api.audience is the identifier', `admin_api's write_permissions and read_permissions`],
  ],
  [
    'no permission at all for the admin API',
    { admin_api: { issuer: 'https://example.eu.auth0.com/', audience: 'a', write_permissions: [] } },
    [`admin_api's write_permissions and read_permissions`],
  ],
  [
    'any service account as the broker',
    { broker_kubernetes: { service_accounts: ['*'], namespaces: [], host: 'kubernetes', vault_in_cluster: false } },
    [
      'broker_kubernetes names at least one service account and one namespace',
      'broker_kubernetes.host is the address of the Kubernetes API',
      'broker_kubernetes.ca_pem is needed where Vault is not in the cluster',
    ],
  ],
  [
    'any JWT as the broker',
    { broker_jwt: { issuer: 'a b', audiences: [], subject: 'ci*', jwks_url: 'https://a', public_keys: ['x'], algorithms: ['HS256'] } },
    [
      'broker_jwt.issuer is the `iss` of the tokens',
      'broker_jwt has jwks_url or public_keys',
      `broker_jwt names the token's subject and at least one audience`,
      'broker_jwt.algorithms are those of public keys',
    ],
  ],
  [
    'an OIDC secret without its client',
    { oidc: {}, oidc_client_secret: 'not-a-real-secret' },
    ['With oidc_client_secret set, oidc.discovery_url and oidc.client_id are needed too'],
  ],
  [
    'Auth0',
    { auth0: { domain: 'https://example.eu.auth0.com/', binding: 'trust', vault_addresses: ['http://vault'] } },
    [
      'auth0.domain is a bare domain such as example.eu.auth0.com',
      'auth0.binding is action or organization',
      `auth0.vault_addresses are origins of Vault's UI`,
    ],
  ],
])('%s: each fault is named', async (_, variables, messages) => {
  const text = await refusal(variables);
  for (const message of messages) expect(text).toContain(message);
});

test('audiences that only look like it are good', async () => {
  const audiences = [
    'https://orders.example.com',
    'https://orders.example.com/api/v2/orders',
    'https://orders.example.com:8443/a/b/',
    'https://auth0.example.com/orders?next=//x',
    'urn:example:orders',
  ];
  const some = Object.fromEntries(audiences.map((audience, at) => [`api-${at}`, { audience, source: 'auth0' }]));
  expect((await plan({ apis: some })).changes).toBe(true);
});

const examples = new URL('../../terraform/examples/', import.meta.url);

test('the examples are good', async () => {
  const files = (await readdir(examples)).filter((file) => file.endsWith('.tfvars'));
  expect(files.length).toBeGreaterThanOrEqual(2);
  for (const file of files) {
    const variableFiles = [fileURLToPath(new URL(file, examples))];
    const { changes } = await plan({}, { variableFiles, environment: { AUTH0_API_TOKEN: 'not-asked-for-in-a-plan' } });
    expect(changes, file).toBe(true);
  }
});

test('an attribute that there is not is refused, with the nearest name, wherever it stands', async () => {
  const text = await refusal({
    apis: { ...apis, reports: { audience: 'https://reports.example.com', source: 'auth0', scope: ['read'] } },
    tenants: {
      acme: { cidr: ['203.0.113.0/24'], grants: [grant, { api: 'reports', scope: ['read'] }], Disabled: true, id: 'other' },
      globex: {
        organization: 'org_1',
        self_service: { max_tll: 60 },
        limits: { per_sec: 5 },
        quota: { month: 5 },
        trusts: { ci: { issuer: 'https://ci.example.com', audience: 'a', subject: 's', cidr: ['10.0.0.0/8'] } },
        issuers: { 'https://ci.example.com': { jwks_uri: 'https://ci.example.com/jwks' } },
        workloads: { job: { accessor: 'auth_jwt_1', alias: 'x', nonsense: true } },
        assertion_keys: [{ pem: '-----BEGIN PUBLIC KEY-----\nx', key_id: 'k' }],
      },
    },
    broker: { cidr: ['10.0.0.0/8'] },
    mounts: { aprole: 'approle' },
    self_service: { issuer: 'https://x.example.com/', audience: 'https://self.example.com', broker_cidr: ['10.0.0.0/8'] },
    issuer: 'https://tokens.example.com/',
  });
  for (const part of [
    'API reports has no attribute scope; is scopes meant?',
    'Tenant acme has no attribute cidr; is cidrs meant?',
    'Tenant acme has no attribute Disabled; is disabled meant?',
    'Tenant acme has no attribute id',
    'Tenant acme, grants[1], has no attribute scope; is scopes meant?',
    'Tenant globex, limits, has no attribute per_sec; is per_second meant?',
    'Tenant globex, quota, has no attribute month; is monthly meant?',
    'Tenant globex, self_service, has no attribute max_tll; is max_ttl meant?',
    'Tenant globex, trusts.ci, has no attribute cidr; is cidrs meant?',
    'Tenant globex, issuers.https://ci.example.com, has no attribute jwks_uri; is jwks_url meant?',
    'Tenant globex, workloads.job, has no attribute nonsense. There are accessor, alias.',
    'Tenant globex, assertion_keys[0], has no attribute key_id. There are kid, pem.',
    'Variable broker has no attribute cidr; is cidrs meant?',
    'Variable mounts has no attribute aprole; is approle meant?',
    'Variable self_service has no attribute broker_cidr; is broker_cidrs meant?',
  ])
    expect(text).toContain(part);
});
