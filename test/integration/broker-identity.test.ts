import { appendFileSync } from 'node:fs';
import { mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startChild } from '#dev/child.ts';
import { freePort } from '#dev/port.ts';
import { registerSecret } from '#test/fixture/ledger.ts';
import { startReaper } from '#tools/process/reaper.ts';
import { findVault } from '#tools/part/vault.ts';
import { checkout } from '#tools/part/version.ts';
import { measured, startStage } from './broker-identity.stage.ts';
import type { IdentityStage } from './broker-identity.stage.ts';

let stage: IdentityStage;
const reaper = startReaper();
const ends: (() => Promise<void>)[] = [];

beforeAll(async () => {
  stage = await startStage();
}, 180_000);
afterAll(async () => {
  for (const end of ends) await end();
  await stage?.stop();
  await reaper.close();
});

test('Terraform has nothing to do after it has set up the JWT login', () => {
  expect(stage.planned).toMatchObject({ changes: false });
});

interface Method {
  name: string;
  env(): Promise<Record<string, string>>;
  /** Makes the credential at hand worthless; the tokens that it gave are revoked too. */
  spoil(): Promise<void>;
  /** Puts a good one in its place. */
  replace(): Promise<void>;
}

const METHODS: Method[] = [
  {
    name: 'approle',
    env: async () => ({
      POSTERN_ROLE_ID: stage.roleId,
      POSTERN_SECRET_ID_FILE: await stage.put('secret-id', `${await stage.secretId()}\n`),
    }),
    async spoil() {
      const secretId = (await readFile(join(stage.folder, 'secret-id'), 'utf8')).trim();
      await stage.vault.root('POST', 'auth/approle-broker/role/broker/secret-id/destroy', { secret_id: secretId });
    },
    replace: async () => void (await stage.put('secret-id', await stage.secretId())),
  },
  {
    name: 'jwt',
    async env() {
      // As a projected volume: the file is a link into a folder that is swapped.
      await mkdir(join(stage.folder, '..a'), { recursive: true });
      await symlink('..a', join(stage.folder, '..data'));
      await symlink('..data/token', join(stage.folder, 'token'));
      await writeFile(join(stage.folder, '..a/token'), await stage.jwt());
      return { POSTERN_VAULT_AUTH: 'jwt', POSTERN_BROKER_JWT_FILE: join(stage.folder, 'token') };
    },
    spoil: async () => void writeFile(join(stage.folder, '..a/token'), await stage.jwt({}, -900)),
    async replace() {
      await mkdir(join(stage.folder, '..b'));
      await writeFile(join(stage.folder, '..b/token'), await stage.jwt());
      await symlink('..b', join(stage.folder, '..data.new'));
      await execa('mv', ['-T', '..data.new', '..data'], { cwd: stage.folder });
    },
  },
  {
    name: 'token-file',
    async env() {
      await stage.put('agent-role-id', stage.roleId);
      await stage.put('agent-secret-id', await stage.secretId());
      ends.push(await startAgent());
      return { POSTERN_VAULT_AUTH: 'token-file', POSTERN_VAULT_TOKEN_FILE: join(stage.folder, 'sink') };
    },
    // The Agent is gone, and what it left is dead.
    async spoil() {
      for (const end of ends.splice(0)) await end();
    },
    replace: async () => void ends.push(await startAgent()),
  },
];

