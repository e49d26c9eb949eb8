import { createHash } from 'node:crypto';
import { PosternError } from '#broker/error.ts';
import type { Trace } from '#broker/token/exchange.ts';
import type { TokenTrace } from '#broker/token/introspection.ts';
import { unaskedOf } from '#broker/vault-fault.ts';
import { simulateSignatures } from './crypto.ts';
import { Judge } from './judge.ts';
import type { Ask, Violation } from './judge.ts';
import { Operators, audienceOf, tenantName } from './operators.ts';
import type { Issued } from './operators.ts';
import { BEGINNING, said } from './plan.ts';
import type { Happening, Plan } from './plan.ts';
import { Replica } from './replica.ts';
import { World } from './world.ts';

export interface Outcome {
  readonly violation: Violation | undefined;
  /** Of all that happened, so that two runs can be compared. */
  readonly digest: string;
  /** What happened, a line each. */
  readonly history: readonly string[];
  readonly steps: number;
  readonly asks: number;
  readonly served: number;
  /** Tokens made at Auth0. */
  readonly mints: number;
}

/** After the last fault, until everybody must be served, ms; and after what people did where nothing was broken. */
const HEALS_WITHIN = 24_000;
const SETTLES_WITHIN = 14_000;
/** For the last requests, ms. */
const LAST = 10_000;

/** Plays a plan to its end, or to the first thing that must not be. */
export async function simulate(plan: Plan): Promise<Outcome> {
  await simulateSignatures();
  return new Simulation(plan).run();
}

