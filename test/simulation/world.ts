import { SimulatedAuth0 } from './auth0.ts';
import { Chance } from './chance.ts';
import type { Fault, Happening, Plan } from './plan.ts';
import { Timeline } from './timeline.ts';
import { SimulatedVault } from './vault.ts';

/** What a process has heard of what is announced, ms; -Infinity: never. */
export interface Heard {
  /** By path: when it asked last for what is announced there, and had it. */
  readonly read: Map<string, number>;
  /** When Vault last refused to tell something that is looked at with them. */
  refused: number;
  /** When there was no answer to that. */
  unanswered: number;
}

type Lasting = Extract<Happening, { for: number }>;

/** What a process comes to: a timer, what the network brings, and what a timer does behind that. */
type Coming = 'timer' | 'network' | 'behind';

/** While one of these lasts Vault answers nothing. */
const TOTAL: ReadonlySet<Fault> = new Set(['cut-vault', 'refuse-vault', 'vault-electing', 'vault-sealed', 'vault-frozen']);

/** All that is outside the brokers: time, Vault, Auth0, the network, and what of it is broken now. */
export class World {
  readonly timeline = new Timeline();
  readonly vault: SimulatedVault;
  readonly auth0: SimulatedAuth0;
  readonly plan: Plan;
  readonly #chances = new Map<string, Chance>();
  readonly #broken = new Set<Lasting>();
  /** By replica, the former first: when Vault could not be reached as it should, ms. */
  readonly #troubles = new Map<number, { readonly from: number; readonly to: number }[]>();
  #lastHealed = -Infinity;
  readonly #heard = new Map<string, Heard>();
  /** Waiting for Vault to thaw. */
  readonly #frozen: (() => void)[] = [];
  /** By replica: what comes to it while it stands still. */
  readonly #held = new Map<number, { readonly kind: Coming; readonly work: () => void }[]>();
  /** By replica: for how long its machine has slept, ms, and since when it does. */
  readonly #slept = new Map<number, { ms: number; since: number | undefined }>();

  constructor(plan: Plan) {
    this.plan = plan;
    this.vault = new SimulatedVault(this.timeline, plan.settings);
    this.auth0 = new SimulatedAuth0(this.timeline, plan.settings.lifetime);
  }

  chance(purpose: string): Chance {
    let chance = this.#chances.get(purpose);
    if (chance === undefined) this.#chances.set(purpose, (chance = new Chance(this.plan.seed, purpose)));
    return chance;
  }

  /** Of a process, by its name. */
  heard(process: string): Heard {
    let heard = this.#heard.get(process);
    if (heard === undefined) this.#heard.set(process, (heard = { read: new Map(), refused: -Infinity, unanswered: -Infinity }));
    return heard;
  }

  break(one: Lasting): void {
    this.#broken.add(one);
    const trouble = { from: this.timeline.now, to: this.timeline.now + one.for };
    if (one.what === 'sleeps') this.#sleeps(one);
    for (const replica of this.#whom(one)) this.#troubles.set(replica, [...(this.#troubles.get(replica) ?? []), trouble]);
    this.timeline.after(one.for, () => {
      this.#broken.delete(one);
      this.#lastHealed = this.timeline.now;
      if (one.what === 'vault-frozen' && !this.broken('vault-frozen')) for (const go of this.#frozen.splice(0)) go();
      if ((one.what === 'stands-still' || one.what === 'sleeps') && !this.#isStill(one.replica)) this.#goesOn(one.replica);
    });
  }

  #isStill(replica: number): boolean {
    return this.broken('stands-still', replica) || this.broken('sleeps', replica);
  }

  #sleeps({ replica, for: lasts }: Lasting): void {
    const slept = this.#slept.get(replica) ?? { ms: 0, since: undefined };
    this.#slept.set(replica, slept);
    if (slept.since !== undefined) return;
    slept.since = this.timeline.now;
    this.timeline.after(lasts, () => {
      slept.ms += this.timeline.now - (slept.since ?? this.timeline.now);
      slept.since = undefined;
    });
  }

  /** For how long a machine has slept, ms: its monotonic clock has not gone on meanwhile. */
  sleptOf(replica: number): number {
    const { ms, since } = this.#slept.get(replica) ?? { ms: 0, since: undefined };
    return ms + (since === undefined ? 0 : this.timeline.now - since);
  }

  /** A loop may have been at its timers, or waiting for the network; what a timer does behind that comes last. */
  #goesOn(replica: number): void {
    const held = this.#held.get(replica) ?? [];
    this.#held.delete(replica);
    const order: readonly Coming[] = this.chance('goes on').maybe(0.5) ? ['timer', 'network', 'behind'] : ['network', 'timer', 'behind'];
    for (const kind of order) for (const one of held) if (one.kind === kind) this.timeline.after(0, one.work);
  }

  /** Runs once this replica doesn't stand still. */
  whenRuns(replica: number, kind: Coming, work: () => void): void {
    if (!this.#isStill(replica)) return work();
    const held = this.#held.get(replica);
    if (held === undefined) this.#held.set(replica, [{ kind, work }]);
    else held.push({ kind, work });
  }

  /** Whether a replica stood still at some time since then: what was under way knows nothing of what happened meanwhile. */
  stoodStillSince(replica: number, ms: number): boolean {
    return this.goesOnAt(replica, ms) > -Infinity;
  }

  /** When the last standstill that has begun, and ends after that time, ends; without one, `-Infinity`. */
  goesOnAt(replica: number, ms: number): number {
    const ends = this.plan.happenings
      .filter((one) => (one.what === 'stands-still' || one.what === 'sleeps') && one.replica === replica && one.at <= this.timeline.now)
      .map((one) => ('for' in one ? one.at + one.for : -Infinity))
      .filter((end) => end > ms);
    return Math.max(-Infinity, ...ends);
  }

  #whom({ what, replica }: Lasting): readonly number[] {
    if (what.startsWith('auth0') || what === 'cut-auth0' || what === 'vault-late') return [];
    // What it has missed it has to know when it goes on.
    if (what === 'stands-still' || what === 'sleeps') return [];
    return what.startsWith('vault') ? Array.from({ length: this.plan.settings.replicas + 1 }, (_, index) => index) : [replica];
  }

  /** How much of it is broken now, 0 to 1. @param replica whose; undefined: everybody's */
  much(what: Fault, replica?: number): number {
    let much = 0;
    for (const one of this.#broken)
      if (one.what === what && (replica === undefined || one.replica === replica)) much = Math.max(much, one.much);
    return much;
  }

  broken(what: Fault, replica?: number): boolean {
    return this.much(what, replica) > 0;
  }

  /** When a replica could not reach Vault as it should, the former first. */
  troublesOf(replica: number): readonly { readonly from: number; readonly to: number }[] {
    return this.#troubles.get(replica) ?? [];
  }

  /** Since when nothing at all that a replica asks reaches Vault and comes back, ms; Infinity: some does. */
  unreachedSince(replica: number): number {
    let since = Infinity;
    for (const one of this.#broken)
      if (TOTAL.has(one.what) && (one.what.startsWith('vault') || one.replica === replica)) since = Math.min(since, one.at);
    return since;
  }

  /** Whether anything is broken, or was since then. */
  brokenSince(ms: number): boolean {
    return this.#broken.size > 0 || this.#lastHealed >= ms;
  }

  /** Something else went wrong now, for a moment. */
  disturb(): void {
    this.#lastHealed = this.timeline.now;
  }

  /** Runs once Vault isn't frozen. */
  whenThawed(work: () => void): void {
    if (this.broken('vault-frozen')) this.#frozen.push(work);
    else work();
  }
}
