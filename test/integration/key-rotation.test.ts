import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ApiKey } from '#broker/credential/api-key.ts';
import { VaultToken } from '#broker/credential/identity.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { issueKey } from '#broker/operator/key/issue.ts';
import type { IssueKeyOptions } from '#broker/operator/key/issue.ts';
import { listKeys } from '#broker/operator/key/list.ts';
import type { KeyView } from '#broker/operator/key/list.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { untilAll } from '#test/fixture/until.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { log, postern, spawnPostern } from './cli-run.ts';
import type { Ran } from './cli-run.ts';
import { startRelay } from './relay.ts';
import type { Relay } from './relay.ts';

/*
 * `postern key rotate`: both keys during the overlap, and what is left behind when it is interrupted at each of its steps. A
 * relay between the CLI and the real Vault holds up chosen requests; brokers reach Vault without it.
 */

const REPORTS = { audience: 'https://reports.example.com' };

let house: House;
let replicas: LocalReplica[];
let client: VaultClient;
let operator: string;
let auditor: string;
let relay: Relay;

beforeAll(async () => {
  house = await startHouse({
    apis: { reports: { audience: REPORTS.audience, source: 'transit', scopes: ['read:reports', 'write:reports'] } },
    tenants: {
      acme: { grants: [{ api: 'reports', scopes: ['read:reports', 'write:reports'] }] },
      limited: { grants: [{ api: 'reports', scopes: ['read:reports'] }], secret_id_ttl: 7200 },
      leaver: { grants: [{ api: 'reports', scopes: ['read:reports'] }] },
    },
  });
  replicas = await Promise.all([house.startReplica(), house.startReplica(), house.startReplica()]);
  client = new VaultClient({ address: house.vault.address, timeoutMs: 10_000 });
  [operator, auditor] = await Promise.all([vaultToken(house, 'postern-operator'), vaultToken(house, 'postern-auditor')]);
});
afterAll(async () => {
  await client?.close();
  await house?.stop();
});
beforeEach(async () => {
  relay = await startRelay(house.vault.address);
});
afterEach(() => relay.stop());

const env = (token = operator): Record<string, string> => ({ VAULT_ADDR: relay.address, VAULT_TOKEN: token });
const cli = (args: readonly string[], token = operator): Promise<Ran> => postern(['key', ...args], { env: env(token) });

interface Key {
  key: string;
  key_id: string;
  accessor: string | null;
  expires_at: string | null;
  scopes: string[] | null;
  cidrs: string[];
  [more: string]: unknown;
}

function registered(json: Record<string, any>): Key {
  registerSecret('api key', json['key']);
  registerSecret('secret_id', ApiKey.parse(json['key'])!.credential.reveal());
  return json as Key;
}

/** Without a process of its own, as all that only prepares or looks. */
async function issue(tenant: string, options: Omit<IssueKeyOptions, 'tenant'> = {}): Promise<Key> {
  return registered({ ...(await issueKey(access(operator), { tenant, ...options })) });
}

async function rotate(tenant: string, which: string, ...options: string[]): Promise<Key> {
  const { code, json, stderr } = await cli(['rotate', tenant, which, '--json', ...options]);
  if (code !== 0) throw new Error(`key rotate: ${code} ${stderr}`);
  return registered(json);
}

const statuses = (key: string): Promise<number[]> => {
  const { credential } = ApiKey.parse(key)!;
  return Promise.all(
    replicas.map(
      async (replica) => (await exchange(replica, { client_id: credential.clientId, client_secret: credential.reveal() }, REPORTS)).status,
    ),
  );
};

const untilRefused = (key: string, limitMs: number): Promise<number> => untilAll(401, () => statuses(key), limitMs);

const access = (token: string): VaultAccess => new VaultAccess({ client, token: new VaultToken(token) });
const listed = (tenant: string, token = operator): Promise<KeyView[]> => listKeys(access(token), tenant);
const stateOf = async (tenant: string, keyId: string, token = operator): Promise<string | undefined> =>
  (await listed(tenant, token)).find(({ key_id: id }) => id === keyId)?.state;
