import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { VaultToken } from '#broker/credential/identity.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { announce } from '#broker/operator/announcement.ts';
import { disableTenant } from '#broker/operator/tenant/disable.ts';
import { until } from '#test/fixture/until.ts';
import { startLeashed } from '#tools/process/leash.ts';
import { during } from './during.ts';
import { SMALL_DISK } from './stage.ts';
import type { Stage } from './stage.ts';
import { PATIENCE_MS } from './patience.ts';

/** Where Vault writes, it can't; or finds what it wrote long ago. */
export function storageFaults(stageOf: () => Stage): void {
  test("the leader's disk is full", async () => {
    const { cluster, disk } = stageOf();
    await cluster.lead(SMALL_DISK);
    const seen = await during(stageOf(), {
      name: "the leader's disk full",
      lasts: 20_000,
      begin: () => disk.fill(),
      heal: async () => disk.clear(),
    });
    expect(seen.wrong).toEqual([]);
    expect(seen.hits.errors).toEqual({});
    expect(Object.keys(seen.cold.errors).filter((outcome) => outcome !== '503')).toEqual([]);
    // Whether it lived on or not.
    if (!cluster.runs(SMALL_DISK)) await cluster.start(SMALL_DISK);
    await cluster.unseal(SMALL_DISK);
    await cluster.healthy();
  });

  test('the audit device takes nothing any more', async () => {
    const { cluster, home } = stageOf();
    const pipe = join(home, 'audit.pipe');
    await execa('mkfifo', ['-m', '600', pipe]);
    // Somebody who reads the audit, and is then frozen: the pipe fills, and Vault waits.
    const reader = await startLeashed('/bin/cat', [pipe], { env: {}, log: '/dev/null' });
    try {
      const leader = await cluster.elected();
      expect((await cluster.ask(leader, 'PUT', 'sys/audit/blocked', { type: 'file', options: { file_path: pipe } })).status).toBe(204);
      const seen = await during(stageOf(), {
        name: 'audit device blocked',
        lasts: 20_000,
        async begin() {
          process.kill(reader.pid, 'SIGSTOP');
          // Until the pipe is full: nobody gets an answer then.
          await until(
            () =>
              cluster.ask(leader, 'GET', 'sys/mounts', undefined, 2_000).then(
                ({ status }) => status >= 500,
                () => true,
              ),
            PATIENCE_MS,
          );
        },
        heal: async () => process.kill(reader.pid, 'SIGCONT') && undefined,
      });
      expect(seen.wrong).toEqual([]);
      expect(seen.hits.errors).toEqual({});
      expect(Object.keys(seen.cold.errors).filter((outcome) => outcome !== '503')).toEqual([]);
      await until(async () => (await cluster.ask(await cluster.elected(), 'DELETE', 'sys/audit/blocked')).status === 204, PATIENCE_MS);
    } finally {
      process.kill(reader.pid, 'SIGCONT');
      await reader.stop();
    }
    await cluster.healthy();
  });

  test('a snapshot is restored: who was disabled after it stays out', async () => {
    const { cluster, root, customers, directly, replicas } = stageOf();
    const access = new VaultAccess({ client: root.client, token: new VaultToken(root.token) });
    const [stranger] = await customers.fresh(1);
    for (const one of directly) await one.serveAll([stranger!]);
    // All that is in stock was issued before, so that it is there afterwards.
    await customers.stock(
      stageOf().hot.map(({ tenant }) => tenant),
      250,
    );
    const snapshot = await cluster.snapshot();
    await disableTenant(access, stranger!.tenant);
    const refused = (): Promise<boolean> =>
      Promise.all(directly.map((one) => one.ask('reports by token', stranger!))).then((all) =>
        all.every(({ outcome }) => outcome === '403'),
      );
    await until(refused, PATIENCE_MS);
    let served = 0;
    const seen = await during(stageOf(), {
      name: 'snapshot restored, a tenant disabled since',
      async begin() {
        await cluster.restore(snapshot);
        await cluster.elected();
        for (let n = 0; n < 100; n++)
          for (const one of directly) if ((await one.ask('reports by token', stranger!)).outcome === '200') served += 1;
      },
    });
    expect(served).toBe(0);
    expect(seen.wrong).toEqual([]);
    expect(seen.hits.errors).toEqual({});
    for (const replica of replicas)
      await until(async () => JSON.stringify((await replica.readyz()).json).includes('restored'), PATIENCE_MS);
    await disableTenant(access, stranger!.tenant);
    await announce(access, '*', 'replayed');
    for (const replica of replicas)
      await until(async () => !JSON.stringify((await replica.readyz()).json).includes('restored'), PATIENCE_MS);
    await cluster.healthy();
  });
}
