import { isAscii } from 'node:buffer';
import { PosternError } from '#broker/error.ts';
import { WholeRequest } from '#broker/listener/whole-request.ts';
import { mediaTypeOf } from '#broker/media-type.ts';
import type { Parameter, Parameters, Sent } from './parameter.ts';
import type { Call } from './route.ts';

/** Bytes; a token request is a few hundred. */
export const MAX_BODY = 16 * 1024;

/** A request whose body is wanted. */
export interface Receiving {
  readonly call: Call;
  body: Buffer;
}

/**
 * Reads the body into the request. @throws {PosternError} payload_too_large, without reading on; invalid_request when the client went away
 */
export function receiveBody(receiving: Receiving): void | Promise<void> {
  const { request } = receiving.call;
  const declared = request.headers['content-length'];
  if (declared !== undefined && Number(declared) > MAX_BODY) throw tooLarge();
  if (request instanceof WholeRequest) {
    receiving.body = request.takeBody();
    return;
  }
  // The listeners live as long as the connection; what was received, secrets and all, must not.
  let into: Receiving | undefined = receiving;
  return new Promise((resolve, reject) => {
    let first: Buffer | undefined;
    let chunks: Buffer[] | undefined;
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_BODY) {
        request.pause();
        request.removeAllListeners('data');
        reject(tooLarge());
      } else if (first === undefined) first = chunk;
      else (chunks ??= [first]).push(chunk);
    });
    request.on('end', () => {
      if (into !== undefined) into.body = chunks ? Buffer.concat(chunks) : (first ?? NOTHING);
      into = first = chunks = undefined;
      resolve();
    });
    // Also when the client went away: Node tells `error` only to those who listen for it.
    request.on('close', () => {
      into = undefined;
      if (!request.complete) reject(new PosternError('invalid_request', 'The request ended early'));
    });
  });
}

/** No body. */
export const NOTHING = Buffer.alloc(0);

function tooLarge(): PosternError {
  return new PosternError('payload_too_large', `The request body is larger than ${MAX_BODY} bytes`);
}

/** The names that an endpoint knows, in one table. */
export type Known = ReadonlyMap<string, Parameter>;

export function known(...sets: readonly Parameters[]): Known {
  return new Map(sets.flatMap((set) => Object.entries(set)));
}

const NONE: Sent = new Map();

/**
 * The parameters of a request whose body was received; the headers about a body mean nothing without one. @throws {PosternError} as {@link
 * parseBody}
 */
export function sentIn({ call: { request }, body }: Receiving, knows: Known): Sent {
  if (body.length === 0) return NONE;
  const coding = request.headers['content-encoding'];
  if (coding !== undefined && !IDENTITY.test(coding)) throw new UnsupportedCoding();
  return parseBody(request.headers['content-type'], body, knows);
}

/** RFC 9110 §8.4.1: `identity` says that there is no coding. */
const IDENTITY = /^[ \t,]*(?:identity[ \t,]*)*$/i;

/** Answered with what is taken (RFC 9110 §15.5.16, §12.5.3): nothing but the body as it is. */
export class UnsupportedCoding extends PosternError {
  readonly accepted = 'identity';

  constructor() {
    super('unsupported_media_type', 'The request body must not be compressed: send it without Content-Encoding');
  }
}

const FORM = 'application/x-www-form-urlencoded';
const JSON_TYPE = 'application/json';
/** What JSON is in (RFC 8259 §8.1). */
const UTF8_NAMES: ReadonlySet<string> = new Set(['utf-8', 'utf8', 'us-ascii']);

/**
 * A form is UTF-8 whatever charset its type names: no such parameter is defined, and clients write the default of their library.
 * @throws {PosternError} invalid_request, unsupported_media_type
 */
export function parseBody(contentType: string | undefined, body: Buffer, knows: Known = new Map()): Sent {
  if (contentType === FORM) return parseForm(textOf(body), knows);
  const { type, charsets = [] } = mediaTypeOf(contentType) ?? {};
  if (type === FORM) return parseForm(textOf(body), knows);
  if (type === JSON_TYPE && charsets.every((charset) => UTF8_NAMES.has(charset))) return parseJsonObject(textOf(body), knows);
  throw new PosternError('unsupported_media_type', `Content-Type must be ${FORM} or ${JSON_TYPE}`);
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

function textOf(body: Buffer): string {
  if (isAscii(body)) return body.toString('latin1');
  try {
    return UTF8.decode(body);
  } catch {
    throw malformed('is not valid UTF-8');
  }
}

/** application/x-www-form-urlencoded, strictly: a bad escape is refused rather than guessed at. */
export function parseForm(text: string, knows: Known = new Map()): Sent {
  const parameters = new Map<string, string>();
  if (text === '') return parameters;
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decodeFormComponent(equals === -1 ? pair : pair.slice(0, equals));
    set(parameters, knows, name, equals === -1 ? '' : decodeFormComponent(pair.slice(equals + 1)));
  }
  return parameters;
}

/** @throws {PosternError} invalid_request */
export function decodeFormComponent(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  if (!spaced.includes('%')) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    throw malformed('has a malformed percent escape');
  }
}

/** One flat JSON object. Values other than text are ignored, except under a name that the endpoint knows. */
function parseJsonObject(text: string, knows: Known): Sent {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformed('is not valid JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('must be a JSON object');
  const parameters = new Map<string, string>();
  const entries = Object.entries(value);
  // JSON.parse keeps the last of two equal names; which one a proxy in front looked at is anybody's guess.
  if (topLevelNames(text) !== entries.length) throw malformed('repeats a parameter');
  for (const [name, entry] of entries) {
    if (typeof entry === 'string') set(parameters, knows, name, entry);
    else if (entry !== null && knows.has(name)) throw malformed(`has a parameter that is not text: ${name}`);
  }
  return parameters;
}

/** How many names the outermost object of a valid JSON text has, repeated ones counted each time. */
function topLevelNames(text: string): number {
  let depth = 0;
  let names = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: // "
        for (i++; text.charCodeAt(i) !== 0x22; i++) if (text.charCodeAt(i) === 0x5c) i++;
        break;
      case 0x7b: // {
      case 0x5b: // [
        depth++;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        depth--;
        break;
      case 0x3a: // :
        if (depth === 1) names++;
        break;
    }
  }
  return names;
}

function set(parameters: Map<string, string>, knows: Known, name: string, value: string): void {
  const before = parameters.get(name);
  if (before !== undefined) {
    const { another } = knows.get(name) ?? {};
    if (another === undefined) throw malformed('repeats a parameter');
    if (value === '') return;
    if (before !== '' && before !== value) throw another();
  }
  if (value.includes('\0')) throw malformed('holds a NUL');
  parameters.set(name, value);
}

function malformed(why: string): PosternError {
  return new PosternError('invalid_request', `The request body ${why}`);
}
