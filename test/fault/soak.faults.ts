import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { seeded } from '#test/fixture/seeded.ts';
import { until } from '#test/fixture/until.ts';
import { DOORS, MORE_DOORS } from './clients.ts';
import type { Stage } from './stage.ts';
import { PATIENCE_MS } from './patience.ts';

/** Half an hour is 1800. */
const SECONDS = Number(process.env['POSTERN_TEST_SOAK'] ?? 60);
const SEED = Number(process.env['POSTERN_TEST_SOAK_SEED'] ?? Date.now() % 1_000_000);
const CUSTOMERS = 12;
const CLIENTS = 6;
/** ms that a client rests between two requests, at most. */
const REST = 60;
const EVERY_DOOR = [...DOORS, ...MORE_DOORS];
/** Logins for token exchange live for five minutes. */
const LOGIN_AGE = 200_000;

/** Clients, doors and faults by chance. */
export function soak(stageOf: () => Stage): void {
  test(`${SECONDS} s of faults by chance under clients by chance, seed ${SEED}`, { timeout: SECONDS * 1_000 + 900_000 }, async () => {
    const { customers, clients, directly } = stageOf();
    const chance = seeded(SEED);
    const pick = <T>(of: readonly T[]): T => of[Math.floor(chance() * of.length)]!;
    const known = await customers.fresh(CUSTOMERS);
    const logins = new Map<string, { vaultToken: string; at: number }>();
    const withLogin = async (customer: (typeof known)[number]) => {
      const login = logins.get(customer.tenant);
      if (login !== undefined && performance.now() - login.at < LOGIN_AGE) return { ...customer, vaultToken: login.vaultToken };
      const { vaultToken } = await customers.loggedIn(customer);
      logins.set(customer.tenant, { vaultToken, at: performance.now() });
      return { ...customer, vaultToken };
    };
    const outcomes: Record<string, Record<string, number>> = Object.fromEntries(EVERY_DOOR.map((door) => [door, {}]));
    const wrong: string[] = [];
    const end = performance.now() + SECONDS * 1_000;
    const client = async (): Promise<void> => {
      while (performance.now() < end) {
        const door = pick(EVERY_DOOR);
        const customer = pick(known);
        const where = pick([clients, clients, ...directly]);
        // Vault may be away just now.
        const asking = door === 'reports by Vault token' ? await withLogin(customer).catch(() => undefined) : customer;
        if (asking === undefined) continue;
        const { outcome, wrong: what } = await where.ask(door, asking);
        const counted = outcomes[door]!;
        counted[outcome] = (counted[outcome] ?? 0) + 1;
        if (what !== undefined) wrong.push(what);
        await sleep(chance() * REST);
      }
    };
    const faults = faultsOf(stageOf());
    const done: Record<string, number> = {};
    const trouble = async (): Promise<void> => {
      while (performance.now() < end) {
        const name = pick(Object.keys(faults));
        await faults[name]!(500 + chance() * 6_000);
        done[name] = (done[name] ?? 0) + 1;
        await sleep(chance() * 2_000);
      }
    };
    await Promise.all([trouble(), ...Array.from({ length: CLIENTS }, client)]);
    console.log(`soak of ${SECONDS} s, seed ${SEED}: ${JSON.stringify(done)}\n${JSON.stringify(outcomes)}`);
    expect(wrong).toEqual([]);
    for (const one of directly) await one.serveAll(known);
    await stageOf().cluster.healthy();
    for (const door of EVERY_DOOR) expect(outcomes[door]?.['200'] ?? 0, door).toBeGreaterThan(0);
  });
}

/** Each begins, lasts so many ms, and has healed when it returns. */
function faultsOf({ cluster, ways, replicas, auth0, root }: Stage): Record<string, (ms: number) => Promise<void>> {
  const way = (toxic: Parameters<(typeof ways)[number]['set']>[0]) => async (ms: number) => {
    const one = ways[Math.floor(ms) % ways.length]!;
    await one.set(toxic);
    await sleep(ms);
    await one.clear();
  };
  const struck = (fault: Parameters<typeof auth0.faults.set>[0]) => async (ms: number) => {
    auth0.faults.set(fault);
    await sleep(ms);
    auth0.faults.clear();
  };
  return {
    'leader kill -9': async () => {
      const leader = await cluster.elected();
      await cluster.kill(leader);
      await cluster.elected(leader);
      await cluster.revive(leader);
      await cluster.healthy();
    },
    'leader steps down': async () => {
      const leader = await cluster.elected();
      await cluster.ask(leader, 'PUT', 'sys/step-down');
      await cluster.healthy();
    },
    'leader frozen': async (ms) => {
      const leader = await cluster.elected();
      cluster.signal(leader, 'SIGSTOP');
      await sleep(ms);
      cluster.signal(leader, 'SIGCONT');
      await cluster.healthy();
    },
    'replica kill -9': async (ms) => {
      const replica = replicas[Math.floor(ms) % replicas.length]!;
      await replica.kill();
      await sleep(ms / 4);
      await replica.start();
    },
    'replica frozen': async (ms) => {
      const replica = replicas[Math.floor(ms) % replicas.length]!;
      process.kill(replica.pid, 'SIGSTOP');
      await sleep(ms / 4);
      process.kill(replica.pid, 'SIGCONT');
      await until(async () => (await replica.readyz()).status === 200, PATIENCE_MS);
    },
    'a way to Vault cut': way({ type: 'timeout', attributes: { timeout: 0 } }),
    'a way to Vault slow': way({ type: 'latency', attributes: { latency: 200, jitter: 150 } }),
    'a way to Vault broken off': way({ type: 'reset_peer', attributes: { timeout: 20 } }),
    'Auth0 500': struck({ kind: 'status', status: 500 }),
    'Auth0 hung': struck({ kind: 'hang' }),
    "Auth0 gives another tenant's": struck({ kind: 'claims', claims: { 'https://postern.dev/tenant': 'globex' } }),
    'Auth0 signs with a wrong key': struck({ kind: 'key' }),
    'Auth0 rotates its keys': () => auth0.rotateKeys(),
    'signing key rotated': async () => {
      const { client, token } = root;
      await client.write('transit/keys/postern/rotate', {}, { token }).catch(() => {});
    },
    "what replicas share is another tenant's": async () => {
      const { client, token } = root;
      const names = await client.list('postern-tokens/metadata', { token });
      const documents = await Promise.all(
        names.map(async (name) => {
          const path = `postern-tokens/data/${name}orders`;
          return { path, data: (await client.read(path, { token }))?.data?.['data'] as Record<string, unknown> | undefined };
        }),
      );
      const whole = documents.filter(({ data }) => data?.['access_token'] !== undefined);
      for (const [n, { path, data }] of whole.entries()) {
        const foreign = whole[(n + 1) % whole.length]?.data?.['access_token'];
        await client.write(path, { data: { ...data, access_token: foreign } }, { token }).catch(() => {});
      }
      // Whoever starts now finds them.
      await replicas[0]!.kill();
      await replicas[0]!.start();
    },
  };
}
