import { STATIC_TABLE } from './header.ts';

/**
 * A header block that reads the same at any time of any connection: nothing in it goes into the peer's dynamic table, and a response's
 * first (`opening`) tells that we use none, as a peer that makes its table smaller has to be told.
 */
export function encodeHeaders(fields: Readonly<Record<string, string>>, { opening }: { readonly opening: boolean }): Buffer {
  const bytes: number[] = opening ? [0x20] : [];
  for (const [name, value] of Object.entries(fields)) {
    const exact = STATIC_TABLE.findIndex((field) => field.name === name && field.value === value);
    if (exact > 0) writeInteger(bytes, 0x80, 0x7f, exact);
    else {
      const named = STATIC_TABLE.findIndex((field) => field.name === name);
      writeInteger(bytes, 0, 0x0f, Math.max(0, named));
      if (named <= 0) writeString(bytes, name);
      writeString(bytes, value);
    }
  }
  return Buffer.from(bytes);
}

function writeString(bytes: number[], text: string): void {
  writeInteger(bytes, 0, 0x7f, text.length);
  bytes.push(...Buffer.from(text, 'latin1'));
}

function writeInteger(bytes: number[], first: number, mask: number, value: number): void {
  if (value < mask) {
    bytes.push(first | value);
    return;
  }
  bytes.push(first | mask);
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
}
