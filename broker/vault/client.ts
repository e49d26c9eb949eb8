import { Breaker } from '#broker/breaker.ts';
import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import type { ClockDifference } from '#broker/clock-difference.ts';
import { currentSpan, headersOf, traced } from '#broker/span.ts';
import { VaultFault, reasonOfStatus, unaskedOf } from '#broker/vault-fault.ts';
import { operationOf } from './operation.ts';
import type { VaultOperation } from './operation.ts';
import { nodeVaultOver } from './node-vault.ts';
import type { NodeVault, NodeVaultRequest, NodeVaultResponse } from './node-vault.ts';
import { VAULT_PARTS } from './part.ts';
import type { VaultPart } from './part.ts';
import { Transport, isVaults } from './transport.ts';
import type { VaultTls, VaultTransport } from './transport.ts';

export interface VaultClientOptions extends Clocks {
  /** e.g. `https://vault.example.com:8200` */
  address: string;
  /** Vault Enterprise or HCP namespace. */
  namespace?: string | undefined;
  caFile?: string | undefined;
  /** More about TLS, for people's commands. */
  tls?: VaultTls | undefined;
  /** URL of a proxy in front of Vault; never for loopback. */
  proxy?: string | undefined;
  /** Deadline of one attempt, ms. Default 2000. */
  timeoutMs?: number;
  /** The same of a list that is not `quick`, ms. Default 30,000. */
  listTimeoutMs?: number | undefined;
  /** Most sockets open at once. Default 64. */
  connections?: number;
  /** In place of HTTP. */
  transport?: VaultTransport | undefined;
  /** While Vault doesn't answer, who asks is told at once, and only {@link VaultClient.probing} tries. Told when that begins and ends; the
   * same of a part of Vault that alone doesn't answer in time. */
  onBreak?: (open: boolean, part?: VaultPart) => void;
  /** Told of each attempt that was made, and how it ended; undefined: well. */
  onCall?: ((operation: VaultOperation, ms: number, error: unknown) => void) | undefined;
}

export interface CallOptions {
  /** The token for this one call. There is no default: a shared token is how one caller acts as another. */
  token?: string | undefined;
  /** Answer as a response-wrapping token that lives so many seconds. */
  wrapTtl?: number;
  /** The real client's address, for CIDR-bound credentials (Vault: `x_forwarded_for_authorized_addrs`). */
  forwardedFor?: string | undefined;
  /** Attempts in all, for calls that may be repeated. Default 3 for reads and lists, 1 for the rest. */
  attempts?: number;
  /** One further attempt where surely nothing was done: among several nodes of Vault the next one may do it. */
  onceMore?: boolean;
  /** Where Vault takes a read's parameters, as the way back of an OIDC login. */
  query?: Readonly<Record<string, string>>;
  /** Which version of a KV v2 document (a number) or of a plugin in the catalogue (`v1.2.3`) is read; the newest unless told. */
  version?: number | string;
  signal?: AbortSignal;
  /** Vault is made to fail, or to wait, by what a stranger or a tenant chose: whatever becomes of it says nothing of Vault. */
  strangers?: boolean;
  /** What does it in Vault. Where that hangs, who needs it is told at once, though all else is answered. */
  part?: VaultPart;
  /** A read that may go on though nobody waits for it any more: so it is found out whether its part answers again. */
  behind?: boolean;
  /** A list by the deadline of every other call: where somebody waits for it who would rather be told that Vault is away. */
  quick?: boolean;
}

/** A Vault answer as it comes: every reader checks what it takes out. */
export interface VaultAnswer {
  data?: Record<string, unknown> | null;
  auth?: Record<string, unknown> | null;
  wrap_info?: Record<string, unknown> | null;
  warnings?: string[] | null;
}

/** `GET sys/health`; `status` is the HTTP status, whose meaning Vault fixes (200 active, 429 standby, 503 sealed, 501 new). */
export interface VaultHealth {
  status: number;
  initialized: boolean;
  sealed: boolean;
  standby: boolean;
  version: string;
  product: 'Vault' | 'OpenBao';
  /** Vault's clock, ms since 1970, to the second. */
  time?: number | undefined;
}

