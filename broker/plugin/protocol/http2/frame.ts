/** HTTP/2's frames: https://www.rfc-editor.org/rfc/rfc9113#section-6 */
export const Frame = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

export const Flag = { END_STREAM: 1, ACK: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 32 } as const;

export const Setting = {
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
} as const;

export const ErrorCode = {
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  ENHANCE_YOUR_CALM: 11,
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** The peer has broken the protocol so that its connection can't go on. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Bytes before a frame's payload. */
export const HEAD = 9;
/** Largest payload that we take: what HTTP/2 begins with, and what grpc-go sends at most. */
export const MAX_FRAME = 16_384;
/** Largest flow-control window, and the window of everything until somebody says otherwise. */
export const MAX_WINDOW = 2 ** 31 - 1;
export const DEFAULT_WINDOW = 65_535;

/** Writes a frame's head. @returns where its payload begins */
export function writeHead(into: Uint8Array, at: number, length: number, type: number, flags: number, id: number): number {
  into[at] = length >>> 16;
  into[at + 1] = length >>> 8;
  into[at + 2] = length;
  into[at + 3] = type;
  into[at + 4] = flags;
  into[at + 5] = id >>> 24;
  into[at + 6] = id >>> 16;
  into[at + 7] = id >>> 8;
  into[at + 8] = id;
  return at + HEAD;
}

export function frame(type: number, flags: number, id: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD + payload.length);
  bytes.set(payload, writeHead(bytes, 0, payload.length, type, flags, id));
  return bytes;
}

/** Of 32-bit numbers: RST_STREAM, WINDOW_UPDATE and GOAWAY are nothing else. */
export function frameOf(type: number, id: number, ...numbers: readonly number[]): Buffer {
  const payload = Buffer.allocUnsafe(4 * numbers.length);
  for (const [index, number] of numbers.entries()) payload.writeUInt32BE(number, 4 * index);
  return frame(type, 0, id, payload);
}

export function settings(values: readonly (readonly [setting: number, value: number])[]): Buffer {
  const payload = Buffer.allocUnsafe(6 * values.length);
  for (const [index, [setting, value]] of values.entries()) {
    payload.writeUInt16BE(setting, 6 * index);
    payload.writeUInt32BE(value, 6 * index + 2);
  }
  return frame(Frame.SETTINGS, 0, 0, payload);
}
