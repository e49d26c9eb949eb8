import { OwnError, PosternError } from './error.ts';
import type { Unasked } from './error.ts';

/**
 * Why a call to Vault did not give an answer.
 *
 * - `unreachable`  no connection, or it broke        - `timeout`   no answer within the deadline
 * - `unavailable`  sealed, standby without leader, 5xx - `throttled` a Vault quota said 429
 * - `denied`       403: ACL, or the token is dead     - `invalid`   400 with Vault's reason: it refused the input
 * - `not_found`    404 with a reason, or on a write    - `redirected` 3xx, which is never followed
 * - `conflict`     check-and-set lost the race         - `too_large` the answer is over its limit (4 MiB; a list 64 MiB), or a document
 *                                                      over that of Vault's storage (Raft: `max_entry_size`, 1 MiB) or listener
 * - `not_asked`    the breaker is open: nobody has answered lately, so nobody was asked
 */
export type VaultFaultReason =
  | 'unreachable'
  | 'timeout'
  | 'unavailable'
  | 'throttled'
  | 'denied'
  | 'invalid'
  | 'not_found'
  | 'redirected'
  | 'conflict'
  | 'too_large'
  | 'not_asked';

/**
 * The only error that leaves the Vault adapter. It is built afresh from allowed parts: the HTTP
 * client's own errors carry X-Vault-Token and request bodies, so they are never wrapped or logged.
 */
export class VaultFault extends OwnError {
  override readonly name = 'VaultFault';
  readonly reason: VaultFaultReason;
  readonly status: number | undefined;
  /** Seconds, from Retry-After. */
  readonly retryAfter: number | undefined;

  /** A 404 that says nothing: nothing is stored there. Any other 404 gives a reason, e.g. that the mount doesn't exist. */
  readonly isEmpty: boolean;
  /** Somebody else's page, a proxy's say: whatever it means, Vault was not asked. */
  readonly notVaults: boolean;
  /** Of one that was not reached: Node's or undici's code, such as `ECONNREFUSED`. */
  readonly causeCode: string | undefined;

  constructor(
    reason: VaultFaultReason,
    message: string,
    more: { status?: number; retryAfter?: number; isEmpty?: boolean; notVaults?: boolean; code?: string | undefined } = {},
  ) {
    super(message);
    this.reason = reason;
    this.status = more.status;
    this.retryAfter = more.retryAfter;
    this.isEmpty = more.isEmpty ?? false;
    this.notVaults = more.notVaults ?? false;
    this.causeCode = more.code;
  }

  override describe(): Record<string, unknown> {
    return { code: `vault_${this.reason}`, message: this.message };
  }

  /**
   * A 500 about the namespace that the end of the token names, or about a batch token that isn't Base64: Vault's judgement of that token.
   * Only its words tell it from Vault's real ones; should they change, it is taken for an outage, which blames nobody.
   */
  get isOfBadToken(): boolean {
    return this.status === 500 && /failed to look up namespace from the token|token check: illegal base64 data/.test(this.message);
  }

  /**
   * A 500 about the version of a transit key that was asked for: it was retired, or a snapshot took it back. Vault's judgement of the
   * version, told from its real ones by its words alone as well.
   */
  get isOfNoKeyVersion(): boolean {
    return this.status === 500 && /no such key version|requested version for signing is/.test(this.message);
  }

  /**
   * A 500 about a document of KV whose deletion was broken off: its versions are gone, and its metadata still names them (Vault stops in
   * the middle of a call whose caller hangs up). Told by its words alone as well.
   */
  get isOfHalfDeleted(): boolean {
    return this.status === 500 && this.message.includes('could not find version data');
  }

  /** Vault is sealed, as its words alone tell. */
  get isOfSealed(): boolean {
    return this.status === 503 && this.message.endsWith('Vault is sealed');
  }

  /** Surely nothing was done: no connection came about, or whoever answered is sealed, or a standby that knows no leader. */
  get isOfNothingDone(): boolean {
    const { status = 0, message, causeCode } = this;
    return causeCode === 'ECONNREFUSED' || this.isOfSealed || (status >= 500 && message.endsWith('active cluster node not found'));
  }

