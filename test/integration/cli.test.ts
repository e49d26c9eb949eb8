import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VaultToken } from '#broker/credential/identity.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { announce } from '#broker/operator/announcement.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { postern } from './cli-run.ts';
import type { Ran, RunOptions } from './cli-run.ts';

/*
 * The real CLI as a process, against the real Vault that Terraform has set up, with a token that has the operators'
 * policy and no more.
 */

const ORDERS = 'https://orders.example.com';
const REPORTS = 'https://reports.example.com';
const REPORTER = ['--grant', 'reports=read:reports'];

let house: House;
let replica: LocalReplica;
let operator: string;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-cli-'));
  house = await startHouse();
  replica = await house.startReplica();
  operator = await vaultToken(house, 'postern-operator', { display_name: 'olivia' });
});
afterAll(async () => {
  await house?.stop();
  await rm(folder, { recursive: true, force: true });
});

const env = (): Record<string, string> => ({ VAULT_ADDR: house.vault.address, VAULT_TOKEN: operator });

const cli = (line: string | readonly string[], options: RunOptions = {}): Promise<Ran> =>
  postern(typeof line === 'string' ? line.split(' ') : line, { ...options, env: { ...env(), ...options.env } });

const epoch = async (): Promise<{ epoch: number; disabled: string[]; recent: object[] }> =>
  ((await house.root.read('postern/data/state/epoch'))?.data?.['data'] ?? { epoch: 0, disabled: [], recent: [] }) as {
    epoch: number;
    disabled: string[];
    recent: object[];
  };

/** A secret_id issued by the CLI, opened as the customer does. */
async function issue(tenant: string, ...options: string[]): Promise<{ client_id: string; client_secret: string; accessor: string }> {
  const { json } = await cli(['secret', 'issue', tenant, '--no-wrap', '--json', ...options]);
  return { client_id: json['role_id'], client_secret: json['secret_id'], accessor: json['accessor'] };
}

