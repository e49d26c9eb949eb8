import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { execa } from 'execa';
import { Pool } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VaultClient } from '#broker/vault/client.ts';
import { makeCertificates } from '#test/conformance/certificate.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { House } from '#test/fixture/broker.ts';
import { registerSecret } from '#test/fixture/ledger.ts';

const REPORTS = 'https://reports.example.com';

let house: House;
let folder: string;
beforeAll(async () => {
  house = await startHouse();
  folder = mkdtempSync(join(tmpdir(), 'postern-unix-'));
});
afterAll(async () => {
  await house.stop();
  rmSync(folder, { recursive: true, force: true });
});

const statusOf = (url: string): Promise<number> =>
  fetch(url).then(
    async (response) => {
      await response.body?.cancel();
      return response.status;
    },
    () => 0,
  );

test('SIGTERM: not ready at once, served on for the lame duck, then ended', async () => {
  const replica = await house.startReplicaProcess({ env: { POSTERN_LAME_DUCK: '2' } });
  const credential = await house.issueSecret('acme');
  expect(await statusOf(`${replica.issuer}readyz`)).toBe(200);
  const pool = new Pool(new URL(replica.issuer).origin, { connections: 1 });
  const kept = async () => {
    const { body, headers } = await pool.request({ path: '/livez', method: 'GET' });
    await body.dump();
    return headers['connection'];
  };
  expect(await kept()).toBe('keep-alive');
  process.kill(replica.child.pid, 'SIGTERM');
  await expect.poll(() => statusOf(`${replica.issuer}readyz`), { timeout: 1_500 }).toBe(503);
  const during = await exchange(replica, credential, { audience: REPORTS });
  expect(during.status).toBe(200);
  expect([await kept(), await kept()]).toEqual(['close', 'keep-alive']);
  await pool.close();
  expect(await statusOf(`${replica.issuer}livez`)).toBe(200);
  expect(await replica.child.ended).toBe('code 0');
});

test('a second signal ends it at once, with the code that shells give that signal', async () => {
  const replica = await house.startReplicaProcess({ env: { POSTERN_LAME_DUCK: '600' } });
  process.kill(replica.child.pid, 'SIGTERM');
  await expect.poll(() => statusOf(`${replica.issuer}readyz`)).toBe(503);
  process.kill(replica.child.pid, 'SIGTERM');
  expect(await replica.child.ended).toBe('code 143');
});

test('SIGHUP under load: the audit files, old and new, have every exchange, once; the log goes to its new file', async () => {
  const file = join(folder, 'audit.jsonl');
  const logFile = join(folder, 'postern.log');
  const replica = await house.startReplicaProcess({ env: { POSTERN_AUDIT_FILE: file, POSTERN_LOG_FILE: logFile } });
  const credential = await house.issueSecret('acme');
  let granted = 0;
  let going = true;
  const load = Promise.all(
    Array.from({ length: 4 }, async () => {
      while (going) {
        const { status } = await exchange(replica, credential, { audience: REPORTS });
        expect(status).toBe(200);
        granted += 1;
      }
    }),
  );
  for (let turn = 0; turn < 3; turn++) {
    await sleep(300);
    renameSync(file, `${file}.${turn}`);
    renameSync(logFile, `${logFile}.${turn}`);
    process.kill(replica.child.pid, 'SIGHUP');
    await expect.poll(() => readable(file)).toBe(true);
  }
  going = false;
  await load;
  await replica.stop();
  expect(readFileSync(`${logFile}.0`, 'utf8')).toContain('postern listens');
  expect(readFileSync(logFile, 'utf8').split('\n')[0]).toContain('SIGHUP');
  expect(readFileSync(logFile, 'utf8')).toContain('postern has stopped');
  const lines = [`${file}.0`, `${file}.1`, `${file}.2`, file].flatMap((one) => readFileSync(one, 'utf8').split('\n').slice(0, -1));
  expect(lines.map((line) => JSON.parse(line) as { event: string }).filter(({ event }) => event === 'token.exchange')).toHaveLength(
    granted,
  );
});

test('SIGHUP: trusted proxies are read again, on connections that are open; bad ones keep the old', async () => {
  const proxies = join(folder, 'proxies');
  const logFile = join(folder, 'proxies.log');
  writeFileSync(proxies, '192.0.2.0/24\n');
  const replica = await house.startReplicaProcess({ env: { POSTERN_TRUSTED_PROXIES_FILE: proxies, POSTERN_LOG_FILE: logFile } });
  const pool = new Pool(new URL(replica.issuer).origin, { connections: 1 });
  /** Whom a refusal is written down for, of one that says it comes through a proxy. */
  const addressOf = async (client: string): Promise<string | undefined> => {
    const reply = await pool.request({ method: 'POST', path: '/oauth/token', headers: { 'x-forwarded-for': client } });
    await reply.body.dump();
    let found: string | undefined;
    await expect
      .poll(() => (found = /"address":"([^"]*)"/.exec(readFileSync(logFile, 'utf8').trimEnd().split('\n').at(-1) ?? '')?.[1]))
      .toBeDefined();
    return found;
  };
  const renew = async (text: string): Promise<void> => {
    writeFileSync(proxies, text);
    const before = readFileSync(logFile, 'utf8').length;
    process.kill(replica.child.pid, 'SIGHUP');
    await expect.poll(() => readFileSync(logFile, 'utf8').slice(before), { timeout: 10_000 }).toContain('list of trusted proxies');
  };
  expect(await addressOf('198.51.100.1')).toBe('127.0.0.1');
  await renew('192.0.2.0/24\n127.0.0.1 # nginx\n');
  expect(await addressOf('198.51.100.2')).toBe('198.51.100.2');
  await renew('everybody\n');
  expect(readFileSync(logFile, 'utf8')).toContain('POSTERN_TRUSTED_PROXIES_FILE must hold addresses');
  expect(await addressOf('198.51.100.3')).toBe('198.51.100.3');
  await pool.close();
  await replica.stop();
});