/** Vault's answer says whether it is the Enterprise edition, from before 1.21 on; OpenBao, whose versions begin at 2, has no such field. */
function productOf({ enterprise, version }: Record<string, unknown>): VaultHealth['product'] {
  return enterprise === undefined && typeof version === 'string' && !/^[01]\./.test(version) ? 'OpenBao' : 'Vault';
}

/**
 * Every segment begins with a letter, digit or `_`/`-`, so that neither `//` nor an empty segment can be written; `..` cannot, anywhere.
 */
const SAFE_PATH = /^(?!.*\.\.)[A-Za-z0-9_-][A-Za-z0-9_.-]*(\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$/;

/**
 * node-vault with its hazards closed, each with a test in `test/unit/vault/client.test.ts`:
 * the token is given for each call and never kept; redirects are not followed; every attempt has a
 * deadline; reads are tried again; errors are {@link VaultFault}s from which secrets are scrubbed;
 * `DEBUG=node-vault` and the VAULT_* environment have no effect; paths are checked.
 */
export class VaultClient {
  readonly address: string;
  readonly #options: VaultClientOptions;
  readonly #clock: Clock;
  readonly #transport: VaultTransport;
  readonly #client: NodeVault;
  readonly #breaker: Breaker | undefined;
  readonly #parts: ReadonlyMap<VaultPart, Breaker>;
  readonly #probes: boolean;

  /** @param shared of the client that this one is a face of */
  constructor(options: VaultClientOptions, shared?: Shared) {
    this.address = options.address;
    this.#options = options;
    this.#clock = clockOf(options);
    this.#transport =
      shared?.transport ??
      options.transport ??
      new Transport({
        address: options.address,
        caFile: options.caFile,
        tls: options.tls,
        proxy: options.proxy,
        timeoutMs: options.timeoutMs ?? 2000,
        listTimeoutMs: options.listTimeoutMs,
        connections: options.connections ?? 64,
      });
    this.#breaker = shared === undefined ? breakerOf(options) : shared.breaker;
    this.#parts = shared === undefined ? partsOf(options) : shared.parts;
    this.#probes = shared !== undefined;
    this.#client = nodeVaultOver(options.address, options.namespace, (request) => this.#send(request));
  }

  /** Requests sent since the start, for metrics and for tests that want none. */
  get calls(): number {
    return this.#transport.requests;
  }

  /** Vault's clock beside ours. */
  get clock(): ClockDifference {
    return this.#transport.clock;
  }

  /** Whether Vault has not answered lately, so that it isn't asked but by {@link probing}. */
  get away(): boolean {
    return this.#breaker?.open === true;
  }

  /** The parts of Vault that alone have not answered in time lately. */
  get hanging(): readonly VaultPart[] {
    return [...this.#parts].filter(([, breaker]) => breaker.open).map(([part]) => part);
  }

  /** Whether it is not asked now, since it has not answered lately: all of Vault, or this part alone. */
  isSilent(part: VaultPart): boolean {
    return this.away || this.#parts.get(part)?.open === true;
  }

  /** Whether this part may be asked now, be it only to find out whether it answers again. */
  mayTry(part: VaultPart): boolean {
    return !this.away && this.#parts.get(part)?.mayTry !== false;
  }

  /** The same, for what the broker asks on its own account: it may try whether Vault answers again. */
  probing(): VaultClient {
    return new VaultClient(this.#options, { transport: this.#transport, breaker: this.#breaker, parts: this.#parts });
  }

  /**
   * @returns the answer, or undefined where nothing is stored. @throws {VaultFault} `not_found` where Vault says why, as that there is no
   * such mount
   */
  async read(path: string, options: CallOptions = {}): Promise<VaultAnswer | undefined> {
    return this.#orMissing(this.#call('GET', path, undefined, options));
  }

  /**
   * @returns the keys below `path`; none where nothing is stored. A list may be long: 64 MiB, some 900,000 digests, and 30 s
   * (`listTimeoutMs`) unless `quick`.
   * @throws {VaultFault} `not_found` where Vault gives a reason, e.g. that the mount doesn't exist; `too_large`
   */
  async list(path: string, options: CallOptions = {}): Promise<string[]> {
    const answer = await this.#orMissing(this.#call('LIST', path, undefined, options));
    const keys = answer?.data?.['keys'];
    return Array.isArray(keys) ? keys.filter((k): k is string => typeof k === 'string') : [];
  }

  /** @throws {VaultFault} */
  write(path: string, data: Record<string, unknown>, options: CallOptions = {}): Promise<VaultAnswer> {
    return this.#call('POST', path, data, options);
  }

  /** @throws {VaultFault} */
  async delete(path: string, options: CallOptions = {}): Promise<void> {
    await this.#call('DELETE', path, undefined, options);
  }

  /** Never needs a token. @throws {VaultFault} when there is no answer at all */
  async health(): Promise<VaultHealth> {
    const reply = await this.#transport.request({ uri: `${this.address}/v1/sys/health`, method: 'GET' });
    const body = (reply.body ?? {}) as Record<string, unknown>;
    return {
      status: reply.statusCode,
      initialized: body['initialized'] === true,
      sealed: body['sealed'] !== false,
      standby: body['standby'] === true,
      version: typeof body['version'] === 'string' ? body['version'] : 'unknown',
      product: productOf(body),
      time: typeof body['server_time_utc'] === 'number' ? body['server_time_utc'] * 1000 : undefined,
    };
  }

  /**
   * Where the active node says that it is (`api_addr`); undefined where it doesn't, or by http though this one was asked by https.
   * Never needs a token.
   * @throws {VaultFault}
   */
  async activeNode(): Promise<string | undefined> {
    const { body } = await this.#transport.request({ uri: `${this.address}/v1/sys/leader`, method: 'GET' });
    const said = (body as { leader_address?: unknown } | undefined)?.leader_address;
    const url = typeof said === 'string' ? URL.parse(said) : null;
    if (url === null || url.username !== '' || !['http:', 'https:'].includes(url.protocol)) return undefined;
    return url.protocol === 'https:' || this.address.startsWith('http:') ? url.href.replace(/\/+$/, '') : undefined;
  }

  /** PEM of the CA that is trusted in place of the system's. */
  get authorities(): string | undefined {
    return this.#transport.authorities;
  }

  /** See {@link Transport.trust}. */
  trust(pem: string): void {
    this.#transport.trust(pem);
  }

  /** Ends the idle sockets and waits for the calls in flight; a long list is broken off. */
  close(): Promise<void> {
    this.#breaker?.stop();
    for (const breaker of this.#parts.values()) breaker.stop();
    return this.#transport.close();
  }

  async #orMissing(answer: Promise<VaultAnswer>): Promise<VaultAnswer | undefined> {
    try {
      return await answer;
    } catch (error) {
      if (error instanceof VaultFault && error.isEmpty) return undefined;
      throw error;
    }
  }

  async #call(method: string, path: string, json: Record<string, unknown> | undefined, options: CallOptions): Promise<VaultAnswer> {
    if (!SAFE_PATH.test(path)) throw new VaultFault('invalid', 'A Vault path holds a character or segment that is not allowed');
    const headers: Record<string, string> = {};
    if (options.token) headers['X-Vault-Token'] = options.token;
    if (options.wrapTtl) headers['X-Vault-Wrap-TTL'] = `${options.wrapTtl}s`;
    if (options.forwardedFor) headers['X-Forwarded-For'] = options.forwardedFor;
    const attempts = options.attempts ?? (options.strangers !== true && (method === 'GET' || method === 'LIST') ? 3 : 1);
    const { onCall } = this.#options;
    const ask = async (): Promise<VaultAnswer> => {
      const begun = this.#clock.monotonic();
      try {
        const answer = await this.#client.request({
          path: `/${path}${queryOf(options)}`,
          uri: '',
          method,
          headers: { ...headers, ...traceHeaders() },
          ...(json === undefined ? {} : { json }),
          ...(options.signal ? { signal: options.signal } : {}),
          ...(options.quick ? { quick: true } : {}),
        });
        onCall?.(operationOf(method, path), this.#clock.monotonic() - begun, undefined);
        return (answer ?? {}) as VaultAnswer;
      } catch (error) {
        const fault = error instanceof VaultFault ? error : this.#faultOf(error, path, json, options);
        onCall?.(operationOf(method, path), this.#clock.monotonic() - begun, fault);
        throw fault;
      }
    };
    const tracedAsk = (): Promise<VaultAnswer> => traced('vault', ask, { 'postern.vault.operation': operationOf(method, path) }, 'client');
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#through(tracedAsk, options);
      } catch (error) {
        const again = error instanceof VaultFault && AT_ONCE.has(error.reason) && !error.isVerdict;
        const most = again && options.onceMore === true && error.isOfNothingDone ? attempts + 1 : attempts;
        if (!again || attempt >= most || options.signal?.aborted) throw error;
        await this.#clock.sleep(50 * attempt * (0.5 + this.#clock.random()));
      }
    }
  }

  async #through(ask: () => Promise<VaultAnswer>, options: CallOptions): Promise<VaultAnswer> {
    const breaker = options.strangers === true && !this.away ? undefined : this.#breaker;
    const all = (): Promise<VaultAnswer> => (breaker === undefined ? ask() : breaker.run(ask, this.#probes));
    // Where nobody answers at all, that says nothing of one part.
    const part = options.part === undefined || this.away ? undefined : this.#parts.get(options.part);
    if (part === undefined) return all();
    if (options.behind !== true || !part.open) return part.run(all, true);
    void part.run(all, true).catch(() => {});
    throw part.refusal();
  }

  #send(request: NodeVaultRequest): Promise<NodeVaultResponse> {
    return this.#transport.request(request).then((reply) => {
      // A read or list of Vault's always has content: what has none, or isn't as Vault writes it, is somebody else's page.
      const reads = request.method === 'GET' || request.method === 'LIST';
      const vaults = isVaults(reply.statusCode, reply.body);
      if (reply.statusCode < 300 && (!vaults || (reads && reply.body === undefined))) throw new VaultFault('unavailable', NOT_VAULTS);
      // node-vault keeps only status and body of an error answer.
      // KV v2 answers 404 with data for a deleted version, whose number a check-and-set write needs.
      if (vaults && reply.statusCode === 404 && request.method === 'GET' && (reply.body as VaultAnswer).data) reply.statusCode = 200;
      if (reply.statusCode === 429 && reply.retryAfter !== undefined)
        reply.body = { ...(reply.body as object), retryAfter: reply.retryAfter };
      return reply;
    });
  }

  #faultOf(error: unknown, path: string, json: unknown, options: CallOptions): VaultFault {
    const { statusCode: status, body } = (error as { response?: { statusCode: number; body: unknown } }).response ?? {
      statusCode: 0,
      body: undefined,
    };
    if (status === 0) return new VaultFault('unreachable', 'Vault cannot be reached');
    const { errors, retryAfter } = (body ?? {}) as { errors?: unknown; retryAfter?: unknown };
    const notVaults = isSomebodyElses(status, body);
    const messages = textsOf(errors);
    const heard = notVaults ? [NOT_VAULTS] : status !== 404 || Array.isArray(errors) ? messages : [explanationOf(body)];
    const said = scrub(heard.join('; '), [options.token, ...strings(json), ...strings(options.query)]);
    // "Not there" above all: what was to be deleted is there still, and what is to be made may be.
    const reason = notVaults ? 'unavailable' : reasonOfStatus(status, messages);
    const text = `Vault answered ${status} to ${path}${said ? `: ${said}` : ''}${reason === 'redirected' ? ' with a redirect, which is not followed: point VAULT_ADDR at the active node or a load balancer' : ''}`;
    const seconds = typeof retryAfter === 'string' ? Number.parseInt(retryAfter, 10) : Number.NaN;
    return new VaultFault(reason, text, {
      status,
      isEmpty: reason === 'not_found' && heard.length === 0,
      notVaults,
      ...(Number.isFinite(seconds) ? { retryAfter: seconds } : {}),
    });
  }
}

