import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { registerSecret } from '#test/fixture/ledger.ts';
import { run } from './run.ts';

test('the stand-in for Auth0 runs as a server of its own, with its faults set from outside', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-stand-in-'));
  const file = join(folder, 'account.json');
  const secret = 'stand-in-server-secret-71c0a2';
  registerSecret('auth0 client_secret', secret);
  writeFileSync(
    file,
    JSON.stringify({
      clients: [{ id: 'shared', secrets: [secret], grantTypes: ['client_credentials'] }],
      apis: [{ audience: 'https://orders.example.com', scopes: ['read:orders'] }],
      grants: [{ clientId: 'shared', audience: 'https://orders.example.com', scopes: ['read:orders'] }],
    }),
    { mode: 0o600 },
  );
  await using server = run(['dev/auth0/main.ts', file], { stack: 'none' });
  await server.until('\n');
  const { issuer, control } = JSON.parse(server.out()) as { issuer: string; control: string };
  const exchange = () =>
    fetch(`${issuer}oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: 'shared',
        client_secret: secret,
        audience: 'https://orders.example.com',
      }),
    });
  const good = await exchange();
  expect(good.status).toBe(200);
  await good.body?.cancel();
  await fetch(`${control}/faults`, { method: 'PUT', body: JSON.stringify({ fault: { kind: 'rate_limit', retryAfter: 3 }, times: 1 }) });
  const limited = await exchange();
  expect([limited.status, limited.headers.get('retry-after')]).toEqual([429, '3']);
  await limited.body?.cancel();
  server.kill('SIGTERM');
  expect(await server.ended, server.err()).toEqual({ code: 0, signal: null });
  expect(await server.leftovers()).toEqual([]);
  rmSync(folder, { recursive: true });
});
