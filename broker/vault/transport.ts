import { readFileSync } from 'node:fs';
import { Pool, ProxyAgent } from 'undici';
import type { Dispatcher } from 'undici';
import { clockOf } from '#broker/clock.ts';
import { ClockDifference } from '#broker/clock-difference.ts';
import { PosternError } from '#broker/error.ts';
import { isLoopback } from '#broker/loopback.ts';
import { certificatesOf } from '#broker/pem.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { ActiveNode } from './active-node.ts';
import type { NodeVaultRequest, NodeVaultResponse } from './node-vault.ts';

/** What Vault's own CLI lets its environment say about TLS. */
export interface VaultTls {
  /** PEM of the CAs to trust in place of the system's, where they aren't one file. */
  readonly authorities?: string | undefined;
  /** The name that Vault's certificate is for, where that isn't the address's host. */
  readonly serverName?: string | undefined;
  /** Whoever answers is believed. */
  readonly unverified?: boolean | undefined;
  /** PEM of what this client shows to Vault: certificates and private key. */
  readonly client?: { readonly cert: string; readonly key: string } | undefined;
}

export interface TransportOptions {
  /** Origin of Vault, e.g. `https://vault.example.com:8200`. */
  address: string;
  /** PEM file with the CA to trust, in place of the system's. */
  caFile?: string | undefined;
  /** More about the connection's TLS, for people; a broker has no such setting. */
  tls?: VaultTls | undefined;
  /** http or https URL of a proxy, reached by CONNECT. An address on loopback is reached without. */
  proxy?: string | undefined;
  /** Deadline of one attempt, ms. */
  timeoutMs: number;
  /** The same of a list, ms; never less. Default 30,000. */
  listTimeoutMs?: number | undefined;
  /** Most sockets open to Vault at once. */
  connections: number;
}

/** Bytes of an answer. A LIST has a limit of its own, since all of a mount may be in it: 64 MiB are some 900,000 digests. */
const MAX_BODY = 4 * 1024 * 1024;
const MAX_LIST = 64 * 1024 * 1024;
/** Vault takes seconds to put a long list together, ms. */
const LIST_TIMEOUT = 30_000;
/** HTTP is of this process alone: no simulation has it in its hand. */
const CLOCK = clockOf({});
/** Sockets for lists, so that no long one holds up a login. */
const LISTS = 4;

/** What carries requests to Vault. */
export interface VaultTransport {
  /** Requests sent since the start. */
  readonly requests: number;
  /** Vault's clock beside ours. */
  readonly clock: ClockDifference;
  /** PEM of the CA that is trusted in place of the system's. */
  readonly authorities: string | undefined;
  trust(pem: string): void;
  /** @throws {VaultFault} */
  request(options: NodeVaultRequest): Promise<NodeVaultResponse>;
  close(): Promise<void>;
}

/**
 * The HTTP transport under node-vault, in place of its axios: keep-alive pool, deadline, **no
 * redirects** (axios follows them and sends X-Vault-Token along, to other origins too), and errors
 * that hold neither headers nor bodies.
 */
export class Transport implements VaultTransport {
  /** Requests sent since the start. */
  requests = 0;
  /** Vault's clock beside ours. */
  readonly clock = new ClockDifference();
  readonly #activeNode = new ActiveNode();
  readonly #origin: string;
  readonly #timeoutMs: number;
  readonly #listTimeoutMs: number;
  readonly #make: (authorities: string | undefined) => Dispatchers;
  #dispatchers: Dispatchers;
  /** PEM of the CA that is trusted in place of the system's; undefined: the system's. */
  #authorities: string | undefined;