describe('tenants', () => {
  test('are made so that they work at once, and are shown as they are', async () => {
    const made = await cli([
      'tenant',
      'create',
      'initech',
      '--json',
      ...REPORTER,
      '--default-api',
      'reports',
      '--claim',
      'https://example.com/plan=gold=1',
      '--cidr',
      '0.0.0.0/0',
      '--token-ttl',
      '2m',
      '--secret-ttl',
      '30d',
    ]);
    expect(made.code).toBe(0);
    expect(made.json).toMatchObject({
      tenant: 'initech',
      state: 'active',
      grants: [{ api: 'reports', scopes: ['read:reports'] }],
      default_api: 'reports',
      claims: { 'https://example.com/plan': 'gold=1' },
      cidrs: ['0.0.0.0/0'],
      token_ttl: 120,
      secret_id_ttl: 30 * 86_400,
      problems: [],
    });
    const role = (await house.root.read('auth/approle/role/initech'))?.data;
    expect(role).toMatchObject({
      token_type: 'batch',
      token_policies: ['postern-tenant'],
      token_no_default_policy: true,
      token_ttl: 120,
      token_max_ttl: 120,
      bind_secret_id: true,
    });

    expect((await cli('tenant show initech --json')).json).toEqual({ ...made.json, trusts: [] });
    const shown = await cli('tenant show initech');
    expect(shown.stdout).toContain(made.json['role_id']);
    expect(shown.stderr).toBe('');

    const got = await exchange(replica, await issue('initech', '--cidr', '0.0.0.0/1', '--cidr', '128.0.0.0/1'), {});
    expect(got.status, got.text).toBe(200);
  });

  test('tell how long a token lives on that nobody can take back any more', async () => {
    expect((await cli('tenant show acme --json')).json['lives_on']).toEqual([
      { api: 'orders', seconds: 86_400 },
      { api: 'reports', seconds: 3_600 },
    ]);
    expect((await cli('tenant show acme')).stdout).toMatch(/a token lives on +orders: up to 1 day after a revocation/);
  });

  test('that serve an API may introspect the tokens for it, until that is taken back', async () => {
    expect((await cli(['tenant', 'create', 'orders-service', '--json', '--introspect', 'reports'])).json).toMatchObject({
      introspects: ['reports'],
      grants: [],
      state: 'active',
    });
    const token = String((await exchange(replica, await issue('acme'), { audience: 'https://reports.example.com' })).body['access_token']);
    const { client_id, client_secret } = await issue('orders-service');
    const ask = async () =>
      (
        await fetch(`${replica.issuer}oauth/introspect`, { method: 'POST', body: new URLSearchParams({ client_id, client_secret, token }) })
      ).json() as Promise<{ active: boolean }>;
    expect(await ask()).toMatchObject({ active: true, 'https://postern.dev/tenant': 'acme' });
    expect((await cli('tenant create orders-service --update --no-introspect --json')).json).toMatchObject({ introspects: [] });
    await expect.poll(ask, { interval: 50 }).toEqual({ active: false });
    expect((await cli(['tenant', 'create', 'wrong', '--introspect', 'nope'])).stderr).toContain('no API "nope" to introspect');
    expect((await cli('tenant delete orders-service --yes')).code).toBe(0);
  });

  test('that exist are not overwritten, unless it is said', async () => {
    const again = await cli(['tenant', 'create', 'acme', ...REPORTER]);
    expect(again.code).toBe(4);
    expect(again.stdout).toBe('');
    expect(again.stderr).toContain('--update');
    expect((await cli('tenant show acme --json')).json['grants']).toHaveLength(2);

    const before = await epoch();
    const updated = await cli('tenant create initech --update --json --no-claim --no-cidr --grant reports= --grant orders=read:orders');
    expect(updated.json).toMatchObject({
      claims: {},
      cidrs: [],
      grants: [
        { api: 'reports', scopes: [] },
        { api: 'orders', scopes: ['read:orders'] },
      ],
      // What is not named stays.
      default_api: 'reports',
      token_ttl: 120,
    });
    // Brokers remember grants, and are told.
    expect((await epoch()).epoch).toBe(before.epoch + 1);
  });

  test('are refused with every fault at once, and with what exists', async () => {
    const bad = await cli([
      'tenant',
      'create',
      'umbrella',
      '--json',
      '--grant',
      'nope=x',
      '--grant',
      'orders=read:orders,steal',
      '--claim',
      'https://postern.dev/tenant=acme',
      '--organization',
      'x',
      '--token-ttl',
      '2h',
      '--cidr',
      '10.0.0.999/8',
    ]);
    expect(bad.code).toBe(2);
    expect(bad.stdout).toBe('');
    const { error, message } = JSON.parse(bad.stderr) as { error: string; message: string };
    expect(error).toBe('invalid_request');
    for (const part of [
      '"nope"',
      'orders, payroll, reports',
      '"steal"',
      'read:orders, write:orders',
      'https://postern.dev/tenant',
      '"x"',
      'token TTL',
      '10.0.0.999/8',
    ])
      expect(message).toContain(part);
    expect(await house.root.read('auth/approle/role/umbrella')).toBeUndefined();
    expect((await house.root.read('postern/data/tenants/umbrella'))?.data?.['data']).toBeUndefined();
  });

  test('are listed, for people and programs', async () => {
    const { json } = await cli('tenant list --json');
    expect(json['tenants'].map(({ tenant }: { tenant: string }) => tenant)).toEqual(['acme', 'globex', 'initech']);
    const brief = (await cli('tenant list --brief --json')).json;
    expect(brief).toEqual({
      tenants: json['tenants'].map(({ tenant, state }: Record<string, unknown>) => ({ tenant, state })),
      next: null,
    });
    expect((await cli('tenant list --brief --limit 1')).stdout).toBe(`${brief['tenants'][0].tenant}\t${brief['tenants'][0].state}\n`);
    const { stdout, stderr } = await cli('tenant list');
    // Piped: tab-separated, without heading, colour or warning.
    expect(stdout.split('\n')[0]?.split('\t')).toEqual(['acme', 'active', 'orders,reports', '-', house.roleIds['acme']]);
    expect(stderr).toBe('');
  });

  test('that are disabled get nothing, and are enabled again', async () => {
    const credential = await issue('globex');
    expect((await exchange(replica, credential, { audience: REPORTS })).status).toBe(200);
    const { code, json } = await cli('tenant disable globex --json');
    expect(code).toBe(0);
    expect(json['state']).toBe('disabled');
    await expect.poll(async () => (await exchange(replica, credential, { audience: REPORTS })).status, { interval: 50 }).toBe(403);
    expect((await epoch()).disabled).toEqual(['globex']);
    expect((await cli('tenant list --brief')).stdout).toContain('globex\tdisabled\n');
    const told = await cli(['token', '--client-id', credential.client_id, '--url', replica.issuer, '--audience', REPORTS], {
      input: credential.client_secret,
    });
    expect(told.stderr).toContain('postern tenant enable');
    expect(told.stderr).not.toContain('no grant');
    // Issuing goes on, with a word about it.
    expect((await cli('secret issue globex --json')).stderr).toContain('is disabled');

    expect((await cli('tenant enable globex --json')).json['state']).toBe('active');
    expect((await epoch()).disabled).toEqual([]);
    await expect.poll(async () => (await exchange(replica, credential, { audience: REPORTS })).status, { interval: 50 }).toBe(200);
  });

  test('are deleted with all that is theirs, after a question', async () => {
    const credential = await issue('initech');
    expect((await exchange(replica, credential, {})).status).toBe(200);
    expect(await house.root.list('postern-tokens/metadata/initech')).not.toEqual([]);
    const asked = await cli('tenant delete initech');
    expect(asked.code).toBe(2);
    expect(asked.stderr).toContain('--yes');

    const { code, json } = await cli('tenant delete initech --yes --json');
    expect(code).toBe(0);
    expect(json).toMatchObject({ deleted: true, tenant: 'initech' });
    expect(json['cached_tokens']).toBeGreaterThan(0);
    expect(await house.root.read('auth/approle/role/initech')).toBeUndefined();
    expect(await house.root.read('postern/metadata/tenants/initech')).toBeUndefined();
    expect(await house.root.list('postern-tokens/metadata/initech')).toEqual([]);
    expect((await epoch()).disabled).toEqual([]);
    await expect.poll(async () => (await exchange(replica, credential, {})).status, { interval: 50 }).toBe(401);
    expect((await cli('tenant delete initech --yes')).code).toBe(4);
  });

  test('that were half made or half deleted are completed by the same command', async () => {
    // Made: the document is there, the role is not.
    await house.root.write('postern/data/tenants/half', { data: { grants: [] } });
    expect((await cli('tenant show half --json')).json).toMatchObject({ state: 'incomplete', role_id: null });
    expect((await cli(['tenant', 'create', 'half', '--json', ...REPORTER])).json).toMatchObject({ state: 'active', problems: [] });
    // Deleted: it is disabled and a token lies in the cache, all else is gone.
    await house.root.delete('auth/approle/role/half');
    await house.root.delete('postern/metadata/tenants/half');
    await house.root.write('postern-tokens/data/half/reports/abc', { data: { grant: 'x' } });
    expect((await cli('tenant delete half --yes --json')).json).toMatchObject({ deleted: true, cached_tokens: 1 });
    expect(await house.root.list('postern-tokens/metadata/half/reports')).toEqual([]);
  });
});

