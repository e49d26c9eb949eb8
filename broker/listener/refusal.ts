import { STATUS_CODES } from 'node:http';

/**
 * Why something never became a request: too large headers, too slow, against the syntax of HTTP/1.1; or CONNECT, which makes of
 * the connection something that nobody serves.
 */
export type Unparsable = 'headers' | 'timeout' | 'syntax' | 'connect';

/** Why a request is refused whatever it asks for: `rules` of RFC 9112, or an expectation that nobody can meet (RFC 9110 §10.1.1). */
export type Broken = 'rules' | 'expectation';

/** An answer written by hand. */
export interface RawAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** @returns the bytes of the answer, after which the connection ends */
export function refusal({ status, type, body }: RawAnswer): string {
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    // RFC 9110 §15.5.6: a 405 names what may be used; for CONNECT that is nothing.
    ...(status === 405 ? ['Allow: '] : []),
    `Content-Type: ${type}`,
    'Cache-Control: no-store',
    'Connection: close',
    `Content-Length: ${Buffer.byteLength(body)}`,
    '',
    body,
  ].join('\r\n');
}
