import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '#test/fixture/until.ts';
import type { Customer } from './customers.ts';
import { Load } from './load.ts';
import type { Cold } from './load.ts';
import { row } from './seen.ts';
import type { Seen } from './seen.ts';
import type { Stage } from './stage.ts';
import { PATIENCE_MS } from './patience.ts';

export interface Fault {
  /** As in the table. */
  name: string;
  /** ms of load before it, in which all must be well. */
  quiet?: number;
  readonly begin: () => Promise<void>;
  /** ms that it stays, once it has begun. Default: it is over when `begin` is. */
  lasts?: number;
  /** Ends it. */
  readonly heal?: () => Promise<void>;
  /** Tenants that no broker has seen, who ask for a token of Auth0's once a second. Default: new credentials of known tenants, of ours. */
  strangers?: readonly Customer[];
}

const QUIET = 2_000;

/**
 * A steady load before, during and after a fault.
 * @returns what clients saw from its beginning until cold exchanges were served again
 * @throws Error where something is amiss already before, or cold exchanges aren't served again
 */
export async function during(stage: Stage, { name, quiet = QUIET, begin, lasts = 0, heal, strangers }: Fault): Promise<Seen> {
  await stage.customers.stock(
    stage.hot.map(({ tenant }) => tenant),
    Math.ceil((quiet + lasts) / 1_000) + 120,
  );
  await stage.warm();
  const left = [...(strangers ?? [])];
  const cold: Cold =
    strangers === undefined
      ? { door: 'reports by token', next: () => stage.customers.unseen() }
      : {
          door: 'orders by token',
          next() {
            const one = left.shift();
            if (one === undefined) throw new Error('there are too few strangers');
            return one;
          },
        };
  const load = Load.start(stage.clients, cold, stage.hot);
  try {
    await sleep(quiet);
    const amiss = [...load.wrong, ...Object.keys(load.hits.errors), ...Object.keys(load.cold.errors)];
    if (amiss.length > 0) throw new Error(`before "${name}" already: ${amiss.join('; ')}`);
    const { hits: before } = load;
    load.forget();
    const began = performance.now();
    const upstream = stage.auth0.calls.token;
    try {
      await begin();
      await sleep(lasts);
    } finally {
      await heal?.();
    }
    const served = load.coldServed;
    // Two: the first may have been asked before.
    await until(() => Promise.resolve(load.coldServed >= served + 2), PATIENCE_MS);
    await load.stop();
    const { hits, cold, wrong } = load;
    const seen: Seen = {
      fault: name,
      seconds: (performance.now() - began) / 1000,
      quiet: before,
      hits,
      cold,
      wrong,
      upstream: stage.auth0.calls.token - upstream,
    };
    console.log(row(seen));
    return seen;
  } finally {
    await load.stop();
  }
}