describe('secret_ids', () => {
  test('are issued wrapped, with who, when and what for, and the wrapping opens once', async () => {
    const { code, json, stderr } = await cli([
      'secret',
      'issue',
      'acme',
      '--json',
      '--name',
      'nightly job',
      '--ttl',
      '2h',
      '--num-uses',
      '500',
      '--cidr',
      '0.0.0.0/1',
      '--cidr',
      '128.0.0.0/1',
      '--wrap',
      '5m',
    ]);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    expect(json).toMatchObject({
      tenant: 'acme',
      role_id: house.roleIds['acme'],
      name: 'nightly job',
      issued_by: 'token-olivia',
      num_uses: 500,
      cidrs: ['0.0.0.0/1', '128.0.0.0/1'],
      warnings: [],
    });
    expect(json['secret_id']).toBeUndefined();
    const seen =
      (await house.root.write('auth/approle/role/acme/secret-id-accessor/lookup', { secret_id_accessor: json['accessor'] })).data ?? {};
    const metadata = seen['metadata'] as Record<string, string>;
    expect(metadata).toMatchObject({ issued_by: 'token-olivia', name: 'nightly job' });
    // The broker trusts this, so it must never be later than Vault's own end, and not much sooner.
    const end = Date.parse(String(seen['expiration_time'])) / 1000;
    expect(Number(metadata['expires_at'])).toBeLessThanOrEqual(end);
    expect(Number(metadata['expires_at'])).toBeGreaterThan(end - 5);
    expect(Math.abs(Date.parse(metadata['issued_at'] ?? '') - Date.now())).toBeLessThan(60_000);
    expect(new Date(json['wrap_expires_at']).getTime() - Date.now()).toBeGreaterThan(200_000);

    const played = await cli(['token', '--json', '--wrapped', '--client-id', json['role_id'], '--audience', REPORTS], {
      input: `${json['wrapping_token']}\n`,
      env: { POSTERN_URL: replica.issuer, VAULT_TOKEN: undefined },
    });
    expect(played.json).toMatchObject({ verified: true, claims: { aud: REPORTS } });
    const again = await cli(['token', '--wrapped', '--client-id', json['role_id']], {
      input: json['wrapping_token'],
      env: { POSTERN_URL: replica.issuer },
    });
    expect(again.code).toBe(3);
    expect(again.stderr).toContain('somebody else did');
  });

  test('unwrapped stand alone on stdout, with a warning beside it', async () => {
    const { code, stdout, stderr } = await cli('secret issue acme --no-wrap');
    registerSecret('secret_id', stdout.trim());
    expect(code).toBe(0);
    expect(stdout).toMatch(/^[0-9a-f-]{36}\n$/);
    expect(stderr).toContain('warning:');
    expect(stderr.includes(stdout.trim())).toBe(false);
  });

  test('are cut short by the mount, and it is said', async () => {
    await house.root.write('sys/auth/approle/tune', { max_lease_ttl: '7200s' });
    try {
      const { json, stderr } = await cli('secret issue acme --json --ttl 30d');
      expect(json['warnings'].join()).toContain('7200 s, not 2592000 s');
      expect(stderr).toContain('cuts it short');
      expect(Date.parse(json['expires_at']) - Date.now()).toBeLessThan(7_201_000);
    } finally {
      await house.root.write('sys/auth/approle/tune', { max_lease_ttl: '31536000s' });
    }
  });

  test('warn of a life in logins that a broker uses up', async () => {
    expect((await cli('secret issue acme --json --num-uses 1')).stderr).toContain('Each broker logs in about every 30 s');
  });

  test('outside of what the role may use are refused in words', async () => {
    expect((await cli(['tenant', 'create', 'fenced', ...REPORTER, '--cidr', '10.0.0.0/8'])).code).toBe(0);
    const { code, stderr } = await cli('secret issue fenced --cidr 11.0.0.0/8');
    expect(code).toBe(2);
    expect(stderr).toContain('10.0.0.0/8');
    expect((await cli('secret issue fenced --cidr 10.1.0.0/16 --json')).json['cidrs']).toEqual(['10.1.0.0/16']);
    // One that names none is not usable from anywhere: its tenant's count.
    expect((await cli('secret issue fenced')).stdout).toMatch(/usable from +10\.0\.0\.0\/8\n/);
    expect((await cli('key issue fenced')).stderr).toMatch(/usable from +10\.0\.0\.0\/8\n/);
    const [secrets, keys] = [await cli('secret list fenced'), await cli('key list fenced')];
    expect(secrets.stdout).toMatch(/\t10\.1\.0\.0\/16\n[^]*\t10\.0\.0\.0\/8\n/);
    expect(keys.stdout).toMatch(/\t10\.0\.0\.0\/8\n$/);
    expect(`${secrets.stdout}${keys.stdout}`).not.toContain('anywhere');
    expect((await cli('key list fenced --json')).json['tenant_cidrs']).toEqual(['10.0.0.0/8']);
    await cli('tenant delete fenced --yes');
  });

  test('of nobody are not issued', async () => {
    expect((await cli('secret issue nobody')).code).toBe(4);
    expect((await cli('secret list nobody')).code).toBe(4);
    expect((await cli('secret revoke nobody 6f1c7f02-6c51-4d0a-8f0e-2d9a4d1f3b55')).code).toBe(4);
  });

  test('are listed by accessor: many, quickly, and never the secret', async () => {
    const secrets: string[] = [];
    for (let n = 0; n < 150; n += 1) {
      const { data } = await house.root.write(
        'auth/approle/role/globex/secret-id',
        n === 0 ? { num_uses: 7, metadata: '{"name":"first"}' } : {},
      );
      secrets.push(String(data?.['secret_id']));
      registerSecret('secret_id', String(data?.['secret_id']));
    }
    const { json, stdout } = await cli('secret list globex --json');
    expect(json['secret_ids'].length).toBeGreaterThanOrEqual(150);
    expect(json['secret_ids'].find(({ name }: { name: string | null }) => name === 'first')).toMatchObject({
      uses_left: 7,
      expires_at: null,
      cidrs: [],
      issued_by: null,
    });
    expect(secrets.some((secret) => stdout.includes(secret))).toBe(false);
    expect(
      (await cli('secret list globex')).stdout.split('\n').filter((line) => line.split('\t').length === 7).length,
    ).toBeGreaterThanOrEqual(150);
  });

  test('are revoked by accessor on every broker; the others go on', async () => {
    const [revoked, other] = [await issue('acme', '--name', 'old'), await issue('acme')];
    expect((await exchange(replica, revoked, { audience: REPORTS })).status).toBe(200);
    const before = (await epoch()).epoch;
    const { code, json } = await cli(['secret', 'revoke', 'acme', revoked.accessor, '--json']);
    expect(code).toBe(0);
    expect(json).toEqual({ tenant: 'acme', revoked: [revoked.accessor], missing: [], epoch: before + 1 });
    await expect.poll(async () => (await exchange(replica, revoked, { audience: REPORTS })).status, { interval: 50 }).toBe(401);
    expect((await exchange(replica, other, { audience: REPORTS })).status).toBe(200);

    // Once more: nothing is there, and it is announced all the same, in case the first run did not come so far.
    const again = await cli(['secret', 'revoke', 'acme', revoked.accessor, '--json']);
    expect(again.code).toBe(4);
    expect(again.json).toEqual({ tenant: 'acme', revoked: [], missing: [revoked.accessor], epoch: before + 2 });
  });

  test('of another tenant are out of reach', async () => {
    const foreign = await issue('globex');
    expect((await cli(['secret', 'revoke', 'acme', foreign.accessor])).code).toBe(4);
    expect((await exchange(replica, foreign, { audience: REPORTS })).status).toBe(200);
  });

  test('are all revoked at once, after a question', async () => {
    expect((await cli('secret revoke globex --all')).stderr).toContain('--yes');
    const { json } = await cli('secret revoke globex --all --yes --json');
    expect(json['revoked'].length).toBeGreaterThanOrEqual(151);
    expect((await cli('secret list globex --json')).json['secret_ids']).toEqual([]);
    // A second time there is nothing to do, which is not a fault.
    expect((await cli('secret revoke globex --all --yes')).code).toBe(0);
  });

  test('a secret_id in the place of an accessor is not repeated', async () => {
    const { client_secret: secret } = await issue('acme');
    const { code, stderr, stdout } = await cli(['secret', 'revoke', 'acme', secret]);
    expect(code).toBe(4);
    expect(`${stderr}${stdout}`.includes(secret)).toBe(false);
  });
});

