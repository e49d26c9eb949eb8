import { expect, test } from 'vitest';
import { during } from './during.ts';
import type { Fault } from './during.ts';
import type { Seen } from './seen.ts';
import type { Stage } from './stage.ts';

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

  test('the leader steps down', async () => {
    const { cluster } = stageOf();
    const leader = await cluster.elected();
    await unnoticed({
      name: 'leader steps down',
      begin: async () => {
        await cluster.ask(leader, 'PUT', 'sys/step-down');
        await cluster.elected(leader);
      },
    });
    await cluster.healthy();
  });
}
