/** How a test gets the commands of the documentation to run. A block is known by its file and the beginning of its text. */
export type Block = readonly [file: string, begins: string];

const KEYS = `curl --fail-with-body -sS -H @credential -H 'Content-Type: application/json' -H "Idempotency-Key: $REQUEST_ID" \\
  "$ADMIN/v1/tenants/initech/keys`;

const PUT = `curl --fail-with-body -sS -H @credential -H 'Content-Type: application/json' -X PUT`;

/** Run in this order against one `make dev`; `expect` is looked for in what they print. */
export const RUN: readonly {
  readonly block: Block;
  readonly expect: readonly RegExp[];
  readonly keep?: readonly [name: string, found: RegExp];
  /** Programs that may not be there, and how they say so. */
  readonly needs?: readonly string[];
}[] = [
  { block: ['README.md', '. .postern/dev/env'], expect: [/"access_token"/, /HTTP\/1\.1 200/, /"tenant":"acme"/, /Usage: postern/] },
  { block: ['docs/admin-api.md', 'umask 077'], expect: [] },
  {
    block: ['docs/admin-api.md', 'curl --fail-with-body -sS -H @credential -H \'Content-Type: application/json\' "$ADMIN/v1/tenants"'],
    expect: [/"initech"/],
  },
  {
    block: ['docs/admin-api.md', `${PUT} "$ADMIN/v1/tenants/initech/grants"`],
    expect: [/read:orders/],
  },
  {
    block: ['docs/admin-api.md', `${KEYS}"`],
    expect: [/"key":"postern_/],
    keep: ['KEY_ID', /"key_id":"([^"]+)"/],
  },
  {
    block: ['docs/admin-api.md', `${KEYS}/$KEY_ID/rotate"`],
    expect: [/"key":"postern_/],
  },
  {
    block: ['docs/admin-api.md', 'curl --fail-with-body -sS -H @credential "$ADMIN/v1/tenants/initech/keys?limit'],
    expect: [/nightly export/],
  },
  { block: ['docs/admin-api.md', 'curl --fail-with-body -sS -H @credential -X DELETE'], expect: [] },
  { block: ['docs/admin-api.md', 'curl --fail-with-body -sS -H @credential -X POST'], expect: [] },
  { block: ['docs/revocation.md', '. .postern/dev/env'], expect: [/"active":true/, /HTTP\/1\.1 200/, /"active":false/] },
  { block: ['docs/workload-identity.md', 'openssl genpkey'], expect: [] },
  { block: ['docs/workload-identity.md', '. .postern/dev/env'], expect: [/signature +verified/] },
  { block: ['docs/gateway.md', 'nginx'], expect: [], needs: ['nginx'] },
  { block: ['docs/gateway.md', '. .postern/dev/env'], expect: [/"api":"orders"/], needs: ['nginx'] },
  { block: ['examples/README.md', '. .postern/dev/env && bash examples/curl'], expect: [/"api":"orders"/] },
  { block: ['examples/README.md', '. .postern/dev/env && go'], expect: [/"api":"orders"/], needs: ['go'] },
  { block: ['examples/README.md', '. .postern/dev/env && mvn'], expect: [/"api":"orders"/], needs: ['mvn', 'javac'] },
  { block: ['examples/README.md', '. .postern/dev/env && python3'], expect: [/"api":"orders"/], needs: ['python3'] },
  { block: ['examples/README.md', 'nginx'], expect: [], needs: ['nginx'] },
  { block: ['examples/README.md', 'envoy'], expect: [], needs: ['envoy'] },
  { block: ['examples/README.md', 'traefik'], expect: [], needs: ['traefik'] },
  { block: ['examples/README.md', 'caddy'], expect: [], needs: ['caddy'] },
  { block: ['examples/README.md', '. .postern/dev/env && curl'], expect: [/"api":"orders"/], needs: ['caddy'] },
  { block: ['terraform/README.md', 'vault write -f'], expect: [/wrapping_token:/, /hvs\./] },
  { block: ['docs/operator.md', 'postern whoami'], expect: [/root/] },
  { block: ['docs/operator.md', 'postern doctor'], expect: [/Vault/] },
  { block: ['docs/operator.md', 'postern api list'], expect: [/https:\/\/orders\.example\.com/, /umbrella/] },
  { block: ['docs/operator.md', '(umask 077; postern key issue umbrella'], expect: [/web shop/, /nightly job/] },
  { block: ['docs/operator.md', 'CLIENT_ID='], expect: [/signature +verified/] },
  { block: ['docs/operator.md', 'postern tenant grant add'], expect: [/write:orders/] },
  { block: ['docs/operator.md', 'KEY_ID='], expect: [] },
  { block: ['docs/operator.md', 'postern key identify'], expect: [/umbrella[^]*umbrella/] },
  { block: ['docs/operator.md', 'postern tenant disable'], expect: [/disabled/] },
  { block: ['docs/operator.md', 'postern signing-key list'], expect: [/acme|umbrella/] },
  { block: ['docs/operator.md', 'postern tenant delete'], expect: [/umbrella is deleted/] },
  { block: ['CONTRIBUTING.md', 'git grep'], expect: [/broker\/plugin\/main\.ts/] },
];

const ROOT_TOKEN = `export VAULT_TOKEN="$(awk '/^Initial Root Token:/ { print $4 }' init.txt)"\n`;
/** docs/production.md, block by block. */
const PRODUCTION = [
  'export VAULT_ADDR=',
  'for node in',
  `${ROOT_TOKEN}until [`,
  'vault policy write postern-terraform',
  "printf 'terraform {",
  'terraform -chdir=terraform init -lockfile=readonly',
  'cp terraform/examples/production.tfvars',
  'export VAULT_TOKEN="$(cat terraform-token)"',
  `${ROOT_TOKEN}(umask 077; vault token create -policy=postern-operator`,
  '(umask 077; vault write -f -wrap-ttl',
  '(umask 077; VAULT_TOKEN="$(cat wrapped)"',
  '(set -a; . /etc/postern/postern.env',
  'export VAULT_TOKEN="$(cat operator-token)"',
  '(umask 077; postern secret issue acme',
  'VAULT_TOKEN="$(sed -n',
  `${ROOT_TOKEN}printf 'path`,
  'vault operator raft snapshot restore',
  'VAULT_TOKEN="$(cat operator-token)" postern announce replayed',
  `${ROOT_TOKEN}vault token revoke`,
] as const;

/** Run by another test, which holds this text. */
export const ELSEWHERE: readonly { readonly block: Block; readonly test: string; readonly says: string }[] = [
  ...PRODUCTION.map((begins) => ({
    block: ['docs/production.md', begins] as const,
    test: 'test/e2e/production.test.ts',
    // Every block of the document, none left out.
    says: 'expect(stage.left()).toEqual([])',
  })),
  {
    block: ['docs/admin-api.md', `${PUT} "$ADMIN/v1/tenants/acme/trusts/ci"`],
    test: 'test/integration/admin.test.ts',
    says: "call(backEnd, 'PUT', path, TRUST)",
  },
  ...(
    [
      ['docs/sidecar.md', 'postern agent config'],
      ['docs/sidecar.md', '(umask 077; postern secret issue acme --json'],
    ] as const
  ).map((block) => ({ block, test: 'test/integration/sidecar.stage.ts', says: "'agent', 'config', 'acme', '--out'" })),
  ...[
    'postern key identify',
    'postern key revoke',
    'postern audit query "$POSTERN_AUDIT_FILE" --key',
    'postern token revoke --tenant "$TENANT"',
    'postern secret revoke',
    'postern upstream set',
    'postern health --url',
    'curl -s "$POSTERN_URL/readyz"',
    `grep '"vault":"away"'`,
    'postern audit query "$POSTERN_AUDIT_FILE" --error',
    `grep '"ended":'`,
    'postern tenant disable "$TENANT"',
    'postern announce replayed',
    'postern signing-key rotate',
    'postern signing-key retire',
  ].map((begins) => ({
    block: ['docs/incidents.md', begins] as const,
    test: 'test/integration/incident.test.ts',
    says: 'no command of docs/incidents.md is left out',
  })),
  ...[
    'postern migrate plan',
    'postern migrate apply',
    'postern migrate status',
    'postern migrate verify',
    'postern migrate retire plan.json --disable',
    'postern migrate retire plan.json "$CLIENT_ID"',
    'postern migrate retire plan.json --unused-for',
  ].map((begins) => ({
    block: ['docs/migrate.md', begins] as const,
    test: 'test/integration/migration.test.ts',
    // Every block of the document, none left out.
    says: 'expect(blocks).toEqual([])',
  })),
  { block: ['docs/operator.md', 'postern login'], test: 'test/e2e/oidc.test.ts', says: "'login'" },
  { block: ['docs/user-keys.md', 'AUTH0_DOMAIN='], test: 'test/integration/departure.test.ts', says: "'owners', 'sync'" },
  {
    block: ['docs/rate-limits.md', 'postern tenant create'],
    test: 'test/integration/rate-limits.test.ts',
    says: "'--limit', '100/s', '--limit', '20/burst', '--limit', '10000/day'",
  },
  { block: ['docs/quota.md', 'postern quota'], test: 'test/integration/quota-ledger.test.ts', says: "'quota', '--all', '--json'" },
  { block: ['docs/quota.md', 'postern tenant create'], test: 'test/integration/quota-ledger.test.ts', says: "'--update', '--quota', '5%'" },
  { block: ['docs/plugin.md', 'make plugin'], test: 'test/tools/plugin.test.ts', says: 'buildPlugin(' },
  {
    block: ['docs/plugin.md', 'postern plugin install'],
    test: 'test/integration/plugin-lifecycle-cli.test.ts',
    says: "'plugin', 'install'",
  },
  {
    block: ['docs/plugin.md', 'postern plugin upgrade'],
    test: 'test/integration/plugin-lifecycle-cli.test.ts',
    says: "describe('upgrade'",
  },
  { block: ['docs/plugin.md', 'vault plugin register'], test: 'test/fixture/plugin.ts', says: 'sys/plugins/catalog/secret' },
  { block: ['docs/plugin-paths.md', 'vault write auth0/config'], test: 'test/integration/plugin-engine.test.ts', says: 'creds/' },
  {
    block: ['docs/workload-identity.md', 'curl https://tokens.example.com'],
    test: 'test/integration/token-exchange.test.ts',
    says: 'subject_token',
  },
  {
    block: ['docs/install.md', "# the broker's own credential, for"],
    test: 'test/e2e/dist.test.ts',
    says: 'credential, for the executable',
  },
  { block: ['docs/install.md', "# the broker's own credential, in"], test: 'test/e2e/image.test.ts', says: 'credential, in a container' },
  { block: ['docs/kubernetes.md', 'helm lint'], test: 'test/e2e/helm.test.ts', says: "'helm lint" },
  ...['# from nothing', 'curl --cacert', '# as an operator', '# renew certificates', '# another secret_id'].map((begins) => ({
    block: ['docs/compose.md', begins] as const,
    test: 'test/e2e/compose.test.ts',
    says: `'${begins}`,
  })),
  { block: ['docs/release.md', 'make release'], test: 'test/e2e/release.test.ts', says: 'tools/release/main.ts' },
  {
    block: ['terraform/README.md', 'vault policy write postern-terraform'],
    test: 'test/integration/terraform-variables.test.ts',
    says: 'terraform/examples/',
  },
  { block: ['terraform/README.md', 'openssl rand'], test: 'test/e2e/oidc.test.ts', says: 'auth/userpass/users/olivia' },
];

/** Not run, and why. */
export const NEVER: readonly { readonly block: Block; readonly why: string }[] = [
  { block: ['docs/release.md', 'cosign sign-blob'], why: 'a signature is a person’s or a CI identity’s, in public logs' },
  { block: ['docs/release.md', 'cosign verify-blob'], why: 'nothing is signed here that it could verify' },
  { block: ['docs/kubernetes.md', 'docker tag'], why: 'pushes to a registry, which is the reader’s' },
  { block: ['docs/kubernetes.md', 'kubectl create clusterrolebinding'], why: 'needs a cluster' },
  {
    block: ['docs/kubernetes.md', 'terraform -chdir'],
    why: 'variables that are the reader’s; test/integration/terraform-variables.test.ts applies such ones',
  },
  { block: ['docs/kubernetes.md', 'kubectl create namespace'], why: 'needs a cluster' },
  {
    block: ['docs/kubernetes.md', 'postern secret issue'],
    why: 'needs a cluster; docs/install.md has the same commands, which test/e2e/dist.test.ts runs',
  },
  { block: ['README.md', 'make demo'], why: '`make test` is what runs this test; test/e2e/demo.test.ts plays the demo' },
  {
    block: ['docs/testing.md', 'POSTERN_PROVIDER_MIRROR='],
    why: 'the mirror is the reader’s; test/tools/provider.test.ts finds providers in both layouts',
  },
  { block: ['docs/scale.md', 'make scale'], why: 'a simulation of minutes; test/unit/simulation/scale.test.ts plays a small one' },
  { block: ['docs/testing.md', "make test ARGS='--project unit'"], why: 'they are parts of `make test`, which runs this test' },
  {
    block: ['docs/testing.md', "make simulate ARGS='--seeds 1000'"],
    why: 'the first takes minutes, the last hours; test/simulation plays seeds',
  },
];