describe.each(METHODS)('$name', (method) => {
  test(
    'is back by itself after a restart of Vault, a revoked token, a replaced credential and its own restart',
    { timeout: 240_000 },
    async () => {
      const env = await method.env();
      const running = await stage.start({ POSTERN_VAULT_AUTH_GRACE: '0', ...env });
      measured(method.name, 'start', await stage.backIn(running));

      await stage.vault.restart();
      measured(method.name, 'Vault restarted', await stage.backIn(running));

      // An Agent learns of a revoked token when it renews: two thirds of 10 s, since the role says so here.
      await stage.vault.root('POST', 'auth/approle-broker/role/broker', { token_ttl: '10s' });
      if (method.name === 'token-file') {
        await method.spoil();
        await method.replace();
        await stage.backIn(running);
      }
      expect(await stage.revokeBrokers()).toBeGreaterThan(0);
      measured(method.name, 'token revoked', await stage.backIn(running));
      await stage.vault.root('POST', 'auth/approle-broker/role/broker', { token_ttl: '1h' });

      await method.spoil();
      await stage.revokeBrokers();
      // It learns of it at its next look, and is told what to do.
      await expect.poll(() => running.broker.missing().concat(telling(running.warnings(), 'refused')), { timeout: 20_000 }).not.toEqual([]);
      await method.replace();
      measured(method.name, 'credential replaced', await stage.backIn(running));

      await running.close();
      const again = await stage.start({ POSTERN_VAULT_AUTH_GRACE: '0', ...env });
      measured(method.name, 'own restart', await stage.backIn(again));
      await again.close();

      // Three troubles, each with a line when it began and one when it ended, by two tellers at most.
      expect(running.warnings().length, JSON.stringify(running.warnings(), undefined, 1)).toBeLessThanOrEqual(24);
    },
  );
});

test('while Vault is away for 15 s the log has a few lines, and one that says that it is over', async () => {
  const running = await stage.start({ POSTERN_ROLE_ID: stage.roleId, POSTERN_SECRET_ID: await stage.secretId() });
  await stage.backIn(running);
  await stage.vault.end();
  const requests = setInterval(() => void stage.backIn(running).catch(() => {}), 60_000);
  await sleep(15_000);
  clearInterval(requests);
  await stage.vault.start();
  measured('approle', 'Vault away for 15 s', await stage.backIn(running));
  await expect.poll(() => running.warnings().filter(({ msg }) => String(msg).startsWith('over: ')), { timeout: 10_000 }).not.toEqual([]);
  expect(running.warnings().length, JSON.stringify(running.warnings(), undefined, 1)).toBeLessThanOrEqual(6);
  await running.close();
});

describe('what can never work again', () => {
  const spent: [string, () => Promise<Record<string, string>>, RegExp][] = [
    [
      'a used wrapping token',
      async () => {
        const { wrap_info: wrapped } = await wrappedSecretId();
        await stage.vault.call('POST', 'sys/wrapping/unwrap', {}, wrapped.token);
        return { POSTERN_ROLE_ID: stage.roleId, POSTERN_WRAPPED_SECRET_ID_FILE: await stage.put('wrapped', wrapped.token) };
      },
      /was used before or has ended\. Issue a new one/,
    ],
    [
      'a JWT that has ended',
      async () => ({ POSTERN_VAULT_AUTH: 'jwt', POSTERN_BROKER_JWT_FILE: await stage.put('ended.jwt', await stage.jwt({}, -900)) }),
      /vault read auth\/jwt-broker\/role\/broker/,
    ],
    [
      "another's JWT",
      async () => ({
        POSTERN_VAULT_AUTH: 'jwt',
        POSTERN_BROKER_JWT_FILE: await stage.put('other.jwt', await stage.jwt({ sub: 'workload/other' })),
      }),
      /issuer, audience and subject must be/,
    ],
    [
      'an Agent that never comes',
      async () => ({ POSTERN_VAULT_AUTH: 'token-file', POSTERN_VAULT_TOKEN_FILE: join(stage.folder, 'never') }),
      /./,
    ],
  ];
  test.each(spent)('%s: told once with the remedy, and exit code 6 when the time is over', async (_, env, remedy) => {
    const { lines, exitCode, seconds } = await runBroker({ ...(await env()), POSTERN_VAULT_AUTH_GRACE: '2' });
    expect(exitCode).toBe(6);
    expect(seconds).toBeGreaterThan(2);
    const told = lines.filter(({ event }) => event === 'failed');
    expect(told).toHaveLength(1);
    expect(`${told[0]?.['fault']} ${told[0]?.['remedy']}`).toMatch(remedy);
    expect(lines.filter(({ level }) => level === 'fatal' || level === 60)).toHaveLength(1);
  });

  test('a Vault that is away is no such thing: the broker stays', async () => {
    const { exitCode, lines } = await runBroker(
      {
        POSTERN_ROLE_ID: stage.roleId,
        POSTERN_SECRET_ID: await stage.secretId(),
        POSTERN_VAULT_AUTH_GRACE: '1',
        VAULT_ADDR: `http://127.0.0.1:${await freePort()}`,
      },
      10_000,
    );
    // It was told to stop, by now.
    expect(exitCode).not.toBe(6);
    expect(lines.filter(({ event }) => event === 'failed')).toMatchObject([{ kind: 'away' }]);
  });
});

