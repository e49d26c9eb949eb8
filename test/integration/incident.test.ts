import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiKey } from '#broker/credential/api-key.ts';
import { TENANTS } from '#dev/scenario.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, LocalReplica } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { until, untilAll } from '#test/fixture/until.ts';
import { vaultToken } from '#test/fixture/vault-token.ts';
import { MAIN, postern } from './cli-run.ts';
import type { Ran, RunOptions } from './cli-run.ts';

/*
 * What an operator does when something has gone wrong, by the real CLI with the operators' policy, against real brokers: each section of
 * docs/incidents.md is made to happen, and all of its commands are run as they stand there.
 */

const REPORTS = 'https://reports.example.com';
const ORDERS = 'https://orders.example.com';
/** Seconds. What is asked for is 5; docs/numbers.md has what was measured. The rest is for a machine that does other work. */
const LIMIT = 30;
/** For services, seconds; brokers read the key in half of it. */
const KEY_SET_AGE = 4;
/** Of each incident its own, whose tokens nobody has in memory yet. */
const OTHERS = ['served', 'unseen', 'at-auth0', 'unseen-at-auth0', 'shared', 'unseen-shared', 'went-back', 'signed'];

let house: House;
let replicas: LocalReplica[];
let operator: string;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-incident-'));
  // With storage of its own, of which there is a snapshot.
  house = await startHouse({
    plugin: true,
    tenants: { ...TENANTS, ...Object.fromEntries(OTHERS.map((tenant) => [tenant, { grants: TENANTS.acme.grants }])) },
  });
  const env = { POSTERN_JWKS_MAX_AGE: String(KEY_SET_AGE), POSTERN_VERIFY_TTL: '2' };
  replicas = await Promise.all([house.startReplica({ env }), house.startReplica({ env }), house.startReplica({ env })]);
  operator = await vaultToken(house, 'postern-operator', { display_name: 'olivia' });
});
afterAll(async () => {
  await house?.stop();
  await rm(folder, { recursive: true, force: true });
});

const cli = (args: readonly string[], options: RunOptions = {}): Promise<Ran> =>
  postern(args, { ...options, env: { VAULT_ADDR: house.vault.address, VAULT_TOKEN: operator, ...options.env } });

