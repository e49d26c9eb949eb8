import { isAscii } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { PosternError } from '#broker/error.ts';

/** Bytes; a token request is a few hundred. */
export const MAX_BODY = 16 * 1024;

/** @throws {PosternError} payload_too_large, without reading on; invalid_request when the client went away */
export function readBody(request: IncomingMessage): Promise<Buffer> {
  const declared = request.headers['content-length'];
  if (declared !== undefined && Number(declared) > MAX_BODY) throw tooLarge();
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
    request.on('end', () => resolve(chunks ? Buffer.concat(chunks) : (first ?? EMPTY)));
    // Also when the client went away: Node tells `error` only to those who listen for it.
    request.on('close', () => {
      if (!request.complete) reject(new PosternError('invalid_request', 'The request ended early'));
    });
  });
}

const EMPTY = Buffer.alloc(0);

function tooLarge(): PosternError {
  return new PosternError('payload_too_large', `The request body is larger than ${MAX_BODY} bytes`);
}

/** The parameters of one request. RFC 6749 §3.2: none may be repeated, and one without a value counts as left out. */
export type Parameters = ReadonlyMap<string, string>;

/** A parameter without a value counts as left out (RFC 6749 §3.2). */
export function optional(parameters: Parameters | undefined, name: string): string | undefined {
  const value = parameters?.get(name);
  return value === '' ? undefined : value;
}

/** @throws {PosternError} invalid_request, unsupported_media_type */
export function parseBody(contentType: string | undefined, body: Buffer): Parameters {
  switch (mediaType(contentType)) {
    case 'application/x-www-form-urlencoded':
      return parseForm(textOf(body));
    case 'application/json':
      return parseJsonObject(textOf(body));
    default:
      throw new PosternError('unsupported_media_type', 'Content-Type must be application/x-www-form-urlencoded or application/json');
  }
}

function mediaType(contentType: string | undefined): string {
  if (contentType === undefined) return '';
  const end = contentType.indexOf(';');
  if (end === -1) return contentType.trim().toLowerCase();
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(contentType)?.[1];
  if (charset !== undefined && charset.toLowerCase() !== 'utf-8') return '';
  return contentType.slice(0, end).trim().toLowerCase();
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
export function parseForm(text: string): Parameters {
  const parameters = new Map<string, string>();
  if (text === '') return parameters;
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decodeFormComponent(equals === -1 ? pair : pair.slice(0, equals));
    set(parameters, name, equals === -1 ? '' : decodeFormComponent(pair.slice(equals + 1)));
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

/** One flat JSON object. Values that are no strings are ignored, except where the name is one of ours. */
function parseJsonObject(text: string): Parameters {
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
    if (typeof entry === 'string') set(parameters, name, entry);
    else if (entry !== null && KNOWN.has(name)) throw malformed(`has a parameter that is no string: ${name}`);
  }
  return parameters;
}

const KNOWN: ReadonlySet<string> = new Set([
  'grant_type',
  'client_id',
  'client_secret',
  'audience',
  'scope',
  'organization',
  'client_assertion',
  'client_assertion_type',
  'token',
  'token_type_hint',
  'resource',
  'subject_token',
  'subject_token_type',
  'requested_token_type',
  'actor_token',
  'actor_token_type',
]);

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

function set(parameters: Map<string, string>, name: string, value: string): void {
  if (parameters.has(name)) throw malformed('repeats a parameter');
  if (value.includes('\0')) throw malformed('holds a NUL');
  parameters.set(name, value);
}

function malformed(why: string): PosternError {
  return new PosternError('invalid_request', `The request body ${why}`);
}
