import { PosternError } from '#broker/error.ts';
import { VaultFault, unaskedOf } from '#broker/vault-fault.ts';
import { Distribution } from './distribution.ts';
import { histogram } from './metric.ts';
import type { Labels, Metric } from './metric.ts';

/** How long calls to somebody else take, by what is asked for and how it ends. */
export class CallTimes {
  readonly #name: string;
  readonly #help: string;
  readonly #label: string;
  readonly #parts = new Map<string, readonly [Labels, Distribution]>();

  /** @param label what tells the calls apart, of which there are few */
  constructor(name: string, help: string, label: string) {
    this.#name = name;
    this.#help = help;
    this.#label = label;
  }

  /** @param error undefined: there was an answer */
  observe(what: string, ms: number, error: unknown): void {
    const outcome = outcomeOf(error);
    const key = `${what} ${outcome}`;
    let part = this.#parts.get(key);
    if (part === undefined) this.#parts.set(key, (part = [{ [this.#label]: what, outcome }, new Distribution()]));
    part[1].observe(ms);
  }

  metric(): Metric {
    return histogram(this.#name, this.#help, [...this.#parts.values()]);
  }
}

/** `unavailable`: nobody judged; `refused`: somebody did. A document that isn't there is an answer. */
function outcomeOf(error: unknown): 'ok' | 'refused' | 'unavailable' {
  if (error === undefined || (error instanceof VaultFault && error.isEmpty)) return 'ok';
  if (error instanceof PosternError) return error.code === 'temporarily_unavailable' ? 'unavailable' : 'refused';
  return unaskedOf(error) === undefined ? 'refused' : 'unavailable';
}
