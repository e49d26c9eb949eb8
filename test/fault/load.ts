import { setTimeout as sleep } from 'node:timers/promises';
import { DOORS } from './clients.ts';
import type { Clients, Door, Outcome } from './clients.ts';
import type { Customer } from './customers.ts';
import { Answers } from './seen.ts';

/** Hits a second, whatever the answers take. */
const RATE = 20;
/** ms between two tries of a cold exchange that was refused. */
const AGAIN = 200;

/** Who asks once a second, and what for: no broker has seen them. */
export interface Cold {
  readonly door: Door;
  next(): Customer;
}

/** A steady load: hits of several customers by every door, and one cold exchange a second. */
export class Load {
  hits = new Answers();
  cold = new Answers();
  wrong: string[] = [];
  #going = true;
  #ended: Promise<unknown> = Promise.resolve();
  readonly #clients: Clients;
  readonly #cold: Cold;
  readonly #hot: readonly Customer[];

  private constructor(clients: Clients, cold: Cold, hot: readonly Customer[]) {
    this.#clients = clients;
    this.#cold = cold;
    this.#hot = hot;
  }

  static start(clients: Clients, cold: Cold, hot: readonly Customer[]): Load {
    const load = new Load(clients, cold, hot);
    // Each at its own end: the other may rest for a second more, which is no gap.
    load.#ended = Promise.all([load.#hits().then(() => load.hits.close()), load.#colds().then(() => load.cold.close())]);
    return load;
  }

  /** From now on. */
  forget(): void {
    this.hits = new Answers();
    this.cold = new Answers();
    this.wrong = [];
  }

  /** Cold exchanges that were served so far. */
  get coldServed(): number {
    return this.cold.served;
  }

  async stop(): Promise<void> {
    this.#going = false;
    await this.#ended;
  }

  async #hits(): Promise<void> {
    const asked: Promise<void>[] = [];
    const began = performance.now();
    for (let n = 0; this.#going; n++) {
      const due = began + (n * 1000) / RATE - performance.now();
      if (due > 0) await sleep(due);
      const customer = this.#hot[n % this.#hot.length]!;
      const door = DOORS[Math.floor(n / this.#hot.length) % DOORS.length]!;
      asked.push(this.#clients.ask(door, customer).then((outcome) => this.#note('hits', outcome)));
    }
    await Promise.all(asked);
  }

  async #colds(): Promise<void> {
    while (this.#going) {
      const began = performance.now();
      const customer = this.#cold.next();
      for (;;) {
        const outcome = await this.#clients.ask(this.#cold.door, customer);
        this.#note('cold', outcome);
        if (outcome.outcome === '200' || !this.#going) break;
        await sleep(AGAIN);
      }
      await sleep(Math.max(0, began + 1000 - performance.now()));
    }
  }

  #note(kind: 'hits' | 'cold', { outcome, ms, wrong }: Outcome): void {
    this[kind].note(outcome, ms);
    if (wrong !== undefined) this.wrong.push(`${kind} ${wrong}`);
  }
}
