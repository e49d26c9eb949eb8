import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exchange } from '#test/fixture/broker.ts';
import type { Credential, Reply } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startStage } from './production.stage.ts';
import type { NodeName, Stage } from './production.stage.ts';

/*
 * docs/production.md from its first command to its last, in its order, on three Vaults with Raft and TLS, with Terraform's own policy, two
 * brokers and nginx. Each test begins where the one before it ended.
 */

let stage: Stage;
let brokers: Awaited<ReturnType<Stage['startBroker']>>[];
let acme: Pick<Credential, 'client_id' | 'client_secret'>;

beforeAll(async () => {
  stage = await startStage();
}, 240_000);
afterAll(() => stage?.[Symbol.asyncDispose]());

const file = (name: string): string => readFileSync(join(stage.folder, name), 'utf8');
const secretFile = (kind: string, name: string): void => registerSecret(kind, file(name).trim());

/** At nginx, as a balancer before it says who the client is. */
const from = (address: string, parameters: Record<string, string> = {}, credential = acme): Promise<Reply> =>
  exchange({ issuer: stage.url }, credential, parameters, { caFile: stage.caFile, headers: { 'X-Forwarded-For': address } });
const INSIDE = '203.0.113.7';

test('three nodes find each other', async () => {
  await Promise.all((['vault-1', 'vault-2', 'vault-3'] as const).map((node) => stage.startNode(node)));
  await stage.shell(
    'for node in vault-1 vault-2 vault-3; do for i in $(seq 100); do ' +
      'curl -sS "$(cat "$NODES/$node")/v1/sys/seal-status" > /dev/null 2>&1 && break; sleep 0.1; done; done',
  );
  await stage.run('export VAULT_ADDR=');
  for (const [, kind = '', value = ''] of file('init.txt').matchAll(/^(Unseal Key|Initial Root Token)[^:]*: (\S+)$/gm))
    registerSecret(kind, value);
  await stage.run('for node in');
  const peers = await stage.run('export VAULT_TOKEN="$(awk \'/^Initial Root Token:/ { print $4 }\' init.txt)"\nuntil [');
  const roles = [...peers.matchAll(/^vault-\d +\S+ +(leader|follower)/gm)].map(([, role]) => role);
  expect(roles.toSorted()).toEqual(['follower', 'follower', 'leader']);
});

test('Terraform with its own policy, its state elsewhere, its providers locked', async () => {
  await stage.run('vault policy write postern-terraform');
  secretFile('Vault token', 'terraform-token');
  await stage.run('printf \'terraform {\\n  backend "http"');
  expect(file('terraform/.terraform.lock.hcl')).toMatch(/version += "/);
  await stage.run('terraform -chdir=terraform init -lockfile=readonly');
  await stage.run('cp terraform/examples/production.tfvars');
  const applied = await stage.run('export VAULT_TOKEN="$(cat terraform-token)"');
  expect(applied).toMatch(/Apply complete!/);
  expect(applied).toMatch(/No changes\./);
  expect(existsSync(join(stage.folder, 'terraform/terraform.tfstate'))).toBe(false);
  expect(existsSync(join(stage.folder, 'production.tfplan'))).toBe(false);
  expect(stage.state()).toContain('"module.tenant[\\"acme\\"]"');
  // What the guide says of it.
  expect(stage.state()).not.toContain(String([...stage.management.clients.values()][0]?.['client_secret']));
}, 180_000);

test("the shared application's secret, and brokers that need nobody at a restart", async () => {
  await stage.run(
    'export VAULT_TOKEN="$(awk \'/^Initial Root Token:/ { print $4 }\' init.txt)"\n(umask 077; vault token create -policy=postern-operator',
  );
  secretFile('Vault token', 'operator-token');
  await stage.startAuth0();
  await stage.run('(umask 077; vault write -f -wrap-ttl');
  secretFile('wrapping token', 'wrapped');
  const wrapped = file('wrapped');
  await stage.run('(umask 077; VAULT_TOKEN="$(cat wrapped)"');
  await stage.shell('cat /etc/postern/secret-id > own-secret-id');
  secretFile('secret_id', 'own-secret-id');
  await stage.shell(`rm own-secret-id; ! VAULT_TOKEN='${wrapped}' vault unwrap > /dev/null 2>&1`);
  const checked = await stage.run('(set -a; . /etc/postern/postern.env');
  expect(checked).not.toMatch(/fault|✗/);
  brokers = await Promise.all([stage.startBroker('broker-1'), stage.startBroker('broker-2')]);
  await stage.startNginx(brokers.map(({ url }) => url));
  const seen = await stage.run('export VAULT_TOKEN="$(cat operator-token)"\npostern doctor');
  expect(seen).toMatch(/, 0 failed/);
  expect(seen).toContain('told to Vault; 1 tenant with cidrs');
}, 120_000);

test('the first customer is served through the proxy, from its own network and nowhere else', async () => {
  await stage.run('(umask 077; postern secret issue acme');
  const issued = JSON.parse(file('acme.json')) as { role_id: string; wrapping_token: string };
  registerSecret('wrapping token', issued.wrapping_token);
  // The customer's own machine is in its network; this one isn't, but its curl can say so to the nginx of this test.
  await stage.shell(`printf 'header = "X-Forwarded-For: ${INSIDE}"\\n' > "$HOME/.curlrc"`);
  const token = await stage.run('VAULT_TOKEN="$(sed -n');
  await stage.shell('rm "$HOME/.curlrc"');
  secretFile('secret_id', 'acme-secret');
  acme = { client_id: issued.role_id, client_secret: file('acme-secret').trim() };
  const [, jwt = ''] = /"access_token":"([^"]+)"/.exec(token) ?? [];
  registerSecret('access token', jwt);
  const claims = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;
  expect(claims).toMatchObject({ aud: 'https://orders.example.com', 'https://postern.dev/tenant': 'acme' });

  for (const audience of ['https://orders.example.com', 'https://reports.example.com'])
    expect((await from('2001:db8::9', { audience })).status).toBe(200);
  const wrong = await from(INSIDE, {}, { ...acme, client_secret: crypto.randomUUID() });
  const outside = await from('198.51.100.9');
  expect(outside).toMatchObject({ status: 401, text: wrong.text });
  await expect.poll(() => brokers.map(({ log }) => log()).join('')).toContain('the client is outside the CIDRs');
});

