/**
 * The networks that one party may own, narrowest first: of IPv4 the address itself; of IPv6 its /64, /56 and /48, since a customer
 * of a provider gets any of the three, and counting single addresses would give it 2^64 allowances.
 * Two spellings of one address are one, and an IPv4 address within IPv6 (::ffff:0:0/96, and 64:ff9b::/96 of NAT64) is that address.
 */
export function networksOf(address: string): readonly [string, ...string[]] {
  if (!address.includes(':')) return [address];
  const groups = groupsOf(address.split('%')[0]!);
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = groups;
  const mapped = a === 0 && b === 0 && c === 0 && d === 0 && e === 0 && f === 0xffff;
  const translated = a === 0x64 && b === 0xff9b && c === 0 && d === 0 && e === 0 && f === 0;
  if (mapped || translated) {
    return [
      groups
        .slice(6)
        .flatMap((group) => [group >> 8, group & 255])
        .join('.'),
    ];
  }
  const site = [a, b, c].map((group) => group.toString(16)).join(':');
  return [`${site}:${d.toString(16)}::/64`, `${site}:${(d & 0xff00).toString(16)}::/56`, `${site}::/48`];
}

/** Eight of 16 bits each. */
function groupsOf(address: string): number[] {
  const [head = '', tail = ''] = address.split('::');
  const [left, right] = [head, tail].map(partsOf) as [number[], number[]];
  const zeros = address.includes('::') ? Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => 0) : [];
  return [...left, ...zeros, ...right];
}

/** A dotted quad at the end is two groups. */
function partsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((part) => {
    if (!part.includes('.')) return [Number.parseInt(part, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = part.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}
