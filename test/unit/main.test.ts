import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { startBroker } from '#broker/index.ts';
import { checkout } from '#tools/part/version.ts';

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

test('SIGUSR1 opens no inspector, and SIGUSR2 ends nothing', async () => {
  const broker = execa(process.execPath, [fileURLToPath(import.meta.resolve('#broker/main.ts'))], {
    env: BROKER,
    extendEnv: false,
    reject: false,
  });
  const lines: string[] = [];
  for await (const line of broker.iterable({ from: 'stderr' })) {
    lines.push(line);
    if (!line.includes('postern listens')) continue;
    broker.kill('SIGUSR1');
    broker.kill('SIGUSR2');
    await sleep(500);
    broker.kill('SIGTERM');
  }
  expect(await broker).toMatchObject({ exitCode: 0 });
  expect(lines.filter((line) => !line.startsWith('{'))).toEqual([]);
});

test.each(['POSTERN_LISTEN', 'POSTERN_ADMIN_LISTEN', 'POSTERN_METRICS_LISTEN'])(
  '`postern serve` ends with exit code 6 where the port of %s is taken, and keeps none of the others',
  async (setting) => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
    const free = createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const main = `127.0.0.1:${(free.address() as AddressInfo).port}`;
    await new Promise((resolve) => free.close(resolve));
    const env = { ...BROKER, POSTERN_LISTEN: main, [setting]: address };
    try {
      const { exitCode, stderr } = await execa(process.execPath, ['cli/main.ts', 'serve'], {
        cwd: checkout,
        env,
        extendEnv: false,
        reject: false,
        timeout: 20_000,
      });
      expect({ exitCode, said: stderr.split('\n').filter((line) => !line.startsWith('{')) }).toEqual({
        exitCode: 6,
        said: [
          `error: ${setting}: nobody can listen at ${address} (another process has this port)`,
          '  Name another address or port, or stop what has it.',
        ],
      });
      // The same for a program that has the broker inside it: it goes on living.
      await expect(startBroker(env)).rejects.toMatchObject({ code: 'misconfigured' });
      const again = createServer();
      again.listen(Number(main.split(':')[1]), '127.0.0.1');
      await once(again, 'listening');
      await new Promise((resolve) => again.close(resolve));
    } finally {
      taken.close();
    }
  },
);
