import type { ClockDifference } from '#broker/clock-difference.ts';
import type { Metric } from '#broker/metrics/metric.ts';
import type { Logger } from '#broker/log.ts';

/** Somebody whose time stamps the broker compares with its own clock. */
export interface Timekeeper {
  /** e.g. `Vault`, or an issuer's address. */
  readonly name: string;
  /** Of the metric. */
  readonly label: string;
  readonly difference: Pick<ClockDifference, 'ms'>;
  /** Has it tell its time once more, though nobody needs it for anything else. */
  readonly ask?: (() => Promise<void>) | undefined;
}

/** From here on an operator is told, ms. */
const TOLD = 30_000;
/** From here on ends of tokens and of leases can't be judged, and a replica whose own clock is wrong serves nobody, ms. */
const TOO_FAR = 300_000;
/** How often it is looked at for the log, ms. */
const LOOK = 5_000;

/** Whether this machine's clock agrees with Vault's and with those of the issuers. */
export class ClockWatch {
  readonly #vault: Pick<ClockDifference, 'agrees'>;
  readonly #issuers: readonly Timekeeper[];
  readonly #all: readonly Timekeeper[];
  readonly #log: Pick<Logger, 'warn'>;
  readonly #told = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  constructor(vault: Timekeeper & { readonly difference: ClockDifference }, issuers: readonly Timekeeper[], log: Pick<Logger, 'warn'>) {
    this.#vault = vault.difference;
    this.#issuers = issuers;
    this.#all = [vault, ...issuers];
    this.#log = log;
    this.#timer = setInterval(() => this.look(), LOOK).unref();
  }

  /** By whose word this machine's own clock is too far off to serve, each in words. An issuer's isn't taken against Vault's. */
  tooFar(): readonly string[] {
    const ours = this.#vault.agrees(TOLD);
    return this.#beyond(TOO_FAR)
      .filter((one) => !ours || !this.#issuers.includes(one))
      .map(textOf);
  }

  /** Issuers whose clock is as far off where Vault's agrees with ours, each in words: no other replica would do better. */
  theirs(): readonly string[] {
    if (!this.#vault.agrees(TOLD)) return [];
    return this.#beyond(TOO_FAR)
      .filter((one) => this.#issuers.includes(one))
      .map((one) => `${one.name} tells a time that is ${Math.abs(seconds(one))} s off that of Vault and of this machine`);
  }

  /** Each in words; empty: nothing to tell. */
  warnings(): readonly string[] {
    return this.#beyond(TOLD).map(textOf);
  }

  /** Tells once when a clock begins to differ, and once when it has ended. Whose does is asked again: nobody may come who would ask. */
  look(): void {
    for (const one of this.#all) {
      const differs = Math.abs(one.difference.ms) > TOLD;
      if (differs) void one.ask?.().catch(() => {});
      if (differs === this.#told.has(one.name)) continue;
      if (differs) this.#told.add(one.name);
      else this.#told.delete(one.name);
      this.#log.warn(
        { seconds: seconds(one) },
        differs ? textOf(one) : `over: the clock of this machine agrees with that of ${one.name} again`,
      );
    }
  }

  metric(): Metric {
    return {
      name: 'postern_clock_difference_seconds',
      help: "How far Vault's clock, or an issuer's, is ahead of this machine's, as far as it is sure.",
      type: 'gauge',
      values: this.#all.map((one) => ({ labels: { of: one.label }, value: seconds(one) })),
    };
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #beyond(limit: number): Timekeeper[] {
    return this.#all.filter((one) => Math.abs(one.difference.ms) > limit);
  }
}

function textOf(one: Timekeeper): string {
  const ahead = one.difference.ms < 0;
  return `the clock of this machine is ${Math.abs(seconds(one))} s ${ahead ? 'ahead of' : 'behind'} that of ${one.name}: set both by NTP`;
}

function seconds({ difference }: Timekeeper): number {
  return Math.round(difference.ms / 1000);
}