/** As root, past the CLI: key ids that Vault still has, and whom each replaces. */
async function inVault(tenant: string): Promise<{ key_id: string; replaces?: string }[]> {
  const accessors = await house.root.list(`auth/approle/role/${tenant}/secret-id`);
  const found = await Promise.all(
    accessors.map((secret_id_accessor) =>
      house.root.write(`auth/approle/role/${tenant}/secret-id-accessor/lookup`, { secret_id_accessor }),
    ),
  );
  return found.map(({ data }) => data?.['metadata'] as { key_id: string; replaces?: string }).filter(({ key_id: id }) => id);
}
const rotations = async (tenant: string): Promise<Record<string, any>[]> =>
  (((await house.root.read(`postern/data/keys/${tenant}`))?.data?.['data'] ?? {}) as { rotations?: [] }).rotations ?? [];

const OVERLAP = ['--overlap', '1h'];

describe('a rotation', () => {
  test('gives a key like the old one; both are good until the old one ends, on every replica and to the second', async () => {
    // A Vault in a container sees its network's gateway, not loopback.
    const cidrs = ['127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'];
    const old = await issue('acme', { name: 'web shop', scopes: ['read:reports'], cidrs, ttl: 7200, environment: 'prod' });
    expect(await statuses(old.key)).toEqual([200, 200, 200]);
    const start = Date.now();
    const fresh = await rotate('acme', old.key_id, '--overlap', '4');
    const done = Date.now();
    expect(fresh).toMatchObject({
      name: 'web shop',
      scopes: ['read:reports'],
      cidrs,
      environment: 'prod',
      replaces: old.key_id,
      abandoned: [],
    });
    expect(fresh.key).toMatch(/^postern_prod_/);
    // Vault tells whole seconds, and how it is reckoned from that is at most two early.
    const within = (at: number, ms: number) => at >= start + ms - 2000 && at <= done + ms + 1000;
    // As long a life as the old one had, counted from now.
    expect(within(Date.parse(fresh.expires_at!), 7_200_000)).toBe(true);
    const ends = Date.parse(String(fresh['replaces_until']));
    expect(within(ends, 4000)).toBe(true);
    expect([await statuses(old.key), await statuses(fresh.key)]).toEqual([
      [200, 200, 200],
      [200, 200, 200],
    ]);
    expect((await listed('acme')).filter(({ key_id: id }) => id === old.key_id || id === fresh.key_id)).toMatchObject([
      { key_id: old.key_id, state: 'ending', replaced_by: fresh.key_id, expires_at: new Date(ends).toISOString() },
      { key_id: fresh.key_id, state: 'active', replaces: old.key_id, replaced_by: null },
    ]);
    await untilRefused(old.key, 15_000);
    // Not before its time, and at most 2 s after it.
    expect(Date.now() - ends).toBeGreaterThanOrEqual(0);
    expect(Date.now() - ends).toBeLessThan(2500);
    expect(await statuses(fresh.key)).toEqual([200, 200, 200]);
    // An auditor sees it, and destroys nothing; the next operator who looks does.
    expect(await stateOf('acme', old.key_id, auditor)).toBe('ended');
    expect((await inVault('acme')).map(({ key_id: id }) => id)).toContain(old.key_id);
    // By Vault's clock, which tells whole seconds: a look in the very second of the end may come too early.
    await expect
      .poll(async () => (await cli(['list', 'acme'])).stderr, { timeout: 5_000 })
      .toContain(`destroyed, since a rotation ended it: ${old.key_id}`);
    expect((await inVault('acme')).map(({ key_id: id }) => id)).not.toContain(old.key_id);
    expect(await rotations('acme')).toEqual([]);
    expect(await statuses(fresh.key)).toEqual([200, 200, 200]);
  });

  test('without overlap ends the old key within 2 s everywhere, and destroys it', async () => {
    const old = await issue('acme');
    expect(await statuses(old.key)).toEqual([200, 200, 200]);
    const fresh = await rotate('acme', old.accessor!, '--overlap', '0');
    expect(await untilRefused(old.key, 10_000)).toBeLessThan(2000);
    expect(await statuses(fresh.key)).toEqual([200, 200, 200]);
    expect((await inVault('acme')).map(({ key_id: id }) => id)).not.toContain(old.key_id);
    expect(await rotations('acme')).toEqual([]);
  });

  test('holds for a Vault token that the halves of a key logged in for, and so does what the key is narrowed to', async () => {
    const old = await issue('acme', { scopes: ['read:reports'] });
    const { credential } = ApiKey.parse(old.key)!;
    const { auth } = await house.root.write('auth/approle/login', { role_id: credential.clientId, secret_id: credential.reveal() });
    const lent = String(auth?.['client_token']);
    registerSecret('Vault token', lent);
    const lend = async (more: Record<string, string> = {}): Promise<[number, unknown]> => {
      const body = new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: lent,
        subject_token_type: 'urn:postern:params:oauth:token-type:vault-token',
        ...REPORTS,
        ...more,
      });
      const response = await fetch(`${replicas[0]!.issuer}oauth/token`, { method: 'POST', body });
      const answer = (await response.json()) as Record<string, unknown>;
      if (typeof answer['access_token'] === 'string') registerSecret('access token', answer['access_token']);
      return [response.status, answer['scope'] ?? answer['error']];
    };
    expect(await lend()).toEqual([200, 'read:reports']);
    expect(await lend({ scope: 'write:reports' })).toEqual([400, 'invalid_scope']);
    await rotate('acme', old.key_id, '--overlap', '1');
    await untilRefused(old.key, 10_000);
    expect(await lend()).toEqual([400, 'invalid_request']);
  });

  test('that was done is not done again: the same command says so, and shows nothing', async () => {
    const old = await issue('acme');
    const fresh = await rotate('acme', old.key_id, ...OVERLAP);
    const again = await cli(['rotate', 'acme', old.key_id, ...OVERLAP]);
    expect([again.code, again.stdout]).toEqual([4, '']);
    expect(again.stderr).toContain(`is replaced already by ${fresh.key_id}`);
    // The new one can be rotated in turn, while the first still ends.
    const third = await rotate('acme', fresh.key_id, ...OVERLAP);
    expect([await statuses(old.key), await statuses(fresh.key), await statuses(third.key)]).toEqual([
      [200, 200, 200],
      [200, 200, 200],
      [200, 200, 200],
    ]);
    await cli(['revoke', 'acme', old.key_id, fresh.key_id]);
    expect(await rotations('acme')).toEqual([]);
    expect(await statuses(third.key)).toEqual([200, 200, 200]);
  });

  test('never makes a key that ends into one that does not, and says when a life had to become shorter', async () => {
    const ends = await issue('acme', { ttl: 3600 });
    const never = await issue('acme', { ttl: 0 });
    const [a, b] = [await rotate('acme', ends.key_id, ...OVERLAP), await rotate('acme', never.key_id, ...OVERLAP)];
    expect(a.expires_at).not.toBeNull();
    expect([never.expires_at, b.expires_at]).toEqual([null, null]);
    // The tenant's limit is lower now than when the key was issued.
    const long = await issue('limited', { ttl: 7200 });
    await house.root.write('auth/approle/role/limited', { secret_id_ttl: 600 });
    const { json, stderr } = await cli(['rotate', 'limited', long.key_id, '--json']);
    registered(json);
    expect(Math.abs(Date.parse(json['expires_at']) - (Date.now() + 600_000))).toBeLessThan(10_000);
    expect(stderr).toContain('It ends after 600 s');
  });

  test('keeps its limits, or gives the new key others', async () => {
    const first = await issue('acme', { limits: { per_minute: 600 } });
    const same = await rotate('acme', first.key_id, ...OVERLAP);
    const other = await rotate('acme', same.key_id, ...OVERLAP, '--limit', '20/min', '--limit', '100/day');
    expect((await listed('acme')).find(({ key_id: id }) => id === other.key_id)?.limits).toEqual({ per_minute: 20, per_day: 100 });
    const none = await rotate('acme', other.key_id, ...OVERLAP, '--no-limit');
    expect([same['limits'], other['limits'], none['limits']]).toEqual([{ per_minute: 600 }, { per_minute: 20, per_day: 100 }, null]);
    const wrong = await cli(['rotate', 'acme', none.key_id, '--limit', '20/fortnight']);
    expect(wrong.code).toBe(2);
    expect((await listed('acme')).find(({ key_id: id }) => id === none.key_id)?.state).toBe('active');
  });

  test.each([
    ['a key that is not there', ['acme', 'key_00000000000000000000dead'], 4],
    ["a neighbour's key", ['limited', '{key}'], 4],
    ['what is not the name of a key', ['acme', 'postern_live_abc'], 2],
    ['an overlap of a year', ['acme', '{key}', '--overlap', '1y'], 2],
  ])('of %s is refused', async (_what, args, code) => {
    const { key_id: keyId } = await issue('acme');
    const ran = await cli(['rotate', ...args.map((arg) => arg.replace('{key}', keyId))]);
    expect([ran.code, ran.stdout]).toEqual([code, '']);
    expect(await stateOf('acme', keyId)).toBe('active');
  });

  test('of a plain secret_id is refused', async () => {
    const { accessor } = await house.issueSecret('acme');
    expect((await cli(['rotate', 'acme', accessor])).code).toBe(4);
  });

  test('of which one thing is garbled serves no key of that tenant, and every other', async () => {
    const [mine, other] = [await issue('leaver'), await issue('acme')];
    const plain = await house.issueSecret('leaver');
    await house.root.write('postern/data/keys/leaver', { data: { rotations: 'soon' } });
    expect(await statuses(mine.key)).toEqual([503, 503, 503]);
    expect(await statuses(other.key)).toEqual([200, 200, 200]);
    expect((await exchange(replicas[0]!, plain, REPORTS)).status).toBe(200);
    const { code, stderr } = await cli(['rotate', 'leaver', mine.key_id]);
    expect(code).toBe(6);
    expect(stderr).toContain('vault kv rollback');
    await house.root.write('postern/data/keys/leaver', { data: { rotations: [] } });
    expect(await statuses(mine.key)).toEqual([200, 200, 200]);
  });

  test('goes with its tenant', async () => {
    const old = await issue('leaver');
    await rotate('leaver', old.key_id, ...OVERLAP);
    expect(await rotations('leaver')).toHaveLength(1);
    expect((await postern(['tenant', 'delete', 'leaver', '--yes'], { env: env() })).code).toBe(0);
    expect(await house.root.read('postern/data/keys/leaver')).toBeUndefined();
  });
});

