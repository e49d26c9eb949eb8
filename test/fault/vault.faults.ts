import { expect, test } from 'vitest';
import { NODES } from '#test/fixture/raft.ts';
import { during } from './during.ts';
import type { Fault } from './during.ts';
import type { Answers, Seen } from './seen.ts';
import type { Stage } from './stage.ts';
import { PATIENCE_MS } from './patience.ts';

/** Seconds without any Vault. */
const OUTAGE = Number(process.env['POSTERN_TEST_OUTAGE'] ?? 15);

/** Vault fails as a whole or in part: those who were verified before notice nothing. */
export function vaultFaults(stageOf: () => Stage): void {
  const unnoticed = async (fault: Fault): Promise<Seen> => {
    const seen = await during(stageOf(), fault);
    expect(seen.wrong).toEqual([]);
    expect(seen.hits.errors).toEqual({});
    // Not one call to Auth0 more because of it.
    expect(seen.upstream).toBe(0);
    return seen;
  };

  test("the leader's process is killed", async () => {
    const { cluster } = stageOf();
    const leader = await cluster.elected();
    await unnoticed({
      name: 'leader `kill -9`',
      begin: async () => {
        await cluster.kill(leader);
        await cluster.elected(leader);
      },
    });
    await cluster.revive(leader);
    await cluster.healthy();
  });

  test('the leader is frozen for 30 s', async () => {
    const { cluster } = stageOf();
    const leader = await cluster.elected();
    await unnoticed({
      name: 'leader SIGSTOP',
      lasts: 30_000,
      begin: async () => cluster.signal(leader, 'SIGSTOP'),
      heal: async () => cluster.signal(leader, 'SIGCONT'),
    });
    await cluster.healthy();
  });

  test('the leader steps down', async () => {
    const { cluster } = stageOf();
    const leader = await cluster.elected();
    await unnoticed({
      name: 'leader steps down',
      begin: async () => {
        await cluster.ask(leader, 'PUT', 'sys/step-down');
        // Perhaps the same once more.
        await cluster.elected();
      },
    });
    await cluster.healthy();
  });

  test('all nodes are sealed', async () => {
    const { cluster } = stageOf();
    await unnoticed({
      name: 'all nodes sealed and unsealed',
      lasts: 10_000,
      begin: () => cluster.sealAll(),
      heal: async () => {
        for (const name of NODES) await cluster.unseal(name);
        await cluster.elected();
      },
    });
    await cluster.healthy();
  });

  test(`the whole cluster is down for ${OUTAGE} s`, { timeout: OUTAGE * 1_100 + 900_000 }, async () => {
    const { cluster } = stageOf();
    const { quiet, hits } = await unnoticed({
      name: 'all nodes `kill -9`, started and unsealed again',
      quiet: OUTAGE * 100,
      lasts: OUTAGE * 1_000,
      begin: async () => void (await Promise.all(NODES.map((name) => cluster.kill(name)))),
      heal: async () => {
        await Promise.all(NODES.map((name) => cluster.start(name)));
        for (const name of NODES) await cluster.unseal(name);
        await cluster.elected();
      },
    });
    console.log(`p50 and p99 of hits before: ${toMs(quiet)}; without Vault: ${toMs(hits)}`);
    await cluster.healthy();
  });

  test('the ways to Vault are slow', async () => {
    const { ways } = stageOf();
    await unnoticed({
      name: '100 ms of network to Vault and back',
      lasts: 10_000,
      begin: async () => void (await Promise.all(ways.map((way) => way.set({ type: 'latency', attributes: { latency: 50, jitter: 10 } })))),
      heal: async () => void (await Promise.all(ways.map((way) => way.clear()))),
    });
  });

  test('one replica is cut off from Vault', async () => {
    const { ways, replicas } = stageOf();
    await unnoticed({
      name: 'one replica of three cut off from Vault, its packets lost',
      lasts: 20_000,
      begin: () => ways[0]!.set({ type: 'timeout', attributes: { timeout: 0 } }),
      heal: () => ways[0]!.clear(),
    });
    await expect.poll(async () => (await replicas[0]!.readyz()).json['status'], { timeout: PATIENCE_MS }).toBe('ready');
  });
}

const toMs = (answers: Answers): string => `${answers.wait(0.5).toFixed(1)} and ${answers.wait(0.99).toFixed(1)} ms`;