describe('announcements', () => {
  test('of many operators at once are all kept', async () => {
    const before = (await epoch()).epoch;
    const client = new VaultClient({ address: house.vault.address, timeoutMs: 10_000 });
    const access = new VaultAccess({ client, token: new VaultToken(operator) });
    const others = Array.from({ length: 20 }, (_, n) => announce(access, `tenant-${n}`, n % 2 === 0 ? 'disable' : 'changed'));
    await Promise.all([cli('tenant disable acme'), ...others]);
    const after = await epoch();
    expect(after.epoch).toBe(before + 21);
    expect(after.recent.slice(-21).map((one) => (one as { epoch: number }).epoch)).toEqual(
      Array.from({ length: 21 }, (_, n) => before + 1 + n),
    );
    expect(after.disabled).toHaveLength(11);
    await house.root.write('postern/data/state/epoch', { data: { ...after, disabled: ['acme'] } });
    expect((await cli('tenant enable acme')).code).toBe(0);
    expect((await epoch()).disabled).toEqual([]);
    // A broker that hasn't seen this when the document goes takes it for lost by a restore, and goes on refusing.
    const credential = await issue('acme');
    await expect.poll(async () => (await exchange(replica, credential, { audience: REPORTS })).status).toBe(200);
    // Whoever deletes the document does not make brokers see an old number again.
    const { epoch: last } = await epoch();
    await house.root.delete('postern/data/state/epoch');
    expect((await announce(access, 'acme')).epoch).toBeGreaterThan(last);
    await client.close();
  });

  test('that are not valid are told with the way back, and nothing is overwritten', async () => {
    const good = await epoch();
    const { data } = await house.root.write('postern/data/state/epoch', { data: { epoch: 'seventeen' } });
    const { code, stderr } = await cli('tenant disable acme');
    expect(code).toBe(6);
    expect(stderr).toContain(`vault kv rollback -mount=postern -version=${Number(data?.['version']) - 1} state/epoch`);
    await house.root.write('postern/data/state/epoch', { data: good });
  });
});

