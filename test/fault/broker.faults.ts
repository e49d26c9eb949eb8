import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { registerSecret } from '#test/fixture/ledger.ts';
import { until } from '#test/fixture/until.ts';
import { during } from './during.ts';
import type { Stage } from './stage.ts';
import { PATIENCE_MS } from './patience.ts';

/** What a broker is to Vault is taken from it, or a broker is gone in the worst moment. */
export function brokerFaults(stageOf: () => Stage): void {
  /** Tokens of brokers, by accessor. */
  const brokerTokens = async (): Promise<string[]> => {
    const { client, token } = stageOf().root;
    const found: string[] = [];
    for (const accessor of await client.list('auth/token/accessors', { token })) {
      const { data } = await client.write('auth/token/lookup-accessor', { accessor }, { token }).catch(() => ({ data: undefined }));
      if ((data?.['policies'] as string[] | undefined)?.includes('postern-broker')) found.push(accessor);
    }
    return found;
  };
  const revokeTokens = async (): Promise<void> => {
    const { client, token } = stageOf().root;
    const accessors = await brokerTokens();
    expect(accessors.length).toBeGreaterThan(0);
    for (const accessor of accessors) await client.write('auth/token/revoke-accessor', { accessor }, { token });
  };

  test("the brokers' Vault tokens are revoked: nobody notices", async () => {
    const seen = await during(stageOf(), { name: "brokers' Vault tokens revoked", begin: revokeTokens, lasts: 5_000 });
    expect(seen.wrong).toEqual([]);
    expect(seen.hits.errors).toEqual({});
    expect(Object.keys(seen.cold.errors).filter((outcome) => outcome !== '503')).toEqual([]);
    expect(seen.upstream).toBe(0);
  });

  test("the brokers' secret_ids are destroyed, and their tokens revoked: hits go on until they are replaced", async () => {
    const { root, secretFiles, replicas } = stageOf();
    const { client, token } = root;
    const role = 'auth/approle-broker/role/broker';
    const seen = await during(stageOf(), {
      name: "brokers' secret_ids destroyed, tokens revoked; replaced",
      lasts: 15_000,
      async begin() {
        for (const accessor of await client.list(`${role}/secret-id`, { token }))
          await client.write(`${role}/secret-id-accessor/destroy`, { secret_id_accessor: accessor }, { token });
        await revokeTokens();
      },
      async heal() {
        for (const file of secretFiles) {
          const { data } = await client.write(`${role}/secret-id`, {}, { token });
          registerSecret('broker secret_id', String(data?.['secret_id']));
          writeFileSync(file, String(data?.['secret_id']), { mode: 0o600 });
        }
      },
    });
    expect(seen.wrong).toEqual([]);
    expect(seen.hits.errors).toEqual({});
    for (const replica of replicas) await until(async () => (await replica.readyz()).status === 200, PATIENCE_MS);
  });

  test('a replica is killed while it holds the lease: another asks once more, and all are served', async () => {
    const { auth0, customers, replicas, directly } = stageOf();
    const [stranger] = await customers.fresh(1);
    const waits: number[] = [];
    const seen = await during(stageOf(), {
      name: "a replica `kill -9` while it fetches a tenant's first token",
      async begin() {
        auth0.faults.set({ kind: 'delay', milliseconds: 3_000 }, { times: 1 });
        const before = auth0.calls.token;
        const first = directly[0]!.ask('orders by token', stranger!);
        await until(async () => auth0.calls.token > before, PATIENCE_MS);
        await replicas[0]!.kill();
        const began = performance.now();
        expect((await first).outcome).toMatch(/^no answer/);
        // As clients do that are told to come back.
        await Promise.all(
          directly.slice(1).map((one) =>
            until(async () => {
              const outcome = await one.ask('orders by token', stranger!);
              expect(outcome.wrong).toBeUndefined();
              return outcome.outcome === '200';
            }, PATIENCE_MS).then(() => waits.push(performance.now() - began)),
          ),
        );
      },
      heal: () => replicas[0]!.start(),
    });
    expect(seen.wrong).toEqual([]);
    expect(seen.hits.errors).toEqual({});
    // The one that was lost, and another.
    expect(seen.upstream).toBe(2);
    console.log(`the stranger was served after ${waits.map((ms) => Math.round(ms)).join(' and ')} ms, at the two others`);
  });
}
