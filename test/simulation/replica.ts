import { readConfig } from '#broker/config.ts';
import type { Config } from '#broker/config.ts';
import type { Clock } from '#broker/clock.ts';
import type { AppRoleCredential } from '#broker/credential/approle.ts';
import { createLog } from '#broker/log.ts';
import type { Served } from '#broker/token/served.ts';
import type { ExchangeRequest, Trace } from '#broker/token/exchange.ts';
import type { TokenTrace } from '#broker/token/introspection.ts';
import { issuance } from '#broker/wiring/issuance.ts';
import type { Issuance } from '#broker/wiring/issuance.ts';
import { lifeCycle } from '#broker/wiring/life-cycle.ts';
import { connectVault } from '#broker/wiring/vault.ts';
import { verification } from '#broker/wiring/verification.ts';
import type { Verification } from '#broker/wiring/verification.ts';
import { ISSUER, TENANT_CLAIM } from './auth0.ts';
import type { Settings } from './plan.ts';
import { EPOCH } from './timeline.ts';
import { SimulatedVault } from './vault.ts';
import { ADDRESS, Wire, fetchOver } from './wire.ts';
import type { Auth0Watch } from './wire.ts';
import type { World } from './world.ts';

const configs = new Map<string, Config>();

/** As a broker's environment says it. */
function configOf({ verifyTtl, room, lifetime, remaining, grace }: Settings): Config {
  const key = JSON.stringify([verifyTtl, room, lifetime, remaining, grace]);
  let config = configs.get(key);
  if (config === undefined) {
    config = readConfig({
      VAULT_ADDR: ADDRESS,
      POSTERN_ISSUER: 'http://127.0.0.1:8080/',
      POSTERN_ROLE_ID: SimulatedVault.broker.roleId,
      POSTERN_SECRET_ID: SimulatedVault.broker.secretId,
      POSTERN_AUTH0_ISSUER: ISSUER,
      POSTERN_TENANT_CLAIM: TENANT_CLAIM,
      POSTERN_VERIFY_TTL: String(verifyTtl),
      POSTERN_MIN_REMAINING: String(remaining),
      POSTERN_OUTAGE_GRACE: String(grace),
      POSTERN_CACHE_TOKENS: String(room),
      POSTERN_CACHE_CREDENTIALS: String(room),
      POSTERN_REVOCATIONS_PER_MINUTE: '1000',
    });
    configs.set(key, config);
  }
  return config;
}

const silent = createLog('silent', { write: () => {} });

/** One process of the broker: the rooms of `broker/wiring`, without the doors. */
interface Process {
  readonly issued: Issuance;
  readonly who: Verification;
  /** As its server has each request wait for it. */
  readonly catchUp: () => Promise<void> | undefined;
  alive: boolean;
}

/** A machine on which a broker runs, ends and is started again. */
export class Replica {
  readonly index: number;
  readonly #world: World;
  readonly #watch: (process: string) => Auth0Watch;
  #process: Process | undefined;
  #starts = 0;
  /** By how much its wall clock is off, ms. */
  skew: number;

  constructor(world: World, index: number, watch: (process: string) => Auth0Watch) {
    this.#world = world;
    this.index = index;
    this.#watch = watch;
    this.skew = world.plan.settings.skews[index] ?? 0;
  }

  get runs(): boolean {
    return this.#process !== undefined;
  }

  /** Names the process that runs now. */
  get process(): string {
    return `replica${this.index}.${this.#starts}`;
  }

  start(): void {
    const world = this.#world;
    this.#starts++;
    const name = this.process;
    const state = { alive: true };
    const lives = (): boolean => state.alive;
    const clock = clockFor(world, this, name, lives);
    const ends = { world, replica: this.index, name, clock, lives };
    const config = configOf(world.plan.settings);
    const vault = connectVault(config, silent, undefined, undefined, {
      clock,
      transport: new Wire(ends),
      fetch: fetchOver(ends, this.#watch(name)),
    });
    const who = verification(config, silent, vault, () => announcements.age < 5_000);
    const life = lifeCycle(config, silent, vault, who, (tenant) => issued.forgetTokens(tenant));
    const { announcements } = life;
    const issued = issuance(config, silent, vault, {
      ...life,
      verifier: who.verifier,
      refusedAddresses: who.refusedAddresses,
      isDisabled: (tenant) => announcements.isDisabled(tenant),
    });
    void vault.session.run();
    const load = async (): Promise<void> => {
      await announcements.start();
      while (!vault.apis.known && lives()) {
        await vault.apis.load().catch(() => {});
        if (!vault.apis.known) await clock.sleep(500);
      }
    };
    void load();
    this.#process = Object.assign(state, { issued, who, catchUp: () => announcements.catchUp() });
  }

  /** It ends without a word. */
  crash(): void {
    if (this.#process !== undefined) this.#process.alive = false;
    this.#process = undefined;
  }

  /** As a door asks it. */
  async exchange(credential: AppRoleCredential, address: string, request: ExchangeRequest, trace: Trace): Promise<Served> {
    if (this.#process === undefined) throw new Error('nobody listens there');
    const { issued, catchUp } = this.#process;
    await catchUp();
    return issued.exchange.run(credential, request, address, trace);
  }

  /** A client takes one of its tokens back. */
  async withdraw(credential: AppRoleCredential, address: string, token: string, trace: TokenTrace): Promise<void> {
    if (this.#process === undefined) throw new Error('nobody listens there');
    const { issued, who, catchUp } = this.#process;
    await catchUp();
    const identity = await who.verifier.verify(credential, address);
    await issued.withdrawal.run(identity, token, trace);
  }

  /** Entries of each memory that has a bound. */
  get sizes(): readonly number[] {
    return this.#process === undefined ? [] : [this.#process.issued.cache.size, this.#process.who.verified.size];
  }
}

function clockFor(world: World, replica: Replica, name: string, lives: () => boolean): Clock {
  const { timeline } = world;
  const chance = world.chance(`clock ${name}`);
  const awake = (): number => timeline.now - world.sleptOf(replica.index);
  const begun = awake();
  let named = 0;
  /** Timers go by the time that the machine was awake. */
  const later = (ms: number, kind: 'timer' | 'behind', work: () => void): (() => void) => {
    const due = awake() + timerOf(ms);
    let over = false;
    let take = (): void => {};
    const wait = (rest: number): void => {
      take = timeline.after(rest, () =>
        world.whenRuns(replica.index, kind, () => {
          if (over || !lives()) return;
          const left = due - awake();
          // A rest that is shorter comes of reckoning.
          if (left >= 0.1) wait(timerOf(left));
          else work();
        }),
      );
    };
    wait(timerOf(ms));
    return () => {
      over = true;
      take();
    };
  };
  return {
    now: () => EPOCH + timeline.now + replica.skew,
    monotonic: () => awake() - begun,
    random: chance.random,
    uuid: () => `${name}/${++named}`,
    after: (ms, work) => later(ms, 'behind', work),
    sleep: (ms, { signal } = {}) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason as Error);
        const take = later(ms, 'timer', resolve);
        signal?.addEventListener('abort', () => {
          take();
          reject(signal.reason as Error);
        });
      }),
  };
}

/** As Node's timers have it: whole milliseconds, and no fewer than one, or what is left of a rest might be too short for time to go on. */
function timerOf(ms: number): number {
  return Math.max(1, Math.trunc(ms));
}
