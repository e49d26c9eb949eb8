import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Load } from './load.ts';
import { row } from './seen.ts';
import type { Stage } from './stage.ts';

const KILLS = 20;
/** ms */
const POLL = 50;

/** `kill -9` of the leader, again and again. */
export function leaderFaults(stageOf: () => Stage): void {
  test(`the leader is killed ${KILLS} times: no hit fails, and cold exchanges come back soon`, { timeout: 1_800_000 }, async () => {
    const { cluster, customers, hot, clients, warm, auth0 } = stageOf();
    const stock = (count: number): Promise<void> =>
      customers.stock(
        hot.map(({ tenant }) => tenant),
        count,
      );
    await stock(400);
    await warm();
    const began = performance.now();
    const upstream = auth0.calls.token;
    const load = Load.start(clients, { door: 'reports by token', next: () => customers.unseen() }, hot);
    /** ms from the kill to the next leader, and from there to the first cold exchange. */
    const rounds: { elected: number; back: number }[] = [];
    try {
      for (let round = 0; round < KILLS; round++) {
        const leader = await cluster.elected();
        const one = customers.unseen();
        await cluster.kill(leader);
        const killed = performance.now();
        const electing = cluster.elected(leader).then(() => performance.now());
        const served = (async () => {
          while ((await clients.ask('reports by token', one)).outcome !== '200') await sleep(POLL);
          return performance.now();
        })();
        const [elected, back] = await Promise.all([electing, served]);
        rounds.push({ elected: elected - killed, back: Math.max(0, back - elected) });
        await cluster.revive(leader);
        await cluster.healthy();
        await stock(60);
      }
    } finally {
      await load.stop();
    }
    const { hits, cold, wrong } = load;
    const seconds = (performance.now() - began) / 1000;
    console.log(row({ fault: `leader \`kill -9\` × ${KILLS}`, seconds, hits, cold, wrong, upstream: auth0.calls.token - upstream }));
    const ms = (of: 'elected' | 'back'): string =>
      rounds
        .map((round) => Math.round(round[of]))
        .toSorted((a, b) => a - b)
        .join(' ');
    console.log(`ms to the election: ${ms('elected')}; from there to a cold exchange: ${ms('back')}`);
    expect(wrong).toEqual([]);
    expect(hits.errors).toEqual({});
    expect(Math.max(...rounds.map(({ back }) => back))).toBeLessThanOrEqual(5_000);
  });
}
