import { type Secret, spellings } from '#test/fixture/ledger.ts';

/** Characters by which a spelling is looked up; none is shorter. */
const HEAD = 8;
/** Bits of what four characters are looked up by first: most of a text begins no spelling. */
const BITS = 22;

/** Looks for secrets, in any spelling. It is made once: a suite registers thousands, and writes hundreds of logs. */
export class LeakSearch {
  readonly #byHead = new Map<string, [spelling: string, kind: string][]>();
  readonly #begins = new Uint8Array(2 ** (BITS - 3));

  constructor(secrets: readonly Secret[]) {
    for (const { kind, value } of secrets) {
      for (const form of spellings(value)) {
        const spelling = Buffer.from(form).toString('latin1');
        const head = spelling.slice(0, HEAD);
        const list = this.#byHead.get(head) ?? [];
        list.push([spelling, kind]);
        this.#byHead.set(head, list);
        let four = 0;
        for (let at = 0; at < 4; at++) four = (four << 8) | head.charCodeAt(at);
        const slot = slotOf(four);
        this.#begins[slot >>> 3]! |= 1 << (slot & 7);
      }
    }
  }

  /**
   * The kinds of those that stand in a text, each kind once. Never the values. The text is read as latin1, one character a byte, so that a
   * log with broken UTF-8 is searched as well. One pass over it, however many secrets there are.
   */
  in(text: string): string[] {
    const found = new Set<string>();
    const begins = this.#begins;
    let four = 0;
    for (let end = 0; end < text.length; end++) {
      four = (four << 8) | text.charCodeAt(end);
      const slot = slotOf(four);
      if (end < 3 || (begins[slot >>> 3]! & (1 << (slot & 7))) === 0) continue;
      const at = end - 3;
      for (const [spelling, kind] of this.#byHead.get(text.slice(at, at + HEAD)) ?? []) {
        if (text.startsWith(spelling, at)) found.add(kind);
      }
    }
    return [...found];
  }
}

/** Of four characters: 2^32 divided by the golden ratio spreads them (Knuth, The Art of Computer Programming, vol. 3, 6.4). */
function slotOf(four: number): number {
  return Math.imul(four, 0x9e_37_79_b1) >>> (32 - BITS);
}