class Simulation {
  readonly #plan: Plan;
  readonly #world: World;
  readonly #judge: Judge;
  readonly #operators: Operators;
  readonly #replicas: readonly Replica[];
  readonly #history: string[] = [];
  readonly #pending = new Set<Ask>();
  /** By credential and audience: what it was served last. */
  readonly #held = new Map<string, string>();
  #violation: Violation | undefined;
  #asks = 0;
  #served = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#world = new World(plan);
    this.#judge = new Judge(this.#world, (violation) => {
      this.#note(`VIOLATION ${violation.rule}: ${violation.text}`);
      this.#violation ??= violation;
    });
    this.#world.vault.onCommit = (commit) => {
      const { lease, access_token: token, epoch, serial } = (commit.data ?? {}) as Record<string, unknown>;
      this.#note(
        `${commit.by} writes ${commit.path}${JSON.stringify({ lease, token: typeof token === 'string' ? nameOf(token) : undefined, epoch, serial })}`,
      );
      this.#judge.committed(commit);
    };
    this.#operators = new Operators(this.#world);
    this.#replicas = plan.settings.skews.map(
      (_, index) =>
        new Replica(this.#world, index, (process) => ({
          minted: (minted, arrives) => {
            this.#note(
              `Auth0 makes ${nameOf(minted.token)} for ${minted.tenant} ${minted.audience} [${minted.scope}], asked by ${process}${arrives ? '' : ', and it does not arrive'}`,
            );
            this.#judge.minted(process, minted, arrives);
          },
          asks: () => this.#judge.asksAuth0(process, index),
          paused: (ms) => this.#judge.paused(process, ms),
        })),
    );
  }

  async run(): Promise<Outcome> {
    const { timeline } = this.#world;
    this.#operators.setUp();
    for (const replica of this.#replicas) timeline.after(this.#world.chance('starts').whole(0, 900), () => replica.start());
    for (const one of this.#plan.happenings) timeline.after(one.at, () => this.#happen(one));
    const watch = (): void => {
      for (const ask of this.#pending) this.#judge.pending(ask);
      for (const replica of this.#replicas) this.#judge.sizes(replica.index, replica.sizes, this.#plan.settings.room);
      timeline.after(1_000, watch);
    };
    watch();
    const broken = this.#plan.happenings.some((one) => 'for' in one || one.what === 'set-clock' || one.what === 'end-broker-tokens');
    const last = Math.max(this.#plan.healed, BEGINNING) + (broken ? HEALS_WITHIN : SETTLES_WITHIN);
    timeline.after(last, () => this.#askEverybody());
    const over = (): boolean => this.#violation !== undefined || (timeline.now > last && this.#pending.size === 0);
    const steps = await timeline.run(last + LAST, over);
    if (this.#violation === undefined) this.#judge.stored();
    if (this.#violation === undefined)
      for (const ask of this.#pending)
        if (ask.begun >= last) this.#judge.refused(ask, new PosternError('temporarily_unavailable', 'no answer within 10 s'));
    const digest = createHash('sha256').update(this.#history.join('\n')).digest('hex');
    return {
      violation: this.#violation,
      digest,
      history: this.#history,
      steps,
      asks: this.#asks,
      served: this.#served,
      mints: this.#judge.mints,
    };
  }

  #note(text: string): void {
    this.#history.push(`${(this.#world.timeline.now / 1000).toFixed(3).padStart(8)} s  ${text}`);
  }

  #happen(one: Happening): void {
    const { vault } = this.#world;
    this.#note(`> ${said(one).slice(12)}`);
    switch (one.what) {
      case 'ask': {
        const credential = this.#credentialOf(tenantName(one.tenant), one.old === true);
        if (credential === undefined) return;
        for (let time = 0; time < one.times; time++)
          this.#world.whenRuns(one.replica, 'network', () =>
            this.#ask(one.replica, credential, audienceOf(one.api), one.narrow ? 'read' : undefined),
          );
        return;
      }
      case 'withdraw':
        return this.#world.whenRuns(one.replica, 'network', () => this.#withdraw(one.replica, tenantName(one.tenant), audienceOf(one.api)));
      case 'set-clock':
        this.#world.disturb();
        this.#replicas[one.replica]!.skew += one.by;
        return;
      case 'end-broker-tokens':
        return vault.revokeBrokers();
      case 'lend':
        return this.#operators.issue(tenantName(one.tenant), one.seconds);
      case 'destroy': {
        const tenant = tenantName(one.tenant);
        this.#judge.touch(tenant);
        return void this.#operators.destroy(tenant, one.told).then(() => this.#judge.touch(tenant));
      }
      case 'issue':
      case 'revoke':
      case 'disable':
      case 'enable':
      case 'recreate':
      case 'narrow':
      case 'widen':
      case 'end-tokens':
      case 'clear':
      case 'shut':
      case 'open': {
        const tenant = tenantName(one.tenant);
        this.#judge.touch(tenant);
        void this.#operators.act(one.what, tenant).then(() => this.#judge.touch(tenant));
        return;
      }
      default:
        this.#world.break(one);
        if (one.what !== 'crash') return;
        this.#crash(this.#replicas[one.replica]!, one.for);
    }
  }

  #crash(replica: Replica, lasts: number): void {
    if (!replica.runs) return;
    this.#judge.crashed(replica.process);
    replica.crash();
    // Whoever waited has no connection any more.
    for (const ask of this.#pending) if (ask.replica === replica.index) this.#pending.delete(ask);
    this.#world.timeline.after(lasts, () => this.#world.whenRuns(replica.index, 'network', () => replica.start()));
  }

  /** Mostly one that is good. @param gone the one that ended last, where there is one */
  #credentialOf(tenant: string, gone: boolean): Issued | undefined {
    const chance = this.#world.chance('credentials');
    const all = this.#operators.credentials.filter((one) => one.tenant === tenant);
    const endOf = ({ destroyedAt, endsAt = Infinity }: Issued): number => destroyedAt ?? endsAt;
    const last = all.filter((one) => endOf(one) <= this.#world.timeline.now).sort((a, b) => endOf(a) - endOf(b));
    if (gone && last.length > 0) return last.at(-1);
    const old = chance.maybe(0.25);
    const good = all.filter((one) => !one.ended);
    const from = old || good.length === 0 ? all : good;
    return from.length === 0 ? undefined : chance.oneOf(from);
  }

  #ask(index: number, credential: Issued, audience: string, scope: string | undefined): void {
    const replica = this.#replicas[index]!;
    if (!replica.runs) return;
    const ask: Ask = { replica: index, credential, audience, scope, begun: this.#world.timeline.now, process: replica.process };
    this.#judge.asked(ask);
    this.#pending.add(ask);
    this.#asks++;
    const trace: Trace = {};
    const whose = `${credential.tenant}/${credential.id.replace(/^cred_0*/, '')} at replica ${index} for ${audience}${scope === undefined ? '' : ` [${scope}]`}`;
    replica.exchange(credential.secret, credential.address, { audience, scope, organization: undefined }, trace).then(
      ({ token, from }) => {
        if (!this.#pending.delete(ask)) return;
        this.#served++;
        const text = token.reveal();
        this.#note(`${whose}: ${nameOf(text)} from ${from}`);
        this.#held.set(`${credential.tenant} ${audience}`, text);
        this.#judge.served(ask, text);
      },
      (error: unknown) => {
        if (!this.#pending.delete(ask)) return;
        this.#note(`${whose}: ${error instanceof PosternError ? `${error.code} ${error.message} ${error.detail ?? ''}` : String(error)}`);
        this.#judge.refused(ask, error);
      },
    );
  }

  #withdraw(index: number, tenant: string, audience: string): void {
    const replica = this.#replicas[index]!;
    const token = this.#held.get(`${tenant} ${audience}`);
    const credential = this.#operators.credentials.find((one) => one.tenant === tenant && !one.ended);
    if (!replica.runs || token === undefined || credential === undefined) return;
    this.#judge.takesBack(tenant, token);
    const { process } = replica;
    const trace: TokenTrace = {};
    replica.withdraw(credential.secret, credential.address, token, trace).then(
      () => this.#note(`${tenant} has taken ${nameOf(token)} back`),
      (error: unknown) => {
        this.#note(`${tenant} could not take ${nameOf(token)} back: ${String(error)}`);
        // It came as far as the revocation, and no further.
        if (trace.token !== undefined && trace.api === undefined && unaskedOf(error) !== undefined) this.#judge.owes(process, token);
      },
    );
  }

  #askEverybody(): void {
    this.#note('> everybody must be served now');
    for (const replica of this.#replicas)
      for (const credential of this.#operators.credentials) {
        if (credential.ended) continue;
        for (let api = 0; api < this.#plan.settings.apis; api++) this.#ask(replica.index, credential, audienceOf(api), undefined);
      }
  }
}

/** A token, without showing it. */
function nameOf(token: string): string {
  return `token ${createHash('sha256').update(token).digest('hex').slice(0, 8)}`;
}