test.each<[string, Record<string, string>, RegExp]>([
  ['the broker forwards nothing', { POSTERN_FORWARD_CLIENT_ADDRESS: 'false' }, /Vault judged the broker's own address/],
  ['the broker trusts no proxy', { POSTERN_TRUSTED_PROXIES: '' }, /sends X-Forwarded-For and is not in POSTERN_TRUSTED_PROXIES/],
])('what locks acme out is told: %s', async (_, settings, says) => {
  const broker = await stage.startBroker(`misled-${Object.keys(settings)[0] ?? ''}`, settings);
  const reply = await exchange({ issuer: broker.url }, acme, {}, { caFile: stage.caFile, headers: { 'X-Forwarded-For': INSIDE } });
  expect(reply.status).toBe(401);
  await expect.poll(broker.log).toMatch(says);
  await broker.stop();
});

test('a snapshot by a policy that can do nothing else, and its restore', async () => {
  expect(await stage.run('export VAULT_TOKEN="$(awk \'/^Initial Root Token:/ { print $4 }\' init.txt)"\nprintf')).toMatch(/Index/);
  await stage.shell('VAULT_TOKEN="$(cat operator-token)" postern tenant disable acme');
  await expect.poll(async () => (await from(INSIDE)).status, { timeout: 10_000 }).not.toBe(200);
  await stage.run('vault operator raft snapshot restore');
  await expect.poll(() => stage.shell(`curl -fsS ${stage.url}readyz || true`), { timeout: 30_000 }).toContain('Vault was restored');
  // Disabled after the snapshot was taken: brokers that ran remember it.
  expect((await from(INSIDE)).status).not.toBe(200);
  await stage.shell(
    'VAULT_TOKEN="$(cat operator-token)" postern tenant disable acme && VAULT_TOKEN="$(cat operator-token)" postern tenant enable acme',
  );
  await stage.run('VAULT_TOKEN="$(cat operator-token)" postern announce replayed');
  await expect.poll(() => stage.shell(`curl -fsS ${stage.url}readyz`), { timeout: 10_000 }).not.toContain('restored');
  await expect.poll(async () => (await from(INSIDE)).status, { timeout: 10_000 }).toBe(200);
}, 120_000);

test('Vault is replaced node by node; what is cached is served meanwhile', async () => {
  const leader = async (): Promise<NodeName> => {
    const peers = await stage.shell('vault operator raft list-peers');
    return (/^(vault-\d)\b.*\bleader\b/m.exec(peers)?.[1] ?? '') as NodeName;
  };
  const first = await leader();
  // The commands go to vault-1, and it forwards them where another leads.
  const node = (['vault-3', 'vault-2'] as const).find((one) => one !== first) ?? 'vault-3';
  await stage.stopNode(node);
  await stage.startNode(node);
  await stage.shell(
    `for i in $(seq 100); do curl -sS ${stage.node(node).address}/v1/sys/seal-status > /dev/null 2>&1 && break; sleep 0.1; done\n` +
      'for key in 1 2 3; do awk "/^Unseal Key $key:/ { printf \\"%s\\", \\$4 }" init.txt | ' +
      `VAULT_ADDR=${stage.node(node).address} vault write sys/unseal key=- > /dev/null; done`,
  );
  await expect.poll(() => stage.shell('vault operator raft autopilot state'), { timeout: 30_000 }).toMatch(/^Healthy: +true/m);
  await stage.run('vault operator step-down');
  const began = performance.now();
  expect((await from(INSIDE)).status).toBe(200);
  await expect
    .poll(async () => (await from(INSIDE, {}, { ...acme, client_secret: crypto.randomUUID() })).status, { timeout: 30_000, interval: 50 })
    .toBe(401);
  if (process.env['POSTERN_PRODUCTION_TABLE']) console.log(`cold again ${Math.round(performance.now() - began)} ms after step-down`);
  expect(await leader()).not.toBe('');
}, 120_000);

test('no root token is left, and every command was run', async () => {
  await stage.run('export VAULT_TOKEN="$(awk \'/^Initial Root Token:/ { print $4 }\' init.txt)"\nvault token revoke');
  expect(existsSync(join(stage.folder, 'init.txt'))).toBe(false);
  expect((await from(INSIDE)).status).toBe(200);
  expect(stage.left()).toEqual([]);
});
