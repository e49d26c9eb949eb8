import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issuerId } from '#broker/credential/trust.ts';
import { APIS, TENANTS } from '#dev/scenario.ts';
import { startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica, Reply, TenantVariables } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { until } from '#test/fixture/until.ts';
import { forge } from './assertion.forgeries.ts';
import { postern } from './cli-run.ts';
import { AUDIENCE, GITHUB, forgedTokens, githubClaims, githubToken, issuerKey } from './trust.forgeries.ts';

/* Workloads known by the OIDC tokens that they already have, with three replicas on the real Vault, provisioned by Terraform. */

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const CLUSTER = 'https://oidc.cluster.example.com/id/7';
const OTHER = 'https://gitlab.example.com';
const SHARED = 'https://shared.example.com';

const pemOf = (key: typeof issuerKey): string => key.publicKey.export({ type: 'spki', format: 'pem' }).toString();
const clusterKey = generateKeyPairSync('rsa', { modulusLength: 2048 });
const strangerKey = generateKeyPairSync('rsa', { modulusLength: 2048 });
const issuers = { [GITHUB]: { keys: [pemOf(issuerKey)] }, [CLUSTER]: { keys: [pemOf(clusterKey)] } };

const REPORTS = { audience: APIS.reports.audience };
const ci = {
  issuer: GITHUB,
  audience: AUDIENCE,
  subject_pattern: 'repo:acme/app:ref:refs/heads/*',
  claims: { repository_owner_id: '65' },
};
const acme = {
  ...TENANTS.acme,
  issuers: { ...issuers, [OTHER]: { keys: [pemOf(issuerKey)] } },
  trusts: {
    ci,
    pods: {
      issuer: CLUSTER,
      audience: 'postern',
      subject: 'system:serviceaccount:jobs:nightly',
      claims: { '/kubernetes.io/namespace': 'jobs' },
      scopes: ['read:orders'],
    },
    shared: { issuer: GITHUB, audience: SHARED, subject: 'repo:acme/shared:ref:refs/heads/main' },
    far: { issuer: CLUSTER, audience: 'far', subject: 'system:serviceaccount:jobs:far', cidrs: ['192.0.2.0/24'] },
  },
} satisfies TenantVariables;
const globex = {
  ...TENANTS.globex,
  // It has other keys written down for the issuer that acme trusts too.
  issuers: { ...issuers, [CLUSTER]: { keys: [pemOf(strangerKey)] } },
  trusts: {
    ci: { ...ci, subject_pattern: 'repo:globex/*:ref:refs/heads/main', claims: { repository_owner: 'globex' } },
    shared: { issuer: GITHUB, audience: SHARED, subject_pattern: 'repo:acme/*:ref:refs/heads/**' },
    pods: { issuer: CLUSTER, audience: 'postern', subject: 'system:serviceaccount:jobs:theirs' },
  },
} satisfies TenantVariables;

let house: House;
let replicas: LocalReplica[];
let env: Record<string, string>;

beforeAll(async () => {
  house = await startHouse({ tenants: { acme, globex } });
  const settings = { POSTERN_THROTTLE_ADDRESS: '1000000', POSTERN_THROTTLE_CLIENT: '1000000' };
  replicas = await Promise.all([1, 2, 3].map(() => house.startReplica({ env: settings })));
  env = { VAULT_ADDR: house.vault.address, VAULT_TOKEN: house.vault.rootToken };
});
afterAll(() => house?.stop());

async function post(parameters: Record<string, string>, at = 0): Promise<Reply> {
  const response = await fetch(`${replicas[at]?.issuer}oauth/token`, { method: 'POST', body: new URLSearchParams(parameters) });
  const text = await response.text();
  const body = JSON.parse(text) as Record<string, unknown>;
  if (typeof body['access_token'] === 'string') registerSecret('access token', body['access_token']);
  return { status: response.status, headers: Object.fromEntries(response.headers), text, body };
}
const bear = (assertion: string, more: Record<string, string> = {}, at = 0): Promise<Reply> =>
  post({ grant_type: JWT_BEARER, assertion, audience: APIS.orders.audience, ...more }, at);
const trade = (token: string, more: Record<string, string> = {}, at = 0): Promise<Reply> =>
  post({ grant_type: EXCHANGE, subject_token_type: JWT, subject_token: token, audience: APIS.orders.audience, ...more }, at);