type Child = ReturnType<typeof spawnPostern>;

/** Steps of a rotation at Vault, in order, each as the request that makes it. */
const STEPS = {
  'before it notes the new key id': /POST \/v1\/postern\/data\/keys\/acme/,
  'after that, before the new key is issued': /POST \/v1\/auth\/approle\/role\/acme\/secret-id$/,
  'after the new key is issued, before it is shown': /POST \/v1\/auth\/approle\/role\/acme\/secret-id-accessor\/lookup/,
} as const;

describe('interrupted', () => {
  /** Runs a rotation until it makes the request of a step for the `nth` time; the request is held up. */
  async function heldAt(step: RegExp, keyId: string, nth = 1): Promise<{ child: Child }> {
    const child = spawnPostern(['key', 'rotate', 'acme', keyId, '--json', ...OVERLAP], { env: env() });
    for (let n = 1; ; n++) {
      relay.hold = step;
      const held = relay.held();
      await held;
      if (n === nth) return { child };
      relay.letGo();
    }
  }

  /** One new key, which was shown, and the old one with its end; both are good. */
  async function expectRotated(old: Key, fresh: Key): Promise<void> {
    expect((await inVault('acme')).filter(({ replaces }) => replaces === old.key_id)).toMatchObject([{ key_id: fresh.key_id }]);
    expect((await rotations('acme')).find(({ key_id: id }) => id === old.key_id)).toMatchObject({
      new_key_id: fresh.key_id,
      until: expect.any(Number) as number,
    });
    expect([await statuses(old.key), await statuses(fresh.key)]).toEqual([
      [200, 200, 200],
      [200, 200, 200],
    ]);
  }

  /** The same command once more. */
  async function resumed(old: Key): Promise<Key> {
    relay.letGo();
    relay.lose = undefined;
    expect(await statuses(old.key)).toEqual([200, 200, 200]);
    const fresh = await rotate('acme', old.key_id, ...OVERLAP);
    await expectRotated(old, fresh);
    return fresh;
  }

  test.each(Object.keys(STEPS) as (keyof typeof STEPS)[])('by kill -9 %s, the same command goes on', async (step) => {
    const old = await issue('acme');
    const { child } = await heldBefore(step, old.key_id);
    child.kill('SIGKILL');
    expect((await child).stdout).toBe('');
    await resumed(old);
  });

  test.each([
    ['before it notes the new key id', 130],
    ['after that, before the new key is issued', 0],
    ['after the new key is issued, before it is shown', 0],
  ] as const)('by Ctrl-C %s: it stops before it issues, or goes on to the end', async (step, code) => {
    const old = await issue('acme');
    const { child } = await heldBefore(step, old.key_id);
    child.kill('SIGINT');
    await sleep(100);
    relay.letGo();
    const { stdout, stderr, exitCode } = await child;
    log(['key', 'rotate'], exitCode, stderr);
    expect(exitCode).toBe(code);
    if (code === 0) await expectRotated(old, registered(JSON.parse(stdout) as Record<string, any>));
    else {
      expect(stdout).toBe('');
      expect((await inVault('acme')).filter(({ replaces }) => replaces === old.key_id)).toEqual([]);
      await resumed(old);
    }
  });

  async function heldBefore(step: keyof typeof STEPS, keyId: string): Promise<{ child: Child }> {
    if (step !== 'after the new key is issued, before it is shown') return heldAt(STEPS[step], keyId);
    // The first look-up of a secret_id after the issuing looks at what was issued.
    const { child } = await heldAt(STEPS['after that, before the new key is issued'], keyId);
    relay.letGo();
    relay.hold = STEPS[step];
    await relay.held();
    expect((await inVault('acme')).filter(({ replaces }) => replaces === keyId)).toHaveLength(1);
    return { child };
  }

  test('by kill -9 after the new key was shown, before the old one has its end: another is shown, and the first is dead', async () => {
    const old = await issue('acme');
    // The first writing notes the new key id, the second the old one's end.
    const { child } = await heldAt(STEPS['before it notes the new key id'], old.key_id, 2);
    child.kill('SIGKILL');
    const shown = registered(JSON.parse((await child).stdout) as Record<string, any>);
    expect((await rotations('acme')).find(({ key_id: id }) => id === old.key_id)).toMatchObject({ new_key_id: shown.key_id, until: null });
    expect(await stateOf('acme', shown.key_id, auditor)).toBe('unconfirmed');
    const fresh = await resumed(old);
    expect(fresh['abandoned']).toEqual([shown.key_id]);
    expect(await untilRefused(shown.key, 10_000)).toBeLessThan(2000);
  });

  test('by a Vault that goes away after the new key was shown: it says not to use that one', async () => {
    const old = await issue('acme');
    const { child } = await heldAt(STEPS['before it notes the new key id'], old.key_id, 2);
    // Every answer from here on is lost, that of the write that is held up too.
    relay.lose = /./;
    relay.hold = undefined;
    const away = relay.stop();
    const { stdout, stderr, exitCode } = await child;
    await away;
    registered(JSON.parse(stdout) as Record<string, any>);
    expect(exitCode).toBe(5);
    expect(stderr).toContain('Do not use the key that was shown');
    relay = await startRelay(house.vault.address);
    await resumed(old);
  });

  test('by a lost answer to the last write, it finds out that it went well', async () => {
    const old = await issue('acme');
    const { child } = await heldAt(STEPS['before it notes the new key id'], old.key_id, 2);
    let lost = 0;
    relay.lose = STEPS['before it notes the new key id'];
    relay.letGo();
    for (; lost < 200 && (await rotations('acme')).find(({ key_id: id }) => id === old.key_id)?.['until'] === null; lost++) await sleep(20);
    relay.lose = undefined;
    const { stdout, exitCode } = await child;
    const shown = registered(JSON.parse(stdout) as Record<string, any>);
    expect(exitCode).toBe(0);
    expect((await inVault('acme')).filter(({ replaces }) => replaces === old.key_id)).toMatchObject([{ key_id: shown.key_id }]);
    expect(await statuses(shown.key)).toEqual([200, 200, 200]);
  });

  test('by somebody else who rotates the same key: one of the two keys lives, and the old one has one end', async () => {
    const old = await issue('acme');
    const { child: slow } = await heldAt(STEPS['after that, before the new key is issued'], old.key_id);
    const other = await startRelay(house.vault.address);
    const quick = await postern(['key', 'rotate', 'acme', old.key_id, '--json', ...OVERLAP], {
      env: { ...env(), VAULT_ADDR: other.address },
    });
    await other.stop();
    expect(quick.code).toBe(0);
    const fresh = registered(quick.json);
    relay.letGo();
    const { exitCode, stdout, stderr } = await slow;
    expect([exitCode, stdout]).toEqual([4, '']);
    expect(stderr).toContain('Somebody else rotates');
    expect((await inVault('acme')).filter(({ replaces }) => replaces === old.key_id)).toMatchObject([{ key_id: fresh.key_id }]);
    expect([await statuses(old.key), await statuses(fresh.key)]).toEqual([
      [200, 200, 200],
      [200, 200, 200],
    ]);
  });

  test('by six at once: one new key lives in the end', async () => {
    const old = await issue('acme');
    const ran = await Promise.all(Array.from({ length: 6 }, () => cli(['rotate', 'acme', old.key_id, '--json', ...OVERLAP])));
    for (const { stdout } of ran) if (stdout !== '') registered(JSON.parse(stdout) as Record<string, any>);
    const won = ran.filter(({ code }) => code === 0);
    expect(won).toHaveLength(1);
    expect(ran.every(({ code }) => code === 0 || code === 4)).toBe(true);
    expect((await inVault('acme')).filter(({ replaces }) => replaces === old.key_id)).toMatchObject([{ key_id: won[0]!.json['key_id'] }]);
    expect(await statuses(won[0]!.json['key'])).toEqual([200, 200, 200]);
  });
});

test('prune destroys what has ended, of one tenant or of all', async () => {
  const [a, b] = [await issue('acme'), await issue('limited')];
  await rotate('acme', a.key_id, '--overlap', '1');
  await rotate('limited', b.key_id, '--overlap', '1');
  await Promise.all([untilRefused(a.key, 10_000), untilRefused(b.key, 10_000)]);
  // Vault's clock is told to the second, two seconds early at most.
  await sleep(2500);
  const { code, json } = await cli(['prune', '--json']);
  expect(code).toBe(0);
  expect(json['destroyed']).toEqual(
    expect.arrayContaining([
      { tenant: 'acme', key_id: a.key_id },
      { tenant: 'limited', key_id: b.key_id },
    ]),
  );
  expect((await cli(['prune', 'acme', '--json'])).json).toEqual({ destroyed: [], secret_ids: [] });
  for (const tenant of ['acme', 'limited'])
    expect((await rotations(tenant)).filter(({ key_id: id }) => [a.key_id, b.key_id].includes(id))).toEqual([]);
});
