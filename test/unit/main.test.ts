import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, test } from 'vitest';

/** The broker's process, without a Vault, until it listens; its log lines. */
async function logOf(env: Record<string, string>): Promise<Record<string, unknown>[]> {
  const broker = execa(process.execPath, [fileURLToPath(import.meta.resolve('#broker/main.ts'))], {
    env: {
      POSTERN_ISSUER: 'http://127.0.0.1:1/',
      POSTERN_LISTEN: '127.0.0.1:0',
      POSTERN_SHUTDOWN_GRACE: '0',
      VAULT_ADDR: 'http://127.0.0.1:1',
      POSTERN_ROLE_ID: 'role',
      POSTERN_SECRET_ID: 'secret',
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