const podToken = (more: Record<string, unknown> = {}, key = clusterKey): string => {
  const now = Math.floor(Date.now() / 1000);
  return forge(
    { alg: 'RS256', kid: 'cluster' },
    {
      iss: CLUSTER,
      aud: ['postern'],
      sub: 'system:serviceaccount:jobs:nightly',
      iat: now,
      nbf: now,
      exp: now + 3600,
      'kubernetes.io': { namespace: 'jobs', serviceaccount: { name: 'nightly', uid: '7a' } },
      ...more,
    },
    key.privateKey,
  );
};
const tenantOf = ({ body }: Reply): unknown => decodeJwt(String(body['access_token']))['https://postern.dev/tenant'];

describe('a workload with the token that it has', () => {
  test("gets its tenant's tokens by either grant, without a client_id", async () => {
    const traded = await trade(githubToken());
    expect(traded.status, traded.text).toBe(200);
    expect(traded.body['issued_token_type']).toBe('urn:ietf:params:oauth:token-type:access_token');
    expect(tenantOf(traded)).toBe('acme');
    const idToken = await trade(githubToken(), { subject_token_type: 'urn:ietf:params:oauth:token-type:id_token' });
    expect(idToken.body['access_token']).toBe(traded.body['access_token']);
    const born = await bear(githubToken());
    expect(born.body['access_token']).toBe(traded.body['access_token']);
    expect(born.body).not.toHaveProperty('issued_token_type');
    const event = (await replicas[0]!.events()).at(-1);
    expect(event).toMatchObject({ door: 'jwt-bearer', outcome: 'granted', tenant: 'acme', trust: 'ci' });
  });

  test('of Kubernetes: exact, with a claim by JSON pointer, narrowed by its scopes', async () => {
    const reply = await bear(podToken());
    expect(reply.body, reply.text).toMatchObject({ scope: 'read:orders' });
    expect((await bear(podToken(), { scope: 'write:orders' })).body).toMatchObject({ error: 'invalid_scope' });
    expect((await bear(podToken({ 'kubernetes.io': { namespace: 'other' } }))).status).toBe(400);
    // Without a jti it is good until it ends.
    const token = podToken();
    expect([(await bear(token)).status, (await bear(token)).status]).toEqual([200, 200]);
  });

  test('once by jwt-bearer where it has a jti, at whichever replica; as a subject token until it ends', async () => {
    const token = githubToken();
    const replies = await Promise.all(Array.from({ length: 12 }, (_, at) => bear(token, {}, at % 3)));
    expect(replies.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 11 }, () => 400)]);
    expect(replies.find(({ status }) => status === 400)?.body).toEqual({
      error: 'invalid_grant',
      error_description: 'The token is not trusted',
    });
    expect((await trade(token)).status).toBe(200);
  });

  test("another tenant's of the same issuer and audience is that tenant's", async () => {
    const theirs = githubToken({ sub: 'repo:globex/tool:ref:refs/heads/main', repository_owner: 'globex' });
    const reply = await bear(theirs, REPORTS);
    expect(reply.status, reply.text).toBe(200);
    expect(tenantOf(reply)).toBe('globex');
    expect((await trade(theirs, { ...REPORTS, client_id: house.roleIds['acme'] ?? '' })).body).toEqual({
      error: 'invalid_request',
      error_description: 'The token is not trusted',
    });
  });

  test("what one tenant takes for the issuer's keys counts for no other, and uses up no jti of theirs", async () => {
    const [mine, theirs] = [house.roleIds['acme'] ?? '', house.roleIds['globex'] ?? ''];
    const forged = (): string => podToken({ jti: 'forged' }, strangerKey);
    for (const more of [{}, { client_id: mine }, { client_id: theirs }]) {
      expect((await bear(forged(), more)).body).toMatchObject({ error: 'invalid_grant' });
      expect((await trade(forged(), { ...more, ...REPORTS })).body).toMatchObject({ error: 'invalid_request' });
    }
    const login = (tenant: string, role: string, jwt: string): Promise<unknown> =>
      house.root.write(`auth/postern-trust/${tenant}/${issuerId(CLUSTER)}/login`, { role, jwt });
    await expect(login('acme', 'pods', forged())).rejects.toThrow();
    await expect(login('globex', 'pods', podToken())).rejects.toThrow();
    const used = await bear(podToken({ sub: 'system:serviceaccount:jobs:theirs', jti: 'the same' }, strangerKey), REPORTS);
    expect([used.status, tenantOf(used)]).toEqual([200, 'globex']);
    expect((await bear(podToken({ jti: 'the same' }))).status).toBe(200);
    expect((await bear(podToken({ jti: 'the same' }))).status).toBe(400);
  });

  test("that two tenants trust is nobody's until client_id says whose", async () => {
    const both = (): string => githubToken({ aud: SHARED, sub: 'repo:acme/shared:ref:refs/heads/main' });
    const reply = await trade(both(), REPORTS);
    expect(reply.body).toEqual({ error: 'invalid_request', error_description: 'More than one client trusts this token: send client_id' });
    for (const tenant of ['acme', 'globex'])
      expect(tenantOf(await trade(both(), { ...REPORTS, client_id: house.roleIds[tenant] ?? '' }))).toBe(tenant);
  });

  test("from another address than the trust's is refused by Vault", async () => {
    const reply = await bear(podToken({ aud: 'far', sub: 'system:serviceaccount:jobs:far' }));
    expect(reply.status, reply.text).not.toBe(200);
    expect(reply.status).toBeLessThan(504);
  });
});