  /** @throws what reading the CA file does; {PosternError} misconfigured where it holds no certificate */
  constructor(options: TransportOptions) {
    this.#timeoutMs = options.timeoutMs;
    this.#listTimeoutMs = Math.max(options.listTimeoutMs ?? LIST_TIMEOUT, options.timeoutMs);
    const { origin } = new URL(options.address);
    this.#origin = origin;
    const { timeoutMs, tls = {} } = options;
    const uri = options.proxy === undefined || isLoopback(new URL(options.address)) ? undefined : options.proxy;
    const dispatcher = (limits: Pool.Options, ca: string | undefined): Dispatcher => {
      const connect = {
        timeout: timeoutMs,
        ...(ca === undefined ? {} : { ca }),
        ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
        ...(tls.unverified === true ? { rejectUnauthorized: false } : {}),
        ...tls.client,
      };
      const settings = { ...limits, pipelining: 1, keepAliveTimeout: 30_000 };
      // By CONNECT for http too, since not every proxy forwards Vault's method LIST.
      return uri === undefined
        ? new Pool(origin, { ...settings, connect })
        : new ProxyAgent({ ...settings, uri, proxyTunnel: true, requestTls: connect, connectTimeout: timeoutMs });
    };
    const long = this.#listTimeoutMs;
    this.#make = (ca) => ({
      pool: dispatcher(
        { connections: options.connections, maxResponseSize: MAX_BODY, headersTimeout: timeoutMs, bodyTimeout: timeoutMs },
        ca,
      ),
      lists: dispatcher({ connections: LISTS, maxResponseSize: MAX_LIST, headersTimeout: long, bodyTimeout: long }, ca),
    });
    this.#authorities = options.caFile ? readCa(options.caFile) : tls.authorities;
    this.#dispatchers = this.#make(this.#authorities);
  }

  get authorities(): string | undefined {
    return this.#authorities;
  }

  /** From here on this CA is trusted, in place of the one before. Calls in flight end as they began. @param pem its certificates */
  trust(pem: string): void {
    const before = this.#dispatchers;
    this.#authorities = pem;
    this.#dispatchers = this.#make(pem);
    void closeBoth(before).catch(() => {});
  }

  async request(options: NodeVaultRequest): Promise<NodeVaultResponse> {
    this.requests++;
    const url = new URL(options.uri);
    const path = url.pathname + url.search;
    const isList = options.method === 'LIST';
    // Not AbortSignal.timeout, whose timers and signals stay for all of their time after the answer came.
    const deadline = new AbortController();
    const late = isList && !options.quick ? this.#listTimeoutMs : this.#timeoutMs;
    const cancel = CLOCK.after(late, () => deadline.abort(new DOMException('late', 'TimeoutError')));
    const sent = options.json === undefined ? null : JSON.stringify(options.json);
    const begun = performance.now();
    try {
      const reply = await (isList ? this.#dispatchers.lists : this.#dispatchers.pool).request({
        origin: this.#origin,
        path,
        method: options.method as 'GET',
        headers: {
          ...options.headers,
          ...this.#activeNode.headers,
          'X-Vault-Request': 'true',
          ...(sent === null ? {} : { 'Content-Type': 'application/json' }),
        },
        body: sent,
        signal: options.signal ? AbortSignal.any([deadline.signal, options.signal]) : deadline.signal,
      });
      const { date, 'retry-after': retryAfter, 'x-vault-index': index } = reply.headers;
      this.#activeNode.hear(index);
      const text = await reply.body.text();
      const body = parseJson(text);
      // A proxy that has lost Vault tells its own time.
      if (isVaults(reply.statusCode, body)) this.clock.observe(typeof date === 'string' ? date : undefined, performance.now() - begun);
      return {
        statusCode: reply.statusCode,
        body,
        garbled: body === undefined && text !== '',
        request: { path: url.pathname },
        retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
      };
    } catch (error) {
      throw faultOf(error);
    } finally {
      cancel();
    }
  }

  /** Waits for what is in flight, but for no longer than an attempt may take: a long list is broken off. */
  async close(): Promise<void> {
    const dispatchers = this.#dispatchers;
    const late = Promise.withResolvers<void>();
    const cancel = CLOCK.after(this.#timeoutMs, () => late.resolve());
    await Promise.race([closeBoth(dispatchers), late.promise]);
    cancel();
    await Promise.all([dispatchers.pool.destroy(), dispatchers.lists.destroy()]);
  }
}

interface Dispatchers {
  readonly pool: Dispatcher;
  readonly lists: Dispatcher;
}

async function closeBoth({ pool, lists }: Dispatchers): Promise<void> {
  await Promise.all([pool.close(), lists.close()]);
}

function readCa(file: string): string {
  const ca = certificatesOf(readFileSync(file, 'utf8'));
  if (ca === '') throw new PosternError('misconfigured', 'The CA file holds no certificate (PEM)', { detail: 'See VAULT_CACERT.' });
  return ca;
}

/**
 * Whether an answer is surely Vault's, not a proxy's before it: what Vault gives is JSON with its `request_id`, also where that is empty
 * (wrapped) or a 404 has data or a warning. A failure has `errors` instead, which are texts; what tells of the node itself has neither.
 */
export function isVaults(status: number, body: unknown): boolean {
  if (typeof body !== 'object' || body === null) return status === 204;
  const { request_id: id, errors, initialized, ha_enabled: leads } = body as Record<string, unknown>;
  if (typeof id === 'string' || typeof initialized === 'boolean' || typeof leads === 'boolean') return true;
  return status >= 400 && Array.isArray(errors) && errors.every((one) => typeof one === 'string');
}

function parseJson(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // A proxy's HTML page, say. Its text is of no use and may be anything.
    return undefined;
  }
}

/** Only the error's code is taken over. */
function faultOf(error: unknown): VaultFault {
  const { name, code } = error as { name?: string; code?: string };
  if (
    name === 'TimeoutError' ||
    name === 'AbortError' ||
    code === 'UND_ERR_HEADERS_TIMEOUT' ||
    code === 'UND_ERR_BODY_TIMEOUT' ||
    code === 'UND_ERR_CONNECT_TIMEOUT'
  ) {
    return new VaultFault('timeout', 'Vault did not answer in time');
  }
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return new VaultFault('too_large', 'The answer of Vault is longer than can be taken');
  return new VaultFault('unreachable', `Vault cannot be reached (${typeof code === 'string' ? code : 'connection failed'})`, { code });
}
