import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startBrokerProcess } from '#dev/broker.ts';
import { startReaper } from '#tools/process/reaper.ts';

test("a broker takes another port than one that was taken meanwhile, and another stack's answer there is not its own", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-broker-'));
  // Another stack's broker, which is ready.
  const other = createServer((_request, response) => void response.end('{}')).listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const logFile = join(folder, 'log');
  writeFileSync(join(folder, 'wrapped'), 'x', { mode: 0o600 });
  const reaper = startReaper();
  const controller = new AbortController();
  const started = startBrokerProcess({
    // No Vault is there: it never becomes ready, wherever it listens.
    vaultAddress: 'http://127.0.0.1:9',
    roleId: 'x',
    wrappedSecretIdFile: join(folder, 'wrapped'),
    auth0Issuer: 'https://example.auth0.com/',
    binding: 'action',
    logFile,
    logLevel: 'info',
    reaper,
    port,
    signal: controller.signal,
  });
  void started.catch(() => {});
  const log = (): string => {
    try {
      return readFileSync(logFile, 'utf8');
    } catch {
      return '';
    }
  };
  await expect.poll(log, { timeout: 25_000 }).toContain('another process has this port');
  await expect.poll(log, { timeout: 25_000 }).toContain('"postern listens"');
  controller.abort(new Error('enough'));
  await expect(started).rejects.toThrow('enough');
  await reaper.close();
  other.close();
  rmSync(folder, { recursive: true });
}, 60_000);