test('1,000 forged or confused tokens: 0 accepted, each with one and the same answer', async () => {
  const answers = new Map<string, string[]>();
  let sent = 0;
  for (let round = 0; sent < 1000; round++) {
    const forged = forgedTokens();
    const bearer = round % 2 === 0;
    for (let at = 0; at < forged.length; at += 16) {
      await Promise.all(
        forged.slice(at, at + 16).map(async ({ fault, jwt }, index) => {
          const more = { ...REPORTS, ...(round % 4 > 1 ? { client_id: house.roleIds['acme'] ?? '' } : {}) };
          const { status, text } = await (bearer ? bear(jwt, more, index % 3) : trade(jwt, more, index % 3));
          const answer = `${status} ${text}`;
          answers.set(answer, [...(answers.get(answer) ?? []), fault]);
          sent++;
        }),
      );
    }
  }
  expect(Object.fromEntries([...answers].map(([answer, faults]) => [answer, faults.slice(0, 5)]))).toEqual({
    '400 {"error":"invalid_grant","error_description":"The token is not trusted"}': expect.anything(),
    '400 {"error":"invalid_request","error_description":"The token is not trusted"}': expect.anything(),
  });
  expect(sent).toBeGreaterThanOrEqual(1000);
});

test('the requests themselves: what is missing, repeated or one too many', async () => {
  const token = githubToken();
  expect((await post({ grant_type: JWT_BEARER })).body).toMatchObject({ error: 'invalid_request' });
  expect((await bear(token, { client_secret: 'x' })).body).toMatchObject({ error: 'invalid_request' });
  expect((await bear(token, { client_id: '../x' })).body).toMatchObject({ error: 'invalid_grant' });
  expect((await bear(token, { audience: 'https://nothing.example.com' })).body).toMatchObject({ error: 'invalid_target' });
  expect((await trade(token, { actor_token: token })).body).toMatchObject({ error: 'invalid_request' });
  expect((await trade(token, { subject_token_type: 'urn:ietf:params:oauth:token-type:saml2' })).body).toMatchObject({
    error: 'invalid_request',
  });
});

describe('Vault decides again', () => {
  const login = (mount: string, role: string, jwt: string): Promise<unknown> =>
    house.root.write(`auth/postern-trust/${mount}/login`, { role, jwt });

  test('what the broker would let through, Vault refuses by itself', async () => {
    const mount = `acme/${issuerId(GITHUB)}`;
    for (const jwt of [
      githubToken({ sub: 'repo:acme/other:ref:refs/heads/main' }),
      githubToken({ aud: 'https://other.example.com' }),
      githubToken({ repository_owner_id: '66' }),
      githubToken({ iss: `${GITHUB}/` }),
      forge({ alg: 'RS256', kid: 'github-1' }, githubClaims(), clusterKey.privateKey),
    ])
      await expect(login(mount, 'ci', jwt)).rejects.toThrow();
    const { auth } = (await login(mount, 'ci', githubToken())) as { auth: Record<string, unknown> };
    registerSecret('vault token', String(auth['client_token']));
    expect(auth).toMatchObject({ token_type: 'batch', policies: ['postern-workload'], identity_policies: ['postern-workload'] });
  });
});