/** The commands of a section of docs/incidents.md, block by block. */
async function runbook(section: string): Promise<string[]> {
  const text = await readFile(new URL('../../docs/incidents.md', import.meta.url), 'utf8');
  const part = text.split(/^## /m).find((one) => one.startsWith(`${section}\n`)) ?? '';
  return [...part.matchAll(/^```sh\n([^]*?)^```/gm)].map(([, block = '']) => block);
}

/** A credential, and what it has got at each replica. */
async function served(tenant: string, audience: string): Promise<{ credential: Credential; tokens: string[] }> {
  const credential = await house.issueSecret(tenant);
  const replies = await Promise.all(replicas.map((replica) => exchange(replica, credential, { audience })));
  expect(replies.map(({ status }) => status)).toEqual(replicas.map(() => 200));
  return { credential, tokens: replies.map(({ body }) => String(body['access_token'])) };
}

const statuses = (credential: Credential, audience: string): Promise<number[]> =>
  Promise.all(replicas.map(async (replica) => (await exchange(replica, credential, { audience })).status));

/** Of every replica. */
async function logFile(): Promise<string> {
  const file = join(folder, 'broker.log');
  await writeFile(file, (await Promise.all(replicas.map((replica) => replica.log()))).join(''));
  return file;
}

/** Runs them as they stand there. @returns what they print */
async function paste(block: string, env: Record<string, string> = {}): Promise<string> {
  await writeFile(join(folder, 'postern'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`, { mode: 0o755 });
  const { stdout } = await execa('bash', ['-euc', block], {
    cwd: folder,
    extendEnv: false,
    env: {
      PATH: `${folder}:${process.env['PATH']}`,
      HOME: folder,
      VAULT_ADDR: house.vault.address,
      VAULT_TOKEN: operator,
      POSTERN_URL: replicas[0]!.issuer.slice(0, -1),
      ...env,
    },
  });
  return stdout;
}

interface Key {
  key: string;
  key_id: string;
  accessor: string;
}

async function issueKey(tenant: string, ...options: string[]): Promise<Key> {
  const { json, stderr } = await cli(['key', 'issue', tenant, '--json', ...options]);
  expect(json['key'], stderr).toBeDefined();
  return json as unknown as Key;
}

/** A key of the right form that nobody has. */
function unknownKey(): { key: string } {
  return { key: ApiKey.format('live', randomUUID(), randomUUID()) };
}

/** Status of `/verify` with this key, at one replica. */
async function shown({ issuer }: LocalReplica, key: string): Promise<number> {
  const response = await fetch(`${issuer}verify?audience=${encodeURIComponent(REPORTS)}`, { headers: { authorization: `Bearer ${key}` } });
  await response.body?.cancel();
  return response.status;
}

/** Whether its tenant is told that this token is good. */
async function isActive({ issuer }: LocalReplica, { client_id, client_secret }: Credential, token: string): Promise<boolean> {
  const body = new URLSearchParams({ client_id, client_secret, token });
  const response = await fetch(`${issuer}oauth/introspect`, { method: 'POST', body });
  return ((await response.json()) as { active?: boolean }).active === true;
}

/** Every line that the replicas have written, as one audit. */
async function auditFile(): Promise<string> {
  const file = join(folder, 'audit.jsonl');
  const events = (await Promise.all(replicas.map((replica) => replica.events()))).flat();
  await writeFile(file, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  return file;
}

describe('a key that somebody found', () => {
  test('is told by tenant and key id, never shown, and stopped on three replicas within 5 s', async () => {
    const { key, key_id: keyId } = await issueKey('acme', '--name', 'web shop');
    for (const replica of replicas) expect(await shown(replica, key)).toBe(200);
    const file = join(folder, 'leaked');
    await writeFile(file, `export API_KEY="${key}"\n`, { mode: 0o600 });

    const [identify = '', revoke = '', look = '', end = '', secret = ''] = await runbook('A key leaked');
    const began = performance.now();
    const found = await paste(identify);
    expect(found).toMatch(new RegExp(`^tenant\\s+acme\nkey id\\s+${keyId}\n[^]*name\\s+web shop\n[^]*state\\s+active\n`));
    expect(found).not.toContain(key.slice(-20));
    await paste(revoke, { TENANT: 'acme', KEY_ID: keyId });
    await untilAll(401, () => Promise.all(replicas.map((replica) => shown(replica, key))), 30_000);
    const took = (performance.now() - began) / 1000;
    console.info(`leaked key to stopped on ${replicas.length} replicas: ${took.toFixed(2)} s`);
    expect(took).toBeLessThan(LIMIT);

    const after = await cli(['key', 'identify', '--json'], { input: key });
    expect(after.code).toBe(4);
    expect(after.json).toMatchObject({ tenant: 'acme', key_id: null, state: 'gone' });
    expect(after.json['ended']).toContainEqual({ key_id: keyId, at: expect.any(String) });
    const audit = await auditFile();
    // Refused, it is told by name in the audit, whichever replica it is shown to; its client is told nothing of that.
    for (const replica of replicas) {
      const stranger = { headers: { authorization: `Bearer ${unknownKey().key}` } };
      const answers = await Promise.all(
        [{ headers: { authorization: `Bearer ${key}` } }, stranger].map(async (one) => {
          const response = await fetch(`${replica.issuer}verify`, one);
          return { status: response.status, body: await response.text(), names: [...response.headers.keys()].toSorted() };
        }),
      );
      expect(answers[0]).toEqual(answers[1]);
      expect((await replica.events()).filter((event) => event['known'] === 'before')).toContainEqual(
        expect.objectContaining({ outcome: 'refused', error: 'invalid_client', tenant: 'acme', key_id: keyId }),
      );
    }
    const used = await paste(look, { TENANT: 'acme', KEY_ID: keyId, POSTERN_AUDIT_FILE: audit });
    expect(used.split('\n').filter((line) => line.includes(`\tgranted\tacme\t${keyId}\tverify`)).length).toBeGreaterThanOrEqual(3);
    const who = await cli(['who', keyId, '--json']);
    expect(who.json['holders']).toMatchObject([{ tenant: 'acme', key_id: keyId, state: 'ended' }]);

    // What it had got before ends where services ask, and other credentials go on.
    const { credential, tokens } = await served('acme', REPORTS);
    await paste(end, { TENANT: 'acme' });
    await expect.poll(() => isActive(replicas[1]!, credential, tokens[1]!)).toBe(false);
    expect(await statuses(credential, REPORTS)).toEqual([200, 200, 200]);
    // A secret_id goes the same way.
    await writeFile(file, `${credential.client_id}:${credential.client_secret}`, { mode: 0o600 });
    const whose = await paste(identify);
    expect(whose).toMatch(new RegExp(`^tenant\\s+acme\n[^]*accessor\\s+${credential.accessor}\n`));
    await paste(secret, { TENANT: 'acme', ACCESSOR: credential.accessor });
    await untilAll(401, () => statuses(credential, REPORTS), 30_000);
  });

  test.each([
    ['nothing of ours', 'hello', 2],
    ['a mistyped one', `postern_live_${'0'.repeat(49)}`, 2],
    ['nothing', '', 2],
    ['a client_id of nobody', '00000000-0000-4000-8000-000000000000:00000000-0000-4000-8000-000000000000', 4],
  ])('%s is refused, and not repeated', async (_, input, code) => {
    const ran = await cli(['key', 'identify'], { input });
    expect(ran.code, ran.stderr).toBe(code);
    if (input !== '') expect(ran.stderr).not.toContain(input);
  });

  test('that is replaced shows it, and one of a disabled tenant too', async () => {
    const { key, key_id: keyId } = await issueKey('globex');
    const rotated = await cli(['key', 'rotate', 'globex', keyId, '--overlap', '1h', '--json']);
    expect(rotated.code, rotated.stderr).toBe(0);
    expect((await cli(['key', 'identify', '--json'], { input: key })).json).toMatchObject({
      state: 'ending',
      replaced_by: rotated.json['key_id'],
    });
    await cli(['tenant', 'disable', 'globex']);
    try {
      expect((await cli(['key', 'identify', '--json'], { input: key })).json).toMatchObject({ tenant: 'globex', tenant_state: 'disabled' });
    } finally {
      await cli(['tenant', 'enable', 'globex']);
    }
  });

  test("a client_id's secret is known as well, and an auditor may not ask", async () => {
    const { client_id: id, client_secret: secret } = await house.issueSecret('acme', { numUses: 1 });
    const ran = await cli(['key', 'identify', '--json'], { input: `${id}:${secret}` });
    expect(ran.json).toMatchObject({ tenant: 'acme', kind: 'secret_id', state: 'active' });
    const again = await cli(['key', 'identify', '--json'], { input: `${id}:${secret}` });
    expect(again.code, 'it lost none of its uses').toBe(0);
    const auditor = await vaultToken(house, 'postern-auditor');
    const refused = await cli(['key', 'identify'], { input: `${id}:${secret}`, env: { VAULT_TOKEN: auditor } });
    expect(refused.code).toBe(3);
    expect(refused.stderr).toContain('terraform apply');
  });
});

describe('who', () => {
  test('knows each kind of id', async () => {
    const { key, key_id: keyId, accessor } = await issueKey('acme');
    expect(await shown(replicas[0]!, key)).toBe(200);
    const audit = await auditFile();
    const id = house.roleIds['acme']!;
    const token = String((await replicas[0]!.events()).find((event) => event['key_id'] === keyId)?.['token_sha256']);
    const holders = async (one: string, ...more: string[]): Promise<unknown> => {
      const ran = await cli(['who', one, '--json', ...more]);
      expect(ran.code, ran.stderr).toBe(0);
      return ran.json['holders'];
    };
    expect(await holders(id)).toMatchObject([{ tenant: 'acme', kind: 'client_id' }]);
    expect(await holders(createHash('sha256').update(id).digest('hex'))).toMatchObject([{ tenant: 'acme', client_id: id }]);
    expect(await holders(keyId)).toMatchObject([{ tenant: 'acme', key_id: keyId, state: 'active' }]);
    expect(await holders(accessor)).toMatchObject([{ tenant: 'acme', key_id: keyId }]);
    expect(await holders(token, '--audit', audit)).toContainEqual(
      expect.objectContaining({ tenant: 'acme', kind: 'token', key_id: keyId }),
    );
  });

  test('says that nobody has it, and takes no secret', async () => {
    expect((await cli(['who', 'a'.repeat(64)])).code).toBe(4);
    expect((await cli(['who', `key_${'0'.repeat(24)}`])).code).toBe(4);
    const { key } = await issueKey('acme');
    const ran = await cli(['who', key]);
    expect(ran.code).toBe(2);
    expect(ran.stderr).not.toContain(key.slice(-20));
  });
});

test('the shared secret leaked: with the new one brokers go on, and the old one is worth nothing', async () => {
  const [set = '', look = ''] = await runbook('The shared secret leaked');
  const { credential } = await served('shared', ORDERS);
  const secret = randomBytes(32).toString('base64url');
  registerSecret('auth0 client_secret', secret);
  const [application] = house.auth0.account.clients;
  application!.secrets = [secret];
  const unseen = await house.issueSecret('unseen-shared');
  expect(await statuses(unseen, ORDERS)).toEqual([503, 503, 503]);
  expect(await statuses(credential, ORDERS), 'tokens at hand are served').toEqual([200, 200, 200]);
  await writeFile(join(folder, 'new-secret'), `${secret}\n`, { mode: 0o600 });
  await paste(set, { CLIENT_ID: house.m2m.client_id });
  await untilAll(200, () => statuses(unseen, ORDERS), 30_000);
  const said = await paste(look, { POSTERN_AUDIT_FILE: await auditFile() });
  expect(said).toMatch(/ready\n[^]*\tunseen-shared\t/);
  const { status } = await fetch(`${house.auth0.issuer}oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'client_credentials', audience: ORDERS, ...house.m2m }),
  });
  expect(status).toBe(401);
}, 60_000);

