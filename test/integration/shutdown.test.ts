import { Pool } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { House } from '#test/fixture/broker.ts';
import { startRelay } from './relay.ts';

let house: House;
beforeAll(async () => {
  house = await startHouse();
});
afterAll(() => house.stop());

test(
  'SIGTERM under load: what is in flight is finished, nothing is torn, the process ends by itself and ' + 'gives its Vault token back',
  async () => {
    const replica = await house.startReplicaProcess();
    const { client_id, client_secret } = await house.issueSecret('acme');
    const pool = new Pool(replica.issuer, { connections: 16 });
    const body = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id,
      client_secret,
      audience: 'https://reports.example.com',
    }).toString();
    const statuses: number[] = [];
    const failures: string[] = [];
    let stopping = false;
    const load = Promise.all(
      Array.from({ length: 16 }, async () => {
        for (;;) {
          try {
            const reply = await pool.request({
              method: 'POST',
              path: '/oauth/token',
              headers: { 'content-type': 'application/x-www-form-urlencoded' },
              body,
            });
            const { access_token } = (await reply.body.json()) as { access_token?: string };
            statuses.push(access_token ? reply.statusCode : 0);
          } catch (error) {
            failures.push((error as NodeJS.ErrnoException).code ?? String(error));
            return;
          }
          if (stopping && replica.child.running === false) return;
        }
      }),
    );
    while (statuses.length < 200) await new Promise((resolve) => setTimeout(resolve, 10));
    stopping = true;
    process.kill(replica.child.pid, 'SIGTERM');
    await replica.child.ended;
    await load;
    await pool.destroy();
    expect(await replica.child.ended).toBe('code 0');
    expect(new Set(statuses)).toEqual(new Set([200]));
    // Only connections that could not be made any more: no reply was cut short.
    expect(failures.filter((code) => code !== 'ECONNREFUSED' && code !== 'UND_ERR_SOCKET' && code !== 'ECONNRESET')).toEqual([]);
    const events = await replica.events();
    expect(events.filter(({ outcome }) => outcome === 'granted').length).toBeGreaterThanOrEqual(statuses.length);
  },
);

test('a replica killed while it asks Auth0 leaves a lease that ends: another one issues the token, and nothing is torn', async () => {
  const [doomed, other] = [await house.startReplicaProcess(), await house.startReplica()];
  const credential = await house.issueSecret('globex');
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: credential.client_id,
    client_secret: credential.client_secret,
    audience: 'https://orders.example.com',
  });
  house.auth0.faults.set({ kind: 'hang' });
  const lost = fetch(`${doomed.issuer}oauth/token`, { method: 'POST', body: form }).then(
    (r) => r.status,
    () => 'cut',
  );
  while (house.auth0.calls.token === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  process.kill(doomed.child.pid, 'SIGKILL');
  expect(await lost).toBe('cut');
  house.auth0.faults.clear();
  const start = performance.now();
  for (;;) {
    const reply = await fetch(`${other.issuer}oauth/token`, { method: 'POST', body: form });
    await reply.body?.cancel();
    if (reply.status === 200) break;
    expect(reply.status).toBe(503);
  }
  // The lease lives 10 s.
  expect(performance.now() - start).toBeLessThan(13_000);
  expect(house.auth0.calls.token).toBe(2);
});

test('SIGTERM while Vault hangs with a list on its way: the process ends by itself within what an orchestrator allows', async () => {
  const credential = await house.issueSecret('acme');
  const relay = await startRelay(house.vault.address);
  try {
    relay.hold = /^LIST \/v1\/postern\/metadata\/state\/quota/;
    const listed = relay.held();
    const replica = await house.startReplicaProcess({
      env: { VAULT_ADDR: relay.address, POSTERN_LAME_DUCK: '0', POSTERN_SHUTDOWN_GRACE: '10' },
    });
    expect((await exchange(replica, credential, { audience: 'https://reports.example.com' })).status).toBe(200);
    await listed;
    relay.hold = /./;
    const begun = performance.now();
    process.kill(replica.child.pid, 'SIGTERM');
    expect(await replica.child.ended).toBe('code 0');
    // Helm gives 10 s beyond the grace, which nobody uses here.
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(await replica.log()).toContain('postern has stopped');
  } finally {
    await relay.stop();
  }
});