  /** A 500 by which Vault has judged what was asked: the same call gets the same answer. */
  get isVerdict(): boolean {
    return this.isOfBadToken || this.isOfNoKeyVersion || this.isOfHalfDeleted;
  }

  /** A 404 that speaks of no mount or no such path: a mount's name is wrong. */
  get isOfNoMount(): boolean {
    return this.reason === 'not_found' && /no handler for route|unsupported path|Invalid path for a versioned/.test(this.message);
  }

  /** undefined: Vault has judged, or it is a fault of ours. */
  get unasked(): Unasked | undefined {
    if (this.isVerdict) return undefined;
    if (this.reason === 'throttled') return 'throttled';
    return this.notVaults || NO_ANSWER.has(this.reason) ? 'unanswered' : undefined;
  }

  /**
   * Of a login whose secret was right: the address that Vault saw, and that the CIDRs of the role or of the secret_id leave out. Only its
   * words tell it from a wrong secret; should they change, the log says less.
   */
  get refusedAddress(): string | undefined {
    if (this.status !== 400) return undefined;
    return /source address "([0-9A-Fa-f.:]{2,45})" unauthorized (?:by|through) CIDR restrictions/.exec(this.message)?.[1];
  }

  /**
   * A 403 about the token itself, whatever it is used for: what it is bound to leaves out the address that Vault saw. What its policies
   * don't let it do, and that it has ended, is told among several errors; only the words tell them apart, and should they change, it is
   * taken for what an operator has to mend.
   */
  get isOfTokenElsewhere(): boolean {
    return this.status === 403 && this.message.endsWith(': permission denied');
  }

  /**
   * OpenBao's limit on strings in one request (`max_request_json_strings` of its listener), or one of Vault's on entries of an object,
   * elements of a list (10,000 each) and all together (`max_json_…`): the same document as one text has none.
   */
  get isOfTooManyParts(): boolean {
    if (this.reason === 'too_large') return /exceeds allowed (?:entry|element|token) count/.test(this.message);
    return this.reason === 'invalid' && this.message.includes('maximum number of strings');
  }

  /** Whether the same call may succeed a little later, without anybody changing anything. */
  get transient(): boolean {
    return this.unasked !== undefined && this.reason !== 'redirected' && !this.isOfNoMount;
  }
}

/** A redirect too: a standby that can't pass on what it is asked names the leader, which it doesn't reach. */
const NO_ANSWER: ReadonlySet<VaultFaultReason> = new Set(['unreachable', 'timeout', 'unavailable', 'redirected', 'not_asked']);

/** Whether Vault could not be asked; undefined where it has judged, and for any other error. */
export function unaskedOf(error: unknown): Unasked | undefined {
  return error instanceof VaultFault || error instanceof PosternError ? error.unasked : undefined;
}

/** Whether a check-and-set write was refused because somebody else wrote first. */
export function lostRace(error: unknown): boolean {
  return error instanceof VaultFault && error.reason === 'conflict';
}

/** Whether a document was refused since Vault's storage takes none that long: there is no room in it. */
export function isFull(error: unknown): boolean {
  return error instanceof VaultFault && error.reason === 'too_large' && error.status !== undefined;
}

/** Of its storage, and of its listener since 1.20, which answers 500. */
const TOO_LARGE = /value being too large|^JSON .* exceeds allowed /;

/** Vault's status -> reason (Vault API, "HTTP status codes"; 412 is an eventually consistent read). */
export function reasonOfStatus(status: number, messages: readonly string[]): VaultFaultReason {
  if (status >= 300 && status < 400) return 'redirected';
  // Vault says why. What says nothing is not Vault: a proxy, or a TLS listener that is spoken to in plain http.
  if (status === 400 && messages.length === 0) return 'unavailable';
  if (status === 400) return messages.some((m) => m.includes('check-and-set parameter did not match')) ? 'conflict' : 'invalid';
  if (status === 409) return 'conflict';
  // Only its words tell it from a Vault that is in trouble; should they change, it is taken for one.
  if (status === 413 || messages.some((m) => TOO_LARGE.test(m))) return 'too_large';
  if (status === 403) return 'denied';
  if (status === 404) return 'not_found';
  if (status === 429) return 'throttled';
  if (status === 412 || status === 472 || status === 473 || status >= 500) return 'unavailable';
  return 'invalid';
}