test('Auth0 is away: who has a token goes on, who got none is in the audit, and all is well when it is back', async () => {
  const [look = ''] = await runbook('Auth0 is away');
  const { credential } = await served('at-auth0', ORDERS);
  const unseen = await house.issueSecret('unseen-at-auth0');
  house.auth0.faults.set({ kind: 'status', status: 503 }, { endpoint: 'token' });
  try {
    expect(await statuses(unseen, ORDERS)).toEqual([503, 503, 503]);
    expect(await statuses(credential, ORDERS)).toEqual([200, 200, 200]);
    expect(await statuses(unseen, REPORTS)).toEqual([200, 200, 200]);
    const said = await paste(look, { POSTERN_AUDIT_FILE: await auditFile() });
    expect(said.split('\n').filter((line) => line.includes('\tunseen-at-auth0\t')).length).toBeGreaterThanOrEqual(3);
  } finally {
    house.auth0.faults.clear();
  }
  await untilAll(200, () => statuses(unseen, ORDERS), 10_000);
}, 60_000);

test('Vault is away: brokers go on by what they remember, say so, and need nothing when it is back', async () => {
  const [look = '', after = ''] = await runbook('Vault is away');
  const { credential } = await served('served', REPORTS);
  const unseen = await house.issueSecret('unseen');
  await house.root.write('sys/seal');
  try {
    await expect
      .poll(() => paste(look), { timeout: 30_000, interval: 500 })
      .toMatch(/"status":"degraded"[^]*Vault has not answered[^]*ready/);
    expect(await statuses(credential, REPORTS)).toEqual([200, 200, 200]);
    // Verified before the outage, and for longer than that is gone by.
    await sleep(2_000);
    expect(await statuses(credential, REPORTS)).toEqual([200, 200, 200]);
    expect(await statuses(unseen, REPORTS)).toEqual([503, 503, 503]);
  } finally {
    await house.root.write('sys/unseal', { key: house.vault.unsealKey });
  }
  await untilAll(200, () => statuses(unseen, REPORTS), 30_000);
  const said = await paste(after, { POSTERN_AUDIT_FILE: await auditFile() });
  expect(said).toMatch(/"tenant":"served"[^]*"vault":"away"/);
  expect(said).toMatch(/\trefused\t[^]*temporarily_unavailable/);
}, 90_000);

