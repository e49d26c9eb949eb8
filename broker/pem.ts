/** One block of a PEM file. */
export interface PemBlock {
  /** As in `-----BEGIN <label>-----`. */
  readonly label: string;
  /** The block alone, with LF at each end of line and 64 characters a line (RFC 7468 §3, strict form). */
  readonly text: string;
}

const BLOCK = /-----BEGIN ([A-Z0-9][A-Z0-9 .#-]*?)-----([\s\S]*?)-----END \1-----/g;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * The blocks of a PEM file, read as RFC 7468 asks of parsers: any line ends, white space and text around a block, such as openssl's
 * comments, a byte order mark, several blocks.
 */
export function pemBlocks(text: string): PemBlock[] {
  return [...text.matchAll(BLOCK)].map(([, label = '', body = '']) => ({ label, text: blockOf(label, body) }));
}

/** The certificates of a PEM file, one behind the other; '' where there is none. */
export function certificatesOf(text: string): string {
  return textOf(text, 'CERTIFICATE');
}

/** The private keys of a PEM file; '' where there is none. */
export function privateKeysOf(text: string): string {
  return textOf(text, 'PRIVATE KEY');
}

/** @param kind what the labels end with, as in `EC PRIVATE KEY` */
function textOf(text: string, kind: string): string {
  return pemBlocks(text)
    .filter(({ label }) => label.endsWith(kind))
    .map((block) => block.text)
    .join('');
}

function blockOf(label: string, body: string): string {
  const data = body.replaceAll(/\s+/g, '');
  // Header fields (RFC 1421) mean something by their lines: a key under a passphrase has them.
  const lines = BASE64.test(data)
    ? (data.match(/.{1,64}/g) ?? [])
    : body
        .split(/\r\n|\r|\n/)
        .map((line) => line.trim())
        .filter((line, at, all) => line !== '' || (at > 0 && at < all.length - 1));
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
