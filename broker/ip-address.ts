import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** RFC 6874 §2. */
const ZONE = /^[A-Za-z0-9._~-]{1,64}$/;

/**
 * An address in the one form that all parts read alike: IPv6 as in RFC 5952, an IPv4-mapped one as IPv4, without a zone. Vault mangles
 * other spellings of IPv6 (a zero group beside `::`).
 * @returns undefined for anything but an address
 */
export function canonicalAddress(text: string): string | undefined {
  const zone = text.indexOf('%');
  const address = zone === -1 ? text : text.slice(0, zone);
  const family = isIP(address);
  if (family === 0 || (zone !== -1 && (family === 4 || !ZONE.test(text.slice(zone + 1))))) return undefined;
  return family === 4 ? address : ipaddr.process(address).toString();
}

/**
 * A block of addresses in canonical form: the address as above, with the bits behind the prefix cleared, as Vault reads it.
 * @returns undefined for anything but an address and its prefix, such as `203.0.113.0/24`
 */
export function canonicalCidr(text: string): string | undefined {
  const [, address = '', digits = ''] = /^([0-9a-fA-F.:]+)\/(\d{1,3})$/.exec(text) ?? [];
  const family = isIP(address);
  const prefix = Number(digits);
  if (family === 0 || prefix > (family === 4 ? 32 : 128)) return undefined;
  // All of ::ffff:0:0/96 is IPv4.
  const mapped = family === 6 && prefix >= 96 && ipaddr.IPv6.parse(address).isIPv4MappedAddress();
  const bits = mapped ? prefix - 96 : prefix;
  const parsed = mapped ? ipaddr.process(address) : ipaddr.parse(address);
  const base =
    parsed.kind() === 'ipv4'
      ? ipaddr.IPv4.networkAddressFromCIDR(`${parsed.toString()}/${bits}`)
      : ipaddr.IPv6.networkAddressFromCIDR(`${parsed.toString()}/${bits}`);
  return `${base.toString()}/${bits}`;
}
