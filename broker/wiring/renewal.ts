import type { Logger } from '#broker/log.ts';
import { FileFault } from '#broker/tls-pair.ts';

/** Between two looks at the files, ms: what is renewed on disk is in use within a minute. */
const LOOK = 20_000;
/** How long files must stay as they are before they count, ms: their writer may be between two of them, or in the middle of one. */
const SETTLE = 1_000;
/** The same for what has become less, such as a chain without its last certificate: most likely it isn't whole yet. */
const SETTLE_LESS = LOOK;

export interface RenewalOptions<T> {
  /** In the log: `certificate`, say. */
  readonly what: string;
  /** The setting that names the file. */
  readonly setting: string;
  /** What is in use now. */
  readonly used: T;
  readonly log: Logger;
  /** @throws {FileFault} where it can't be used; may look at what is in use */
  readonly read: (used: T) => T;
  /** All of it, to be compared. */
  readonly textOf: (value: T) => string;
  /** How many parts it has: certificates, addresses. */
  readonly sizeOf: (value: T) => number;
  /** Hands it to whoever needs it; throws where it is refused. */
  readonly use: (value: T) => void;
}

/**
 * Keeps something as its files have it, without anybody asking. What is wrong with new files is told once, and the old ones stay in use.
 * Files count when they have stayed the same for a second, since not everybody renames whole files into their place.
 */
export class Renewal<T> {
  readonly #options: RenewalOptions<T>;
  readonly #timer: NodeJS.Timeout;
  #again: NodeJS.Timeout | undefined;
  #used: T;
  /** What the files had at the last look, and since when; undefined: what is in use. */
  #seen: { readonly text: string; readonly since: number } | undefined;
  #told = '';

  constructor(options: RenewalOptions<T>) {
    this.#options = options;
    this.#used = options.used;
    this.#timer = setInterval(() => this.look(), LOOK).unref();
  }

  /** Looks at the files; what they have now is in use a second later, if they have it still. Never throws. */
  look(): void {
    clearTimeout(this.#again);
    const { read, textOf, sizeOf } = this.#options;
    try {
      const value = read(this.#used);
      if (textOf(value) === textOf(this.#used)) {
        this.#seen = undefined;
        this.#told = '';
      } else if (this.#isSettled(textOf(value), sizeOf(value) < sizeOf(this.#used) ? SETTLE_LESS : SETTLE)) this.#take(value);
    } catch (error) {
      const faults = error instanceof FileFault ? error.faults : ['it is refused'];
      if (this.#isSettled(faults.join('; '), SETTLE)) this.#tell(faults);
    }
  }

  stop(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#again);
  }

  #isSettled(text: string, ms: number): boolean {
    const now = performance.now();
    if (this.#seen?.text !== text) this.#seen = { text, since: now };
    const left = this.#seen.since + ms - now;
    if (left > 0) this.#again = setTimeout(() => this.look(), Math.ceil(left)).unref();
    return left <= 0;
  }

  #take(value: T): void {
    const { log, what, setting, use } = this.#options;
    use(value);
    this.#used = value;
    this.#seen = undefined;
    this.#told = '';
    log.info({ file: setting }, `a renewed ${what} is in use`);
  }

  #tell(faults: readonly string[]): void {
    const { log, what } = this.#options;
    const text = faults.join('; ');
    if (text !== this.#told) log.error({ faults }, `the new ${what} cannot be used; the old one stays in use`);
    this.#told = text;
  }
}