function readable(file: string): boolean {
  try {
    readFileSync(file);
    return true;
  } catch {
    return false;
  }
}

describe('a certificate that is renewed on disk', () => {
  test('is taken up by SIGHUP without a connection dropped; a bad one keeps the old', async () => {
    await using one = await makeCertificates();
    await using other = await makeCertificates();
    const tls = { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') };
    const put = ({ certFile, keyFile }: { certFile: string; keyFile: string }): void => {
      copyFileSync(certFile, tls.certFile);
      copyFileSync(keyFile, tls.keyFile);
    };
    put(one);
    const port = await freeTlsPort();
    const replica = await house.startReplicaProcess({
      env: {
        POSTERN_ADMIN_LISTEN: `127.0.0.1:${port}`,
        POSTERN_ADMIN_TLS_CERT_FILE: tls.certFile,
        POSTERN_ADMIN_TLS_KEY_FILE: tls.keyFile,
      },
    });
    const before = await fingerprintOf(port);
    for (const bad of ['', 'no PEM', readFileSync(one.certFile, 'utf8').slice(0, 200)]) {
      writeFileSync(tls.certFile, bad);
      process.kill(replica.child.pid, 'SIGHUP');
      await sleep(200);
      expect(await fingerprintOf(port)).toBe(before);
    }
    // A new certificate with the old key.
    copyFileSync(other.certFile, tls.certFile);
    process.kill(replica.child.pid, 'SIGHUP');
    await sleep(200);
    expect(await fingerprintOf(port)).toBe(before);
    put(other);
    process.kill(replica.child.pid, 'SIGHUP');
    await expect.poll(() => fingerprintOf(port)).not.toBe(before);
    expect(replica.child.running).toBe(true);
    await replica.stop();
  });
});

async function freeTlsPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Of the certificate that a new connection is shown. */
function fingerprintOf(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      { port, host: '127.0.0.1', path: '/openapi.json', rejectUnauthorized: false, agent: false },
      (response) => {
        const { fingerprint256 } = (response.socket as TLSSocket).getPeerCertificate();
        response.resume().on('end', () => resolve(fingerprint256));
      },
    );
    request.on('error', reject).end();
  });
}

describe('what can’t be opened at the start ends it there, with exit code 6 and the reason', () => {
  const start = (env: Record<string, string>) =>
    execa(process.execPath, ['broker/main.ts'], {
      env: {
        PATH: process.env['PATH'],
        VAULT_ADDR: house.vault.address,
        POSTERN_ISSUER: 'http://127.0.0.1:1/',
        POSTERN_LISTEN: '127.0.0.1:0',
        POSTERN_ROLE_ID: 'x',
        POSTERN_SECRET_ID: 'y',
        ...env,
      },
      extendEnv: false,
      reject: false,
      timeout: 20_000,
    });

  test.each([
    ['a folder that is a file', '/dev/null/audit.jsonl', 'ENOTDIR|EEXIST'],
    ['a directory', tmpdir(), 'EISDIR'],
  ])('the audit file: %s', async (_what, file, code) => {
    const { exitCode, stderr } = await start({ POSTERN_AUDIT_FILE: file });
    expect(exitCode).toBe(6);
    expect(stderr).toMatch(new RegExp(`POSTERN_AUDIT_FILE cannot be opened \\((${code})\\)`));
  });

  test('a port that is taken, with an audit file', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    const { exitCode, stderr } = await start({ POSTERN_LISTEN: `127.0.0.1:${port}`, POSTERN_AUDIT_FILE: join(folder, 'taken.jsonl') });
    await new Promise((resolve) => taken.close(resolve));
    expect(exitCode).toBe(6);
    expect(stderr).toContain('POSTERN_LISTEN');
    expect(stderr).not.toContain('sonic');
  });
});

