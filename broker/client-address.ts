import type { IncomingHttpHeaders } from 'node:http';
import { isIPv4 } from 'node:net';
import { canonicalAddress } from './ip-address.ts';
import type { TrustedProxies } from './trusted-proxies.ts';

/** What of a request says whom it is from. */
export interface Sender {
  readonly headers: IncomingHttpHeaders;
  readonly socket: { readonly remoteAddress?: string | undefined };
}

export interface ClientAddressesOptions {
  /** Whose X-Forwarded-For is believed. */
  trustedProxies: TrustedProxies;
  /** Told once, with its address, when somebody sends X-Forwarded-For and nobody is trusted: a proxy of ours, perhaps. */
  onUntrusted?: ((address: string) => void) | undefined;
  /** Told each time that somebody's X-Forwarded-For isn't believed, with its address. */
  onUnbelieved?: ((address: string) => void) | undefined;
  /** Told once, with the proxy's address, when what a trusted proxy wrote names no address. */
  onUnreadable?: ((proxy: string) => void) | undefined;
}

/**
 * Who a request comes from, in canonical form. Of X-Forwarded-For it counts what trusted proxies wrote, from the right: the last that isn't
 * a proxy of ours. `Forwarded` (RFC 7239) isn't looked at: a proxy that writes X-Forwarded-For hands it on as its client wrote it.
 */
export class ClientAddresses {
  readonly #options: ClientAddressesOptions;
  #toldUntrusted = false;
  #toldUnreadable = false;

  constructor(options: ClientAddressesOptions) {
    this.#options = options;
  }

  /** @returns an IP address, or '' of a connection that is gone */
  of(request: Sender): string {
    const direct = directAddress(request);
    const told = request.headers['x-forwarded-for'];
    if (told === undefined) return direct;
    const { trustedProxies } = this.#options;
    if (trustedProxies.none) {
      if (!this.#toldUntrusted) {
        this.#toldUntrusted = true;
        this.#options.onUntrusted?.(direct);
      }
    } else if (trustedProxies.trusts(direct)) return this.#before(direct, String(told));
    this.#options.onUnbelieved?.(direct);
    return direct;
  }

  /** Whether what it says of its client counts. False where it says nothing. */
  believes(request: Sender): boolean {
    return request.headers['x-forwarded-for'] !== undefined && this.#options.trustedProxies.trusts(directAddress(request));
  }

  /** Several header lines are one list (RFC 9110 §5.3), whose empty elements count for nothing. */
  #before(direct: string, told: string): string {
    let nearest = direct;
    const elements = told.split(',');
    for (let at = elements.length - 1; at >= 0; at--) {
      const element = elements[at]?.trim() ?? '';
      if (element === '') continue;
      const address = addressIn(element);
      if (address === undefined) {
        if (!this.#toldUnreadable) {
          this.#toldUnreadable = true;
          this.#options.onUnreadable?.(nearest);
        }
        return nearest;
      }
      nearest = address;
      if (!this.#options.trustedProxies.trusts(address)) break;
    }
    return nearest;
  }
}

/** Who the connection is from: a proxy, perhaps. '' of one that is gone. */
export function directAddress({ socket }: Pick<Sender, 'socket'>): string {
  return ofSocket(socket.remoteAddress ?? '');
}

/** Of a socket it is canonical but for IPv4 on an IPv6 socket, and zones. */
function ofSocket(address: string): string {
  return address.includes('%') || address.startsWith('::ffff:') ? (canonicalAddress(address) ?? address) : address;
}

/** `"…"`, as RFC 7239 §4 quotes what has a colon. */
const QUOTED = /^"((?:[^"\\]|\\.)*)"$/;
/** RFC 7239 §6: IPv6 in brackets; a port, or an obfuscated one, may follow. */
const BRACKETED = /^\[([^\]]*)\](?::(?:\d{1,5}|_[A-Za-z0-9._-]+))?$/;
const WITH_PORT = /^([0-9.]+):(?:\d{1,5}|_[A-Za-z0-9._-]+)$/;

/** @returns undefined for `unknown`, an obfuscated name and everything else that is not an address */
function addressIn(element: string): string | undefined {
  if (isIPv4(element)) return element;
  const node = QUOTED.exec(element)?.[1]?.replaceAll(/\\(.)/g, '$1').trim() ?? element;
  return canonicalAddress(BRACKETED.exec(node)?.[1] ?? WITH_PORT.exec(node)?.[1] ?? node);
}
