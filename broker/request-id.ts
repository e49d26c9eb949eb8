import { randomFillSync } from 'node:crypto';
import { directAddress } from './client-address.ts';
import type { Sender } from './client-address.ts';
import type { TrustedProxies } from './trusted-proxies.ts';

/** As proxies write them: a UUID, 32 hexadecimal digits, `<uuid>#<counter>`, base64. Nothing that JSON or a header must escape. */
const TAKEN = /^[\w.~+/=#:|@-]{1,128}$/;
/** Begins like a key of ours, a Vault token or a JWT: somebody's secret in the wrong field. */
const SECRET = /postern_|hv[sbr]\.|^[sbr]\.|eyJ/;

const BYTES = 16;
/** Drawn by the hundred, since asking the system for a few bytes costs more than all else here. */
const drawn = Buffer.alloc(256 * BYTES);
let next = drawn.length;

/**
 * Names one request, or one piece of work in the background: unique, not secret, and cheap, since each cached exchange has one. At
 * random: from two that are counted, whoever gets them reads how much was done for others meanwhile.
 */
export function newRequestId(): string {
  if (next === drawn.length) {
    randomFillSync(drawn);
    next = 0;
  }
  return drawn.toString('hex', next, (next += BYTES));
}

/** @returns what a trusted proxy wrote in X-Request-Id, where it has the form of such an id, else a new one */
export function requestIdOf(request: Sender, trustedProxies: TrustedProxies, make = newRequestId): string {
  const told = request.headers['x-request-id'];
  if (told === undefined || !trustedProxies.trusts(directAddress(request))) return make();
  const id = String(told);
  return TAKEN.test(id) && !SECRET.test(id) ? id : make();
}