describe('postern serve --check', () => {
  const check = async (env: Record<string, string>, ...more: string[]) => {
    const { exitCode, stdout, stderr } = await execa(process.execPath, ['cli/main.ts', 'serve', '--check', '--json', ...more], {
      env: {
        PATH: process.env['PATH'],
        VAULT_ADDR: house.vault.address,
        POSTERN_ISSUER: 'http://127.0.0.1:1/',
        POSTERN_LISTEN: '127.0.0.1:0',
        ...env,
      },
      extendEnv: false,
      reject: false,
      timeout: 20_000,
    });
    const { findings = [] } = stdout === '' ? {} : (JSON.parse(stdout) as { findings?: { what: string; state: string; detail: string }[] });
    return { exitCode, stderr, states: Object.fromEntries(findings.map(({ what, state }) => [what, state])), text: stdout };
  };
  const identity = async (settings: Record<string, unknown> = {}) => {
    const { data } = (await house.root.read('auth/approle-broker/role/broker/role-id')) ?? {};
    const made = await house.root.write('auth/approle-broker/role/broker/secret-id', settings);
    const secret = String(made.data?.['secret_id']);
    registerSecret('broker secret_id', secret);
    return { POSTERN_ROLE_ID: String(data?.['role_id']), secret };
  };

  test('all is well: 0, and no secret is shown', async () => {
    const { secret, POSTERN_ROLE_ID } = await identity();
    const { exitCode, states, text } = await check({ POSTERN_ROLE_ID, POSTERN_SECRET_ID: secret }, '--login');
    expect({ exitCode, states }).toEqual({
      exitCode: 0,
      states: { configuration: 'ok', audit: 'ok', log: 'ok', POSTERN_LISTEN: 'ok', 'login to Vault': 'ok' },
    });
    expect(text).not.toContain(secret);
  });

  test('faults are named: 6', async () => {
    const { POSTERN_ROLE_ID } = await identity();
    const wrong = await check(
      { POSTERN_ROLE_ID, POSTERN_SECRET_ID: 'wrong', POSTERN_AUDIT_FILE: '/dev/null/x', POSTERN_LISTN: 'x' },
      '--login',
    );
    expect(wrong).toMatchObject({ exitCode: 6, states: { 'login to Vault': 'fault', audit: 'fault', POSTERN_LISTN: 'fault' } });
    expect((await check({})).stderr).toContain('POSTERN_ROLE_ID is missing');
  });

  test('no use of a secret_id is spent unless --login asks for it', async () => {
    const { secret, POSTERN_ROLE_ID } = await identity({ num_uses: 1 });
    const env = { POSTERN_ROLE_ID, POSTERN_SECRET_ID: secret };
    const unspent = await check(env);
    expect(unspent).toMatchObject({ exitCode: 0, states: { 'login to Vault': 'ok' } });
    expect(unspent.text).toContain('not tried');
    expect(await check(env, '--login')).toMatchObject({ exitCode: 0 });
    expect(await check(env, '--login')).toMatchObject({ exitCode: 6, states: { 'login to Vault': 'fault' } });
  });

  test("a running broker's port is no fault, another program's is", async () => {
    const { secret, POSTERN_ROLE_ID } = await identity();
    const env = { POSTERN_ROLE_ID, POSTERN_SECRET_ID: secret };
    const replica = await house.startReplicaProcess();
    const ours = await check({ ...env, POSTERN_LISTEN: new URL(replica.issuer).host });
    expect(ours).toMatchObject({ exitCode: 0, states: { POSTERN_LISTEN: 'ok' } });
    expect(ours.text).toContain('in use, by a broker that runs');
    await replica.stop();
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const taken = await check({ ...env, POSTERN_LISTEN: `127.0.0.1:${(other.address() as AddressInfo).port}` });
    other.close();
    expect(taken).toMatchObject({ exitCode: 6, states: { POSTERN_LISTEN: 'fault' } });
  });

  test('Vault away: 5; a wrapping token is looked at, and not opened', async () => {
    const { secret, POSTERN_ROLE_ID } = await identity();
    const away = await check({ POSTERN_ROLE_ID, POSTERN_SECRET_ID: secret, VAULT_ADDR: 'http://127.0.0.1:9' });
    expect(away).toMatchObject({ exitCode: 5, states: { 'login to Vault': 'unknown' } });
    const client = new VaultClient({ address: house.vault.address });
    const wrap = async (path: string): Promise<string> => {
      const made = await client.write(path, {}, { token: house.vault.rootToken, wrapTtl: 120 });
      const token = String(made.wrap_info?.['token']);
      registerSecret('wrapping token', token);
      return token;
    };
    const token = await wrap('auth/approle-broker/role/broker/secret-id');
    const env = { POSTERN_ROLE_ID, POSTERN_WRAPPED_SECRET_ID: token };
    for (const more of [[], ['--login']]) {
      const wrapped = await check(env, ...more);
      expect(wrapped).toMatchObject({ exitCode: 0, states: { 'login to Vault': 'ok' } });
      expect(wrapped.text).toContain('unopened');
    }
    expect((await client.write('sys/wrapping/unwrap', {}, { token })).data).toHaveProperty('secret_id');
    // Opened by now; never one; one of something else.
    for (const bad of [token, 'hvs.not-a-wrapping-token', await wrap('auth/approle/role/acme/secret-id')]) {
      const found = await check({ ...env, POSTERN_WRAPPED_SECRET_ID: bad });
      expect(found).toMatchObject({ exitCode: 6, states: { 'login to Vault': 'fault' } });
      expect(found.text).not.toContain(bad);
    }
    await client.close();
  });
});