describe('the upstream credential', () => {
  const secret = 'upstream-secret-1234567890';
  const stored = async (): Promise<unknown> => (await house.root.read('postern/data/upstream/auth0'))?.data?.['data'];

  test('is set from a pipe or a file by an operator, who cannot read it', async () => {
    registerSecret('client_secret', secret);
    const { code, stdout, stderr } = await cli('upstream set --client-id shared --json', { input: `${secret}\n` });
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ client_id: 'shared', previous: 'not readable' });
    expect(`${stdout}${stderr}`.includes(secret)).toBe(false);
    expect(await stored()).toEqual({ client_id: 'shared', client_secret: secret });

    const [fresh, previous] = [join(folder, 'new'), join(folder, 'old')];
    await writeFile(fresh, 'rotated-secret-1234567890', { mode: 0o600 });
    await writeFile(previous, `${secret}\n`, { mode: 0o644 });
    const rotated = await cli(['upstream', 'set', '--client-id', 'shared', '--secret-file', fresh, '--previous-secret-file', previous]);
    expect(rotated.code).toBe(0);
    expect(rotated.stderr).toContain('chmod 600');
    expect(await stored()).toEqual({ client_id: 'shared', client_secret: 'rotated-secret-1234567890', previous_client_secret: secret });
  });

  test('keeps the one before it, by whoever may read it', async () => {
    await cli('upstream set --client-id shared', { input: 'third-secret-1234567890', env: { VAULT_TOKEN: house.vault.rootToken } });
    expect(await stored()).toEqual({
      client_id: 'shared',
      client_secret: 'third-secret-1234567890',
      previous_client_secret: 'rotated-secret-1234567890',
    });
  });

  test.each([
    ['nothing', [], ''],
    ['white space inside', [], 'two words'],
    ['a file that is not there', ['--secret-file', '/nonexistent'], ''],
  ])('is refused with %s, and stays', async (_, options, input) => {
    const before = await stored();
    expect((await cli(['upstream', 'set', '--client-id', 'shared', ...options], { input })).code).toBe(2);
    expect(await stored()).toEqual(before);
  });

  test('on the command line is refused, and not repeated', async () => {
    for (const line of [
      ['upstream', 'set', '--client-id', 'x', secret],
      ['token', '--client-id', 'x', secret],
      ['token', '--raw', secret],
      ['upstream', 'set', '--client-secret', secret],
    ]) {
      const { code, stderr, stdout } = await cli(line);
      expect(code).toBe(2);
      expect(`${stderr}${stdout}`.includes(secret), line[0]).toBe(false);
    }
  });
});

