import dns from 'node:dns';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import { Agent, request } from 'undici';
import { isPublicAddress } from './public-address.ts';

export interface FetchOptions {
  /** Certificates that the server's is signed by; undefined: those that everybody trusts. */
  readonly caPem: string | undefined;
  /** Hosts that may lie at private addresses. */
  readonly privateHosts: readonly string[];
  /** For all of it, ms. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** Resolves a name. */
  readonly resolve?: typeof dns.lookup;
}

/** Why something was not fetched. Holds nothing that the other side said. */
export class FetchFault extends Error {
  override readonly name = 'FetchFault';
}

/**
 * GETs a JSON document that a trust names: https, no redirect, bounded in size and time, and only from public addresses. The addresses are
 * looked at as the connection is made to one of them, so that a name can't answer differently in between (DNS rebinding).
 * @throws {FetchFault}
 */
export async function fetchJson(address: string, options: FetchOptions): Promise<unknown> {
  const url = targetOf(address, options.privateHosts);
  const agent = new Agent({
    connect: {
      lookup: guarded(url.hostname, options),
      timeout: options.timeoutMs,
      ...(options.caPem === undefined ? {} : { ca: options.caPem }),
    },
    headersTimeout: options.timeoutMs,
    bodyTimeout: options.timeoutMs,
    maxHeaderSize: 16_384,
    maxResponseSize: options.maxBytes,
    pipelining: 0,
  });
  try {
    const { statusCode, body } = await request(url, {
      dispatcher: agent,
      headers: { accept: 'application/json' },
      signal: AbortSignal.timeout(options.timeoutMs),
    });
    if (statusCode !== 200) throw new FetchFault(`${url.origin} answered ${statusCode}`);
    return await body.json();
  } catch (error) {
    if (error instanceof FetchFault) throw error;
    throw new FetchFault(`${url.origin}: ${reasonOf(error)}`);
  } finally {
    void agent.destroy().catch(() => {});
  }
}

/** @throws {FetchFault} */
function targetOf(address: string, privateHosts: readonly string[]): URL {
  if (!URL.canParse(address)) throw new FetchFault('not an address');
  const url = new URL(address);
  if (url.protocol !== 'https:') throw new FetchFault('not https');
  if (url.username !== '' || url.password !== '') throw new FetchFault('has a user name');
  // An address is connected to without being looked up.
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0 && !privateHosts.includes(host) && !isPublicAddress(host)) throw new FetchFault(PRIVATE);
  return url;
}

const PRIVATE = 'lies at an address that is not public: name its host in POSTERN_TRUST_PRIVATE_HOSTS if it should';

function guarded(host: string, { privateHosts, resolve = dns.lookup }: FetchOptions): LookupFunction {
  return (name, options, done) => {
    resolve(name, { ...options, all: true }, (error, found) => {
      const addresses = Array.isArray(found) ? found : [];
      if (error) return done(error, '', 0);
      // One that isn't public among others is no accident.
      if (!privateHosts.includes(host) && !addresses.every(({ address }) => isPublicAddress(address)))
        return done(new FetchFault(PRIVATE), '', 0);
      if (options.all === true) return done(null, addresses);
      const [first] = addresses;
      return first === undefined ? done(new FetchFault('has no address'), '', 0) : done(null, first.address, first.family);
    });
  };
}

/** What Node and undici throw may hold more than a log should. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && error.cause instanceof FetchFault) return error.cause.message;
  if (error instanceof Error && error.name === 'TimeoutError') return 'took too long';
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : error instanceof SyntaxError ? 'no JSON' : 'failed';
}
