import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { applyTerraform } from '#dev/terraform.ts';
import { terraformToken } from '#dev/terraform-token.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startVault } from '#test/fixture/vault.ts';
import type { VaultFixture } from '#test/fixture/vault.ts';
import { MAIN, log, postern, spawnPostern } from './cli-run.ts';
import { startRelay } from './relay.ts';
import type { Relay } from './relay.ts';

/*
 * What is left behind when the CLI is interrupted or loses Vault half-way, and that the same command goes on from there.
 * A relay between the CLI and the real Vault holds up chosen requests.
 */

let vault: VaultFixture;
let operator: string;
let folder: string;
let relay: Relay;

beforeAll(async () => {
  vault = await startVault();
  folder = await mkdtemp(join(tmpdir(), 'postern-interrupt-'));
  await applyTerraform({
    vaultAddress: vault.address,
    vaultToken: await terraformToken(vault),
    stateDirectory: folder,
    variables: {
      apis: { reports: { audience: 'https://reports.example.com', source: 'transit', scopes: ['read:reports'] } },
      tenants: { acme: { grants: [{ api: 'reports', scopes: ['read:reports'] }] } },
    },
  });
  const { auth } = await root('POST', 'auth/token/create', { policies: ['postern-operator'], no_default_policy: true, ttl: '1h' });
  operator = auth.client_token;
  registerSecret('operator token', operator);
});
afterAll(async () => {
  await vault?.stop();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  relay = await startRelay(vault.address);
});
afterEach(() => relay.stop());

async function root(method: string, path: string, body?: object): Promise<Record<string, any>> {
  const response = await fetch(`${vault.address}/v1/${path}`, {
    method,
    headers: { 'X-Vault-Token': vault.rootToken },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return response.status === 204 || response.status === 404 ? {} : ((await response.json()) as Record<string, any>);
}

const epoch = async (): Promise<number> => (await root('GET', 'postern/data/state/epoch'))['data']?.data?.epoch ?? 0;
const accessors = async (): Promise<string[]> => (await root('LIST', 'auth/approle/role/acme/secret-id'))['data']?.keys ?? [];

async function issue(count: number): Promise<string[]> {
  const made: string[] = [];
  for (let n = 0; n < count; n += 1) {
    const { data } = await root('POST', 'auth/approle/role/acme/secret-id', {});
    registerSecret('secret_id', data.secret_id);
    made.push(data.secret_id_accessor);
  }
  return made;
}

const env = (): Record<string, string> => ({ VAULT_ADDR: relay.address, VAULT_TOKEN: operator });

const ANNOUNCE = /POST \/v1\/postern\/data\/state\/epoch/;
const DESTROY = /secret-id-accessor\/destroy/;

describe('revoke', () => {
  test('killed between destruction and announcement: the same command announces', async () => {
    const [accessor = ''] = await issue(1);
    const before = await epoch();
    relay.hold = ANNOUNCE;
    const held = relay.held();
    const child = spawnPostern(['secret', 'revoke', 'acme', accessor], { env: env() });
    await held;
    child.kill('SIGKILL');
    await child;
    expect(await accessors()).not.toContain(accessor);
    expect(await epoch()).toBe(before);

    const again = await postern(['secret', 'revoke', 'acme', accessor, '--json'], { env: { ...env(), VAULT_ADDR: vault.address } });
    expect(again.code).toBe(4);
    expect(again.json).toMatchObject({ missing: [accessor], epoch: before + 1 });
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('stopped by %s in the middle: what is destroyed is announced first', async (signal) => {
    await issue(30);
    const before = await epoch();
    relay.hold = DESTROY;
    const held = relay.held();
    const child = spawnPostern(['secret', 'revoke', 'acme', '--all', '--yes'], { env: env() });
    await held;
    child.kill(signal);
    // The requests under way have left for Vault: they end before the CLI does.
    await sleep(300);
    relay.letGo();
    const { exitCode, stderr, stdout } = await child;
    log(['secret', 'revoke', 'acme', '--all', '--yes'], exitCode, stderr);
    expect(exitCode).toBe(5);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/Only [1-8] of 30 secret_ids of acme are revoked \(and announced\): it was interrupted/);
    expect(stderr).toContain('Run the same command again.');
    const left = await accessors();
    expect(left.length).toBeGreaterThan(20);
    expect(left.length).toBeLessThan(30);
    expect(await epoch()).toBe(before + 1);

    const { json, code } = await postern(['secret', 'revoke', 'acme', '--all', '--yes', '--json'], { env: env() });
    expect(code).toBe(0);
    expect(json['revoked']).toHaveLength(left.length);
    expect(await accessors()).toEqual([]);
  });

  test('whose answer is lost finds out that it went well', async () => {
    const [accessor = ''] = await issue(1);
    relay.lose = DESTROY;
    const { code, json } = await postern(['secret', 'revoke', 'acme', accessor, '--json'], { env: env() });
    expect(code).toBe(0);
    expect(json['revoked']).toEqual([accessor]);
  });

  test('that cannot announce says so, with what to do', async () => {
    const [accessor = ''] = await issue(1);
    relay.lose = /state\/epoch/;
    const { code, stderr } = await postern(['secret', 'revoke', 'acme', accessor], { env: env() });
    expect(code).toBe(5);
    expect(stderr).toContain('could not be announced');
    expect(stderr).toContain('Run the same command again');
  });
});

describe('a tenant', () => {
  test('whose deletion was killed half-way is off already, and the same command ends it', async () => {
    expect((await postern(['tenant', 'create', 'umbrella', '--grant', 'reports=read:reports'], { env: env() })).code).toBe(0);
    relay.hold = /DELETE \/v1\/postern\/metadata\/tenants\/umbrella/;
    const held = relay.held();
    const child = spawnPostern(['tenant', 'delete', 'umbrella', '--yes'], { env: env() });
    await held;
    child.kill('SIGKILL');
    await child;
    relay.hold = undefined;
    expect((await root('GET', 'postern/data/state/epoch'))['data'].data.disabled).toEqual(['umbrella']);
    const shown = await postern(['tenant', 'show', 'umbrella', '--json'], { env: env() });
    expect(shown.json).toMatchObject({ state: 'incomplete', role_id: null });
    expect((await postern(['tenant', 'delete', 'umbrella', '--yes'], { env: env() })).code).toBe(0);
    expect((await root('GET', 'postern/data/state/epoch'))['data'].data.disabled).toEqual([]);
    expect((await postern(['tenant', 'show', 'umbrella'], { env: env() })).code).toBe(4);
  });
});

describe('a command that only looks', () => {
  test('ends at once by a signal, without a word', async () => {
    relay.hold = /LIST/;
    const held = relay.held();
    const listing = spawnPostern(['tenant', 'list'], { env: env() });
    await held;
    listing.kill('SIGINT');
    await sleep(200);
    relay.letGo();
    const { exitCode, stdout, stderr } = await listing;
    expect(exitCode).toBe(130);
    expect(stdout).toBe('');
    expect(stderr).toBe('');
  });

  test.runIf(existsSync('/dev/full'))('says so when its result is lost', () => {
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [MAIN, '--version'], { stdio: ['ignore', full, 'pipe'], encoding: 'utf8' });
    closeSync(full);
    expect(status).toBe(1);
    expect(stderr).toContain("can't be written (ENOSPC)");
  });

  test('does not stumble over a reader that has enough', async () => {
    const child = spawnPostern(['--help'], { env: env() });
    child.stdout.destroy();
    expect((await child).exitCode).toBe(0);
  });
});