describe('token plays the customer', () => {
  const play = (args: readonly string[], options: RunOptions = {}): Promise<Ran> =>
    cli(['token', ...args], { ...options, env: { POSTERN_URL: replica.issuer, VAULT_TOKEN: undefined, ...options.env } });

  test('decodes and verifies what comes back, without showing the token', async () => {
    const { client_id: id, client_secret: secret } = await issue('acme');
    const { code, stdout, stderr } = await play(['--client-id', id, '--audience', REPORTS, '--scope', 'read:reports'], { input: secret });
    expect(code, stderr).toBe(0);
    expect(stdout).toContain(`verified by ${replica.issuer}.well-known/jwks.json`);
    expect(stdout).toMatch(/expires +in (1 hour|5\d minutes)/);
    expect(stdout).toContain('"gty": "client-credentials"');
    expect(stdout).not.toMatch(/eyJ/);
    expect(stderr).toBe('');
  });

  test('verifies a token of Auth0 by the keys of Auth0', async () => {
    // Set by another test to something that the stand-in does not know.
    const account = house.auth0.account.clients[0];
    await cli(['upstream', 'set', '--client-id', String(account?.id)], { input: String(account?.secrets[0]) });
    const { client_id: id, client_secret: secret } = await issue('acme');
    const { json } = await play(['--json', '--client-id', id, '--audience', ORDERS], { env: { POSTERN_CLIENT_SECRET: secret } });
    expect(json).toMatchObject({
      verified: true,
      fault: null,
      claims: { iss: house.auth0.issuer, aud: ORDERS, 'https://postern.dev/tenant': 'acme' },
    });
    expect(json['access_token']).toBeUndefined();
  });

  test('--raw gives the token alone', async () => {
    const { client_id: id, client_secret: secret } = await issue('acme');
    const file = join(folder, 'secret');
    await writeFile(file, secret, { mode: 0o600 });
    const { stdout, stderr } = await play(['--raw', '--client-id', id, '--audience', REPORTS, '--secret-file', file]);
    registerSecret('access token', stdout.trim());
    expect(stdout).toMatch(/^eyJ[\w-]+\.[\w-]+\.[\w-]+\n$/);
    expect(stderr).toBe('');
  });

  test('tells each refusal with its exit code', async () => {
    const { client_id: id, client_secret: secret } = await issue('acme');
    const codes = async (args: string[], options: RunOptions): Promise<number | undefined> => (await play(args, options)).code;
    expect(await codes(['--client-id', id, '--audience', REPORTS], { input: '6f1c7f02-6c51-4d0a-8f0e-2d9a4d1f3b55' })).toBe(3);
    expect(await codes(['--client-id', id, '--audience', 'https://payroll.example.com'], { input: secret })).toBe(3);
    expect(await codes(['--client-id', id, '--audience', REPORTS, '--scope', 'steal'], { input: secret })).toBe(3);
    expect(await codes(['--audience', REPORTS], { input: secret })).toBe(2);
    expect(await codes(['--client-id', id, '--audience', REPORTS], { input: '' })).toBe(2);
    expect(await codes(['--client-id', id, '--audience', REPORTS, '--url', 'http://127.0.0.1:9'], { input: secret })).toBe(5);
    expect(await codes(['--client-id', id, '--url', 'file:///etc/passwd'], { input: secret })).toBe(2);
  });

  test('does not open a wrapping token that holds something else', async () => {
    const response = await fetch(`${house.vault.address}/v1/sys/wrapping/wrap`, {
      method: 'POST',
      headers: { 'X-Vault-Token': house.vault.rootToken, 'X-Vault-Wrap-TTL': '60s' },
      body: JSON.stringify({ secret_id: 'mine' }),
    });
    const { token } = ((await response.json()) as { wrap_info: { token: string } }).wrap_info;
    registerSecret('wrapping token', token);
    const { code, stderr } = await play(['--wrapped', '--client-id', 'x'], { input: token });
    expect(code).toBe(3);
    expect(stderr).toContain('not made by');
    expect((await house.root.write('sys/wrapping/lookup', { token })).data).toBeDefined();
  });
});