/** For Vault's audit, where `sys/config/auditing/request-headers` asks for them. */
function traceHeaders(): Record<string, string> | undefined {
  const span = currentSpan();
  return span === undefined ? undefined : headersOf(span);
}

function queryOf({ query, version }: CallOptions): string {
  const all = new URLSearchParams({ ...query, ...(version === undefined ? {} : { version: String(version) }) }).toString();
  return all === '' ? '' : `?${all}`;
}

/** Worth another attempt at once. A time-out has already used up the caller's patience. */
const AT_ONCE: ReadonlySet<VaultFault['reason']> = new Set(['unreachable', 'unavailable']);

interface Shared {
  readonly transport: VaultTransport;
  readonly breaker: Breaker | undefined;
  readonly parts: ReadonlyMap<VaultPart, Breaker>;
}

function breakerOf({ onBreak, ...options }: VaultClientOptions): Breaker | undefined {
  if (onBreak === undefined) return undefined;
  return new Breaker({
    ...clockOf(options),
    // What the broker asks on its own account finds out.
    probed: true,
    weightOf: (error) => (unaskedOf(error) !== 'unanswered' ? 0 : (error as VaultFault).reason === 'timeout' ? 2 : 1),
    refusal: (retryAfter) => new VaultFault('not_asked', 'Vault has not answered lately; it is asked again by and by', { retryAfter }),
    onChange: onBreak,
  });
}

