import { inspect } from 'node:util';
import { crc32 } from 'node:zlib';
import { PosternError } from '#broker/error.ts';
import { AppRoleCredential } from './approle.ts';

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** role_id and secret_id, 32 bytes: 62^43 is just above 2^256. */
const BODY = 43;
/** A CRC-32: 62^6 is above 2^32. */
const CHECKSUM = 6;
const PREFIX = 'postern_';
const LONGEST = PREFIX.length + 16 + '_'.length + BODY + CHECKSUM;

/** The exact form of a key, as docs/api-keys.md gives it to secret scanners (there with word boundaries). */
export const API_KEY = /^postern_[a-z0-9]{1,16}_[0-9A-Za-z]{49}$/;
export const ENVIRONMENT = /^[a-z0-9]{1,16}$/;
/** As Vault makes role_ids and secret_ids: 16 bytes, any version. Upper case would be a second spelling. */
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Value of an ASCII digit by its character code. */
const VALUES = new Uint8Array(128);
for (let value = 0; value < DIGITS.length; value++) VALUES[DIGITS.charCodeAt(value)] = value;
/** Digits taken at once: times 62^4 and with a carry, 16 bits stay far below 2^53. */
const CHUNK = 4;
const CHUNK_BASE = 62 ** CHUNK;
const LIMBS = 16;
/** Four hexadecimal digits, by their value. */
const HEX = Array.from({ length: 0x1_0000 }, (_, value) => value.toString(16).padStart(4, '0'));

/**
 * An AppRole credential as one string that a customer can paste: `postern_<environment>_<43 characters><6 characters>`. The 43 are
 * role_id and secret_id as one number of 256 bits in base 62, the 6 a CRC-32 over all before them. Each key has one text only. The
 * environment is for people and scanners to read; Vault does not know it. Redacted when printed.
 */
export class ApiKey {
  readonly environment: string;
  readonly credential: AppRoleCredential;

  private constructor(environment: string, credential: AppRoleCredential) {
    this.environment = environment;
    this.credential = credential;
  }

  /**
   * @returns undefined for a wrong form or checksum, at no cost to Vault: no single mistyped character, and no two neighbours exchanged,
   * slip by a CRC-32
   */
  static parse(text: string): ApiKey | undefined {
    if (text.length > LONGEST) return undefined;
    if (!API_KEY.test(text)) return undefined;
    const body = text.length - CHECKSUM - BODY;
    const checksum = text.length - CHECKSUM;
    if (numberOf(text, checksum, text.length) !== crc32(text.slice(0, checksum))) return undefined;
    const limbs = limbsOf(text, body);
    if (limbs === undefined) return undefined;
    const credential = AppRoleCredential.of(uuid(limbs, 8), uuid(limbs, 0));
    return credential === undefined ? undefined : new ApiKey(text.slice(PREFIX.length, body - 1), credential);
  }

  /**
   * The text of a key.
   * @throws {PosternError} invalid_request where the environment has another form, or an id is not a UUID because somebody chose it
   */
  static format(environment: string, roleId: string, secretId: string): string {
    if (!ENVIRONMENT.test(environment)) throw new PosternError('invalid_request', 'An environment is 1 to 16 characters of a-z and 0-9');
    if (!UUID.test(roleId)) {
      throw new PosternError('invalid_request', 'This tenant has a role_id of its own choice, which does not fit into an API key', {
        detail: 'Make a tenant whose role_id Vault chooses (a UUID), or hand out client_id and client_secret: `postern secret issue`.',
      });
    }
    if (!UUID.test(secretId)) {
      throw new PosternError('invalid_request', 'This secret_id was chosen by somebody, and does not fit into an API key', {
        detail: 'Let Vault choose it: `postern key issue`.',
      });
    }
    let number = BigInt(`0x${(roleId + secretId).replaceAll('-', '')}`);
    let body = '';
    for (let at = 0; at < BODY; at++) {
      body = DIGITS.charAt(Number(number % 62n)) + body;
      number /= 62n;
    }
    const text = `postern_${environment}_${body}`;
    let sum = crc32(text);
    let checksum = '';
    for (let at = 0; at < CHECKSUM; at++) {
      checksum = DIGITS.charAt(sum % 62) + checksum;
      sum = Math.floor(sum / 62);
    }
    return text + checksum;
  }

  toString(): string {
    return `postern_${this.environment}_[redacted]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/**
 * The number as 16 limbs of 16 bits, the lowest first. By hand, since BigInt takes longer, at each request that shows a key.
 * @returns undefined where it has more than 256 bits
 */
function limbsOf(text: string, from: number): Uint16Array | undefined {
  const limbs = new Uint16Array(LIMBS);
  let used = 0;
  for (let at = from; at < from + BODY;) {
    const to = at === from ? at + (BODY % CHUNK) : at + CHUNK;
    let carry = numberOf(text, at, to);
    at = to;
    for (let i = 0; i < used; i++) {
      const sum = limbs[i]! * CHUNK_BASE + carry;
      carry = Math.floor(sum / 0x1_0000);
      limbs[i] = sum - carry * 0x1_0000;
    }
    while (carry > 0) {
      if (used === LIMBS) return undefined;
      const rest = Math.floor(carry / 0x1_0000);
      limbs[used++] = carry - rest * 0x1_0000;
      carry = rest;
    }
  }
  return limbs;
}

/** At most 8 digits from `from` to `to`, which are known to be of the alphabet. */
function numberOf(digits: string, from: number, to: number): number {
  let number = 0;
  for (let at = from; at < to; at++) number = number * 62 + VALUES[digits.charCodeAt(at)]!;
  return number;
}

/** Eight limbs from `low` on. */
function uuid(limbs: Uint16Array, low: number): string {
  const at = (i: number): string => HEX[limbs[low + i]!]!;
  return `${at(7)}${at(6)}-${at(5)}-${at(4)}-${at(3)}-${at(2)}${at(1)}${at(0)}`;
}