describe('what goes wrong says what to do', () => {
  test.each([
    ['a Vault that is not there', { VAULT_ADDR: 'http://127.0.0.1:9' }, 5, 'VAULT_ADDR'],
    ['a wrong token', { VAULT_TOKEN: 'hvs.wrong' }, 3, 'postern login'],
    ['a mount that is not there', { POSTERN_APPROLE_MOUNT: 'elsewhere' }, 3, 'postern login'],
  ])('%s', async (_, more, expected, word) => {
    const { code, stdout, stderr } = await cli('tenant list', { env: more as Record<string, string> });
    expect(code, stderr).toBe(expected);
    expect(stdout).toBe('');
    expect(stderr).toContain(word);
    expect(stderr).not.toMatch(/\bat .*\.ts/);
  });

  test("an auditor's token looks and changes nothing", async () => {
    const auditor = { VAULT_TOKEN: await vaultToken(house, 'postern-auditor', { display_name: 'olivia' }) };
    expect((await cli('tenant list --json', { env: auditor })).json['tenants']).toHaveLength(2);
    expect((await cli('secret list acme', { env: auditor })).code).toBe(0);
    for (const line of ['tenant disable acme', 'secret issue acme', 'secret revoke acme --all --yes', 'tenant delete acme --yes']) {
      const { code, stderr } = await cli(line, { env: auditor });
      expect(code, line).toBe(3);
      expect(stderr).toContain('postern login');
    }
    expect((await epoch()).disabled).toEqual([]);
  });

  test('the token of `vault login` is used where there is no VAULT_TOKEN', async () => {
    await writeFile(join(folder, '.vault-token'), operator, { mode: 0o600 });
    expect((await cli('tenant list', { env: { VAULT_TOKEN: undefined, HOME: folder } })).code).toBe(0);
  });
});
