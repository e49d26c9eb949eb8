/**
 * How many bits each byte has in HPACK's Huffman code (https://www.rfc-editor.org/rfc/rfc7541#appendix-B). The code is
 * canonical: the codes follow from the lengths.
 */
// oxfmt-ignore
const LENGTHS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];
/** The end of a string, of which only the first bits may come, as padding. */
const EOS = 256;

/** Each node's two children: a node's number, or ~byte of a leaf. */
const TREE = treeOf(LENGTHS);

/** @returns undefined where it is malformed */
export function decodeHuffman(bytes: Uint8Array, from: number, to: number): string | undefined {
  // The shortest code has 5 bits.
  const text = Buffer.allocUnsafe(Math.ceil(((to - from) * 8) / 5));
  let length = 0;
  let node = 0;
  /** Bits since the last leaf, and whether all of them were 1. */
  let depth = 0;
  let ones = true;
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!;
    for (let shift = 7; shift >= 0; shift--) {
      const bit = (byte >>> shift) & 1;
      const next = TREE[2 * node + bit]!;
      if (next >= 0) {
        node = next;
        depth++;
        ones &&= bit === 1;
        continue;
      }
      if (~next === EOS) return undefined;
      text[length++] = ~next;
      node = depth = 0;
      ones = true;
    }
  }
  return depth > 7 || !ones ? undefined : text.toString('latin1', 0, length);
}

function treeOf(lengths: readonly number[]): Int16Array {
  const tree = new Int16Array(2 * EOS);
  let nodes = 1;
  let code = 0;
  for (let length = 1; length <= 30; length++) {
    for (const [symbol, own] of lengths.entries()) {
      if (own !== length) continue;
      let node = 0;
      for (let shift = length - 1; shift > 0; shift--) {
        const child = 2 * node + ((code >>> shift) & 1);
        tree[child] ||= nodes++;
        node = tree[child]!;
      }
      tree[2 * node + (code & 1)] = ~symbol;
      code++;
    }
    code *= 2;
  }
  return tree;
}