test('deploy/systemd/agent.hcl logs in, and the broker’s group may read its sink', async () => {
  const sink = join(stage.folder, 'sink-of-the-unit');
  const jwt = await stage.put('identity.jwt', await stage.jwt());
  const text = (await readFile(join(checkout, 'deploy/systemd/agent.hcl'), 'utf8'))
    .replace('https://vault.example.com:8200', stage.vault.address)
    .replace('/run/postern-identity/token', jwt)
    .replace('/run/postern/token', sink);
  ends.push(await startAgent(text));
  await expect.poll(() => readFile(sink, 'utf8').catch(() => ''), { timeout: 20_000 }).not.toBe('');
  expect((await stat(sink)).mode & 0o777).toBe(0o640);
  const token = await readFile(sink, 'utf8');
  registerSecret("the broker's token", token);
  const looked = await stage.vault.root('POST', 'auth/token/lookup', { token });
  expect(looked['data'].policies).toContain('postern-broker');
});

/** A Vault Agent that logs in as the broker's role and keeps its token in `sink`. */
async function startAgent(text = agentOf(join(stage.folder, 'sink'))): Promise<() => Promise<void>> {
  const config = join(stage.folder, 'agent.hcl');
  const sink = join(stage.folder, 'sink');
  await rm(sink, { force: true });
  await writeFile(config, text);
  const child = await startChild({
    name: 'vault',
    command: (await findVault()).path,
    args: ['agent', `-config=${config}`],
    env: { PATH: process.env['PATH'] ?? '', HOME: stage.folder, TMPDIR: stage.folder },
    logFile: join(stage.folder, 'agent.log'),
    reaper,
  });
  return async () => child.stop();
}

function agentOf(sink: string): string {
  return `vault { address = "${stage.vault.address}" }
auto_auth {
  min_backoff = "500ms"
  max_backoff = "2s"
  method "approle" {
    mount_path = "auth/approle-broker"
    config = {
      role_id_file_path = "${join(stage.folder, 'agent-role-id')}"
      secret_id_file_path = "${join(stage.folder, 'agent-secret-id')}"
      remove_secret_id_file_after_reading = false
    }
  }
  sink "file" { config = { path = "${sink}", mode = 0600 } }
}
`;
}

async function wrappedSecretId(): Promise<Record<string, any>> {
  const response = await fetch(`${stage.vault.address}/v1/auth/approle-broker/role/broker/secret-id`, {
    method: 'POST',
    headers: { 'X-Vault-Token': stage.vault.rootToken, 'X-Vault-Wrap-TTL': '300' },
  });
  return (await response.json()) as Record<string, any>;
}

/** A broker as a process, until it ends by itself or, after `patience` ms, is told to. */
async function runBroker(env: Readonly<Record<string, string>>, patience = 40_000) {
  const port = await freePort();
  const begun = performance.now();
  const { stderr, exitCode } = await execa(process.execPath, [join(checkout, 'broker/main.ts')], {
    env: {
      PATH: process.env['PATH'] ?? '',
      POSTERN_ISSUER: `http://127.0.0.1:${port}/`,
      POSTERN_LISTEN: `127.0.0.1:${port}`,
      VAULT_ADDR: stage.vault.address,
      ...env,
    },
    extendEnv: false,
    reject: false,
    timeout: patience,
    forceKillAfterDelay: 20_000,
  });
  const logs = process.env['POSTERN_TEST_LOGS'];
  if (logs !== undefined) appendFileSync(join(logs, `broker-${port}.log`), stderr);
  const lines = stderr.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : []));
  return { lines, exitCode, seconds: (performance.now() - begun) / 1000 };
}

function telling(lines: readonly Record<string, unknown>[], kind: string): string[] {
  return lines.flatMap((line) => (line['kind'] === kind ? [String(line['fault'])] : []));
}