describe('what ends a trust reaches every replica within 2 s', () => {
  const everywhere = async (): Promise<number[]> =>
    (await Promise.all([0, 1, 2].map((at) => trade(githubToken(), {}, at)))).map(({ status }) => status);
  const within = (status: number): Promise<void> => until(async () => (await everywhere()).every((one) => one === status), 2_000);

  test('by the CLI: added, shown, tested, narrowed and removed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'postern-trust-'));
    try {
      const file = join(folder, 'token');
      const sub = 'project_path:acme/app:ref_type:branch:ref:main';
      const jwt = githubToken({ iss: OTHER, aud: 'https://postern.example.com', sub, namespace_id: '7' });
      await writeFile(file, `${jwt}\n`, { mode: 0o600 });
      const test = ['trust', 'test', 'acme', 'gitlab', '--token-file', file, '--json'];
      const add = [
        'trust',
        'add',
        'acme',
        'gitlab',
        '--issuer',
        OTHER,
        '--audience',
        'https://postern.example.com',
        '--scope',
        'read:orders',
      ];
      const narrow = ['--claim', 'namespace_id=7', '--subject-pattern', 'project_path:acme/app:**'];

      expect((await trade(jwt)).status).toBe(400);
      expect((await postern([...add, '--subject', 'x', ...narrow], { env })).code).toBe(2);
      expect(
        (await postern([...add.slice(0, 6), 'https://unknown.example.com', ...add.slice(6), ...narrow.slice(2)], { env })).code,
      ).not.toBe(0);
      const added = await postern([...add, ...narrow, '--json'], { env });
      expect(added.code, added.stderr).toBe(0);
      await until(async () => (await trade(jwt)).status === 200, 2_000);
      expect((await trade(jwt)).body).toMatchObject({ scope: 'read:orders' });

      const tried = await postern(test, { env });
      expect(tried.code, tried.stderr).toBe(0);
      expect(tried.json).toMatchObject({ trusted: true });
      expect(tried.stdout + tried.stderr).not.toContain(jwt.split('.')[2]);
      await writeFile(file, githubToken({ iss: OTHER, aud: 'https://postern.example.com', sub: 'project_path:evil/app:x' }), {
        mode: 0o600,
      });
      const refused = await postern(test, { env });
      expect(refused.code).toBe(3);
      const findings = refused.json['findings'] as { of: string; good: boolean }[];
      expect(findings.filter(({ good }) => !good).map(({ of }) => of)).toEqual(['sub', 'namespace_id', 'Vault']);

      const listed = await postern(['trust', 'list', 'acme', '--json'], { env });
      expect((listed.json['trusts'] as { name: string }[]).map(({ name }) => name)).toEqual(['ci', 'far', 'gitlab', 'pods', 'shared']);
      expect((await postern(['trust', 'show', 'acme', 'gitlab', '--json'], { env })).json).toMatchObject({ scopes: ['read:orders'] });

      const other = await postern([...add, '--claim', 'namespace_id=8', ...narrow.slice(2), '--replace'], { env });
      expect(other.code, other.stderr).toBe(0);
      await until(async () => (await trade(jwt)).status === 400, 2_000);
      expect((await postern(['trust', 'remove', 'acme', 'gitlab'], { env })).code).toBe(0);
      expect((await postern(['trust', 'remove', 'acme', 'gitlab'], { env })).code).toBe(4);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('doctor looks at what brokers and Vault judge by, and where keys come from', async () => {
    type Check = { name: string; status: string; seen: string };
    const doctor = async (): Promise<{ code: number | undefined; checks: Check[] }> => {
      const { code, json } = await postern(['doctor', '--json'], { env });
      const checks = (json['checks'] as Check[]).filter(({ name }) => /^(trust|issuer)/.test(name));
      return { code, checks };
    };
    const good = await doctor();
    expect(good.checks.filter(({ status }) => status !== 'ok')).toEqual([]);
    expect(good.checks.map(({ name }) => name)).toEqual(['trusts', `issuer: ${GITHUB}`, `issuer: ${CLUSTER}`, `issuer: ${CLUSTER}`]);

    const { root, roleIds } = house;
    const kept: [string, Record<string, unknown>][] = [];
    const spoil = async (path: string, spoilt: (was: Record<string, unknown>) => Record<string, unknown>): Promise<void> => {
      const was = (await root.read(path))?.data ?? {};
      const now = path.startsWith('auth/') ? was : (was['data'] as Record<string, unknown>);
      kept.push([path, path.startsWith('auth/') ? was : { data: now }]);
      const next = spoilt(now);
      await root.write(path, path.startsWith('auth/') ? next : { data: next });
    };
    const [mine, theirs] = [`postern/data/trusts/${roleIds['acme']}`, `postern/data/trusts/${roleIds['globex']}`];
    await spoil(`${mine}/shared`, (was) => ({ ...was, issuer: 'http://nowhere' }));
    // One that is not valid trusts nobody, and keeps nobody else's from working: two would fit this token.
    await root.write('postern/data/state/catalog', { data: { digest: 'spoilt', disabled: [] } });
    const shared = (): Promise<Reply> => trade(githubToken({ aud: SHARED, sub: 'repo:acme/shared:ref:refs/heads/main' }), REPORTS);
    await until(async () => (await shared()).status === 200, 2_000);
    expect(tenantOf(await shared())).toBe('globex');
    await spoil(`auth/postern-trust/acme/${issuerId(GITHUB)}/role/ci`, (was) => ({ ...was, bound_claims: { sub: '*' } }));
    await spoil(`auth/postern-trust/acme/${issuerId(CLUSTER)}/config`, (was) => ({ ...was, jwt_validation_pubkeys: [pemOf(issuerKey)] }));
    await spoil(`${theirs}/shared`, ({ keys: _keys, ...was }) => ({ ...was, jwks_url: 'https://127.0.0.1:9/keys' }));
    await spoil(`${theirs}/ci`, (was) => ({ ...was, audience: 'https://elsewhere.example.com' }));
    try {
      const { code, checks } = await doctor();
      expect(code).toBe(6);
      const seen = (name: string): string => checks.find((one) => one.name === name)?.seen ?? 'nothing';
      expect(seen('trust: acme/ci')).toBe('Vault judges its tokens by other claims than brokers');
      expect(seen('trust: acme/pods')).toBe("Vault takes the issuer's keys from elsewhere than brokers");
      expect(seen('trust: acme/shared')).toMatch(/issuer is not an https address$/);
      expect(seen('trust: globex/shared')).toBe("Vault takes the issuer's keys from elsewhere than brokers");
      expect(seen('trust: globex/ci')).toMatch(/by other claims than brokers; it is not found where no client_id is sent$/);
      expect(checks.filter(({ status }) => status === 'warning')).toMatchObject([{ seen: expect.stringContaining('lies at an address') }]);
    } finally {
      for (const [path, was] of kept) await root.write(path, was);
      await root.write('postern/data/state/catalog', { data: { digest: 'as before', disabled: [] } });
    }
    expect((await doctor()).code).toBe(0);
  }, 60_000);

  test('a disabled tenant, a narrowed trust, a removed one, a deleted tenant', async () => {
    await within(200);
    expect((await postern(['tenant', 'disable', 'acme'], { env })).code).toBe(0);
    await within(403);
    expect((await postern(['tenant', 'enable', 'acme'], { env })).code).toBe(0);
    await within(200);
    await house.apply({ tenants: { acme: { ...acme, trusts: { ...acme.trusts, ci: { ...ci, scopes: ['read:orders'] } } }, globex } });
    await until(async () => (await trade(githubToken())).body['scope'] === 'read:orders', 2_000);
    const { ci: _ci, ...others } = acme.trusts;
    await house.apply({ tenants: { acme: { ...acme, trusts: others }, globex } });
    await within(400);
    await house.apply({ tenants: { acme, globex } });
    await within(200);
    expect((await postern(['tenant', 'delete', 'acme', '--yes'], { env })).code).toBe(0);
    await until(async () => (await everywhere()).every((one) => one !== 200), 2_000);
  }, 180_000);
});
