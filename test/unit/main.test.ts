import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';

/** The environment of one without a Vault. */
const BROKER = {
  POSTERN_ISSUER: 'http://127.0.0.1:1/',
  POSTERN_LISTEN: '127.0.0.1:0',
  POSTERN_SHUTDOWN_GRACE: '0',
  POSTERN_LAME_DUCK: '0',
  VAULT_ADDR: 'http://127.0.0.1:1',
  POSTERN_ROLE_ID: 'role',
  POSTERN_SECRET_ID: 'secret',
};

/** The broker's process, without a Vault, until it listens; its log lines. */
async function logOf(env: Record<string, string>): Promise<Record<string, unknown>[]> {
  const broker = execa(process.execPath, [fileURLToPath(import.meta.resolve('#broker/main.ts'))], {
    env: {
      ...BROKER,
      ...env,
    },
    extendEnv: false,
    reject: false,
  });
  const lines: string[] = [];
  for await (const line of broker.iterable({ from: 'stderr' })) {
    lines.push(line);
    if (line.includes('postern listens')) broker.kill('SIGTERM');
  }
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

const names = (log: Record<string, unknown>[], text: string): unknown[] =>
  log.filter(({ msg }) => String(msg).includes(text)).map(({ variables }) => variables);

test('the process warns once of a setting under its old name, and of those it does not have', async () => {
  const log = await logOf({ TOKEN_STORE: 'kv', POSTERN_VERIFY_TLL: '3' });
  expect(names(log, 'new names')).toEqual([{ TOKEN_STORE: 'POSTERN_TOKEN_STORE' }]);
  expect(names(log, 'no settings of these names')).toEqual([['POSTERN_VERIFY_TLL']]);
});

test('the process warns where it may open fewer files than it may have connections', async () => {
  const broker = execa(
    'sh',
    ['-c', 'ulimit -n 300 && exec "$0" "$1"', process.execPath, fileURLToPath(import.meta.resolve('#broker/main.ts'))],
    {
      env: {
        POSTERN_ISSUER: 'http://127.0.0.1:1/',
        POSTERN_LISTEN: '127.0.0.1:0',
        POSTERN_LAME_DUCK: '0',
        VAULT_ADDR: 'http://127.0.0.1:1',
        POSTERN_ROLE_ID: 'role',
        POSTERN_SECRET_ID: 'secret',
      },
      extendEnv: false,
      reject: false,
      timeout: 20_000,
    },
  );
  let warned = '{}';
  for await (const line of broker.iterable({ from: 'stderr' })) {
    if (line.includes('ulimit -n')) warned = line;
    if (line.includes('postern listens')) broker.kill('SIGTERM');
  }
  await broker;
  expect(process.platform === 'linux' ? JSON.parse(warned) : { limit: 300 }).toMatchObject({ limit: 300 });
});

test('SIGHUP while it starts, before there is anything to read again, ends nothing and is done afterwards', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-main-'));
  const file = join(folder, 'audit.jsonl');
  const broker = execa(process.execPath, [fileURLToPath(import.meta.resolve('#broker/main.ts'))], {
    env: {
      ...BROKER,
      POSTERN_AUDIT_FILE: file,
    },
    extendEnv: false,
    reject: false,
  });
  try {
    // It is made before the broker's parts are.
    for (const until = Date.now() + 20_000; !existsSync(file) && Date.now() < until;) await sleep(1);
    broker.kill('SIGHUP');
    for await (const line of broker.iterable({ from: 'stderr' })) if (line.includes('SIGHUP:')) broker.kill('SIGTERM');
    expect(await broker).toMatchObject({ exitCode: 0 });
  } finally {
    broker.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
});