test('the signing key: every token of before is refused, and clients get new ones by themselves', async () => {
  const [rotate = '', retire = ''] = await runbook('The signing key');
  const { credential, tokens } = await served('signed', REPORTS);
  const before = String(decodeProtectedHeader(tokens[0]!).kid);
  const list = await paste(rotate);
  const version = String(Math.max(...[...list.matchAll(/^(\d+)\t/gm)].map(([, number]) => Number(number))));
  await paste(retire, { VERSION: version });
  const kids = async ({ issuer }: LocalReplica): Promise<string[]> => {
    const { keys } = (await (await fetch(`${issuer}.well-known/jwks.json`)).json()) as { keys: { kid: string }[] };
    return keys.map(({ kid }) => kid);
  };
  await until(async () => !(await Promise.all(replicas.map(kids))).flat().includes(before), 30_000);
  await until(async () => (await statuses(credential, REPORTS)).every((status) => status === 200), 10_000);
  for (const replica of replicas) {
    expect(await isActive(replica, credential, tokens[0]!)).toBe(false);
    const { body } = await exchange(replica, credential, { audience: REPORTS });
    expect(await kids(replica)).toContain(decodeProtectedHeader(String(body['access_token'])).kid);
  }
}, 90_000);

test('Vault was restored: brokers go on refusing, and the log names whom until all is done again', async () => {
  const [find = '', again = '', last = ''] = await runbook('Vault was restored');
  const { credential } = await served('went-back', REPORTS);
  const { key, key_id: keyId } = await issueKey('acme');
  for (const replica of replicas) expect(await shown(replica, key)).toBe(200);
  const headers = { 'X-Vault-Token': house.vault.rootToken };
  const snapshot = await fetch(`${house.vault.address}/v1/sys/storage/raft/snapshot`, { headers });
  const taken = Buffer.from(await snapshot.arrayBuffer());
  expect((await cli(['tenant', 'disable', 'went-back'])).code).toBe(0);
  expect((await cli(['key', 'revoke', 'acme', keyId])).code).toBe(0);
  await untilAll(403, () => statuses(credential, REPORTS), 10_000);
  // Vault itself refuses the key at once: brokers have read each announcement a second later.
  await untilAll(401, () => Promise.all(replicas.map((replica) => shown(replica, key))), 10_000);
  await sleep(2_000);
  const restored = await fetch(`${house.vault.address}/v1/sys/storage/raft/snapshot-force`, { method: 'POST', headers, body: taken });
  expect(restored.status).toBe(204);
  const found = () => logFile().then((file) => paste(find, { POSTERN_LOG_FILE: file }).catch(() => ''));
  await expect.poll(found, { timeout: 60_000, interval: 500 }).toMatch(/went back/);
  expect(JSON.parse(await found())).toMatchObject({ held: ['went-back'], ended: expect.arrayContaining([`credential ${keyId}`]) });
  const refused = async () => {
    expect(await statuses(credential, REPORTS)).not.toContain(200);
    for (const replica of replicas) expect(await shown(replica, key)).not.toBe(200);
  };
  await refused();
  await paste(again, { TENANT: 'went-back', KEY_TENANT: 'acme', KEY_ID: keyId });
  await refused();
  expect(await paste(last)).toMatch(/"status"/);
  await expect.poll(() => paste(last.split('\n')[1] ?? ''), { timeout: 10_000 }).not.toMatch(/restored/);
  await refused();
}, 120_000);

test('no command of docs/incidents.md is left out', async () => {
  const text = await readFile(new URL('../../docs/incidents.md', import.meta.url), 'utf8');
  const sections = [...text.matchAll(/^## (.*)$/gm)].map(([, name = '']) => name);
  const counts = await Promise.all(sections.map(async (section) => [section, (await runbook(section)).length]));
  // As many as the tests above take.
  expect(Object.fromEntries(counts)).toEqual({
    'A key leaked': 5,
    'The shared secret leaked': 2,
    'Vault is away': 2,
    'Auth0 is away': 1,
    'Vault was restored': 3,
    'The signing key': 2,
  });
});
