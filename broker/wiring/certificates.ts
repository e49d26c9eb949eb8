import type { Tls } from '#broker/config.ts';
import type { Logger } from '#broker/log.ts';
import { FileFault, outOfTime, readTlsPair } from '#broker/tls-pair.ts';
import type { TlsPair } from '#broker/tls-pair.ts';

/** Between two looks at the files, ms: a renewed certificate is in use within a minute. */
const LOOK = 20_000;

/** Keeps a listener's certificate as the files have it. What is wrong with new files is told once, and the old ones stay in use. */
export class Certificates {
  readonly #log: Logger;
  readonly #tls: Tls;
  readonly #use: (pair: TlsPair) => void;
  readonly #timer: NodeJS.Timeout;
  #used: TlsPair;
  #told = '';

  /** @param use hands the pair to the listener; throws where it is refused */
  constructor(tls: Tls, log: Logger, use: (pair: TlsPair) => void) {
    this.#tls = tls;
    this.#used = tls;
    this.#log = log;
    this.#use = use;
    this.#timer = setInterval(() => this.look(), LOOK).unref();
    this.#warnOfTime(tls);
  }

  /** Takes up what the files have now. Never throws. */
  look(): void {
    try {
      const pair = readTlsPair(this.#tls.files);
      if (pair.cert === this.#used.cert && pair.key === this.#used.key) {
        this.#told = '';
        return;
      }
      const why = outOfTime(pair.cert, Date.now());
      // One that nobody accepts is no better than what is in use, unless that is out of its time, too.
      if (why !== undefined && outOfTime(this.#used.cert, Date.now()) === undefined)
        throw new FileFault([`${this.#tls.files.cert.setting}: the certificate ${why}`]);
      this.#use(pair);
      this.#used = pair;
      this.#told = '';
      this.#log.info({ file: this.#tls.files.cert.setting }, 'a renewed certificate is in use');
      this.#warnOfTime(pair);
    } catch (error) {
      const faults = error instanceof FileFault ? error.faults : ['the new certificate is refused'];
      const text = faults.join('; ');
      if (text !== this.#told) this.#log.error({ faults }, 'the new certificate cannot be used; the old one stays in use');
      this.#told = text;
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #warnOfTime({ cert }: TlsPair): void {
    const why = outOfTime(cert, Date.now());
    if (why !== undefined) this.#log.warn({ file: this.#tls.files.cert.setting }, `the certificate ${why}`);
  }
}
