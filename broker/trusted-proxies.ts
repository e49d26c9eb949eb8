import proxyAddr from 'proxy-addr';
import { FileFault, readText } from './tls-pair.ts';

/** Whose X-Forwarded-For is believed. The ranges can be replaced while the broker runs. */
export class TrustedProxies {
  #trusts: ((address: string, hop: number) => boolean) | undefined;

  /** @param ranges addresses or CIDR ranges @throws where one is neither */
  constructor(ranges: readonly string[] = []) {
    this.replace(ranges);
  }

  /** Nobody is trusted. */
  get none(): boolean {
    return this.#trusts === undefined;
  }

  trusts(address: string): boolean {
    return this.#trusts?.(address, 0) === true;
  }

  /** @throws where one is neither an address nor a range; the ranges before stay then */
  replace(ranges: readonly string[]): void {
    this.#trusts = ranges.length > 0 ? proxyAddr.compile([...ranges]) : undefined;
  }
}

/** Whether each is an address, a CIDR range, or a name that stands for some (`loopback`, `linklocal`, `uniquelocal`). */
export function areProxies(ranges: readonly string[]): boolean {
  try {
    proxyAddr.compile([...ranges]);
    return true;
  } catch {
    return false;
  }
}

/**
 * A file of addresses and ranges: one a line, or with commas between; from `#` to the end of a line is a comment.
 * @throws {FileFault} unreadable, empty, or with something that is neither
 */
export function readProxies(setting: string, path: string): readonly string[] {
  const text = readText(setting, path)
    .replace(/^\uFEFF/, '')
    .replaceAll(/#.*$/gm, '');
  const ranges = text.split(/[\s,]+/).filter((range) => range !== '');
  // A file that a writer has just emptied looks like this too.
  if (ranges.length === 0) throw new FileFault([`${setting} names no address (to trust nobody, unset it)`]);
  if (!areProxies(ranges)) throw new FileFault([`${setting} must hold addresses or ranges such as 10.0.0.0/8, one a line`]);
  return Object.freeze(ranges);
}
