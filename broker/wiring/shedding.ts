import { Ration } from '#broker/audit/ration.ts';
import type { Config } from '#broker/config.ts';
import type { TurnstileOptions } from '#broker/credential/turnstile.ts';
import { writeTurn } from '#broker/http/reply.ts';
import { Lag } from '#broker/listener/lag.ts';
import { Turns } from '#broker/listener/turns.ts';
import type { Logger } from '#broker/log.ts';
import { counter, gauge } from '#broker/metrics/metric.ts';
import type { Metric } from '#broker/metrics/metric.ts';
import { SHED_AT } from '#broker/overloaded.ts';
import type { ShedAt } from '#broker/overloaded.ts';

/** Beyond what can be served: where requests wait, and which of them are refused so that the others are served in time. */
export class Shedding {
  readonly turns: Turns;
  readonly lag: Lag;
  /** For those who wait for Vault. */
  readonly turnstile: TurnstileOptions;
  readonly #counts: Record<ShedAt, number> = { turn: 0, vault: 0, lag: 0 };
  readonly #told: Ration;

  constructor(config: Config, log: Logger) {
    const waitMs = config.POSTERN_SHED_AFTER * 1000;
    this.#told = new Ration({
      lines: 0,
      tell: (counts, seconds) => log.warn({ counts, seconds }, 'requests were shed: more is asked than this broker, or Vault, can serve'),
    });
    this.turns = new Turns({ waitMs, after: writeTurn, onShed: () => this.count('turn') });
    this.lag = new Lag({ waitMs });
    this.turnstile = { waitMs, onShed: () => this.count('vault') };
    this.lag.start();
  }

  count(at: ShedAt): void {
    this.#counts[at]++;
    this.#told.admits(at);
  }

  metrics(): Metric[] {
    return [
      counter(
        'postern_requests_shed_total',
        'Requests refused with 503 since more was asked than could be served.',
        SHED_AT.map((at) => ({ labels: { at }, value: this.#counts[at] })),
      ),
      gauge(
        'postern_requests_waiting',
        'Requests that wait for their turn in this process, and connections left unread that may have one.',
        this.turns.waiting,
      ),
    ];
  }

  /** Tells what is counted. */
  stop(): void {
    this.lag.stop();
    this.#told.end();
  }
}