/** Only what keeps clients waiting opens one: an error that comes at once may be that of one tenant's document. */
function partsOf({ onBreak, ...options }: VaultClientOptions): ReadonlyMap<VaultPart, Breaker> {
  if (onBreak === undefined) return new Map();
  return new Map(
    (Object.keys(VAULT_PARTS) as VaultPart[]).map((part) => [
      part,
      new Breaker({
        ...clockOf(options),
        resetMs: 1_000,
        weightOf: (error) => (error instanceof VaultFault && error.reason === 'timeout' ? 2 : 0),
        refusal: (retryAfter) =>
          new VaultFault('not_asked', `Vault has not answered in time lately for ${VAULT_PARTS[part]}; it is asked again by and by`, {
            retryAfter,
          }),
        onChange: (open) => onBreak(open, part),
      }),
    ]),
  );
}

/** Whoever says so, it is so. */
const ANYBODYS: ReadonlySet<number> = new Set([413, 429]);

/** A proxy's refusal, which judges nothing that Vault was asked. */
function isSomebodyElses(status: number, body: unknown): boolean {
  return status >= 400 && status < 500 && !ANYBODYS.has(status) && !isVaults(status, body);
}

const NOT_VAULTS = "This answer is not Vault's: is VAULT_ADDR right?";

/** Of a 404 without `errors`: Vault has some with a warning or an error among the data. */
function explanationOf(body: unknown): string {
  const { warnings, data } = (body ?? {}) as { warnings?: unknown; data?: { error?: unknown } | null };
  return textsOf([...textsOf(warnings), data?.error])[0] ?? 'without a reason';
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}

/** Takes out of a message every value that was sent along: Vault quotes input in some of its errors. */
function scrub(text: string, sent: readonly (string | undefined)[]): string {
  let clean = text;
  for (const value of sent) if (value && value.length >= 4) clean = clean.replaceAll(value, '[redacted]');
  return clean.slice(0, 500);
}

function strings(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (value === null || typeof value !== 'object') return [];
  return Object.values(value).flatMap(strings);
}
