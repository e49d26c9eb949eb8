import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { compactVerify, createLocalJWKSet, errors } from 'jose';
import type { JSONWebKeySet, JWK } from 'jose';
import { z } from 'zod';
import { BoundedMap } from '#broker/bounded-map.ts';
import { monotonicOf } from '#broker/clock.ts';
import type { Clocks } from '#broker/clock.ts';
import type { IssuerKeys } from '#broker/credential/trusts.ts';
import type { KeySource } from '#broker/credential/trust.ts';
import { TRUST_ALGORITHMS } from '#broker/credential/trusted-token.ts';
import type { TrustedToken } from '#broker/credential/trusted-token.ts';
import { PosternError } from '#broker/error.ts';
import { FetchFault, fetchJson } from './fetch.ts';
import type { FetchOptions } from './fetch.ts';

/** How old fetched keys may get, ms. */
const MAX_AGE = 600_000;
/** Keys that can't be fetched again serve so long, ms: an issuer that is away for an hour keeps nobody out. */
const MAX_STALE = 3_600_000;
/** An unknown kid has the keys of its issuer fetched again, but at most so often; so does a fetch that failed, ms. */
const COOLDOWN = 30_000;
/** Bytes of a discovery document or key set. */
const MAX_BYTES = 262_144;
/** Keys of one set. Azure has some 20. */
const MAX_KEYS = 100;

const discovery = z.object({ issuer: z.string(), jwks_uri: z.string().max(2048) });
const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(MAX_KEYS) });

export interface FetchedKeysOptions extends Clocks {
  privateHosts?: readonly string[];
  /** Of one fetch, ms. Default 5,000. */
  timeoutMs?: number;
  /** Most issuers remembered. Default 1,000. */
  max?: number;
  fetchJson?: (address: string, options: FetchOptions) => Promise<unknown>;
}

interface Entry {
  set: JSONWebKeySet | undefined;
  /** ms of the monotonic clock; of the last try, and of the last that went well. */
  triedAt: number;
  readAt: number;
  fault: string;
  fetching: Promise<void> | undefined;
}

/** Issuers' public keys: by discovery (OpenID Connect Discovery 1.0 §4), from a key set, or as a trust holds them itself. */
export class FetchedKeys implements IssuerKeys {
  /** Fetches since the start. */
  fetches = 0;
  readonly #options: FetchedKeysOptions;
  readonly #monotonic: () => number;
  readonly #entries: BoundedMap<string, Entry>;

  constructor(options: FetchedKeysOptions = {}) {
    this.#options = options;
    this.#monotonic = monotonicOf(options);
    this.#entries = new BoundedMap(options.max ?? 1_000);
  }

  async verify(source: KeySource, token: TrustedToken): Promise<boolean> {
    if (source.keys !== undefined) {
      for (const pem of source.keys) if (await isSignedBy(token, pinned(pem))) return true;
      return false;
    }
    const key = JSON.stringify([source.issuer, source.jwksUrl ?? null, source.caPem ?? null]);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { set: undefined, triedAt: -Infinity, readAt: -Infinity, fault: '', fetching: undefined };
      this.#entries.set(key, entry);
    }
    if (this.#monotonic() - entry.readAt >= MAX_AGE) await this.#fetch(entry, source);
    if (entry.set !== undefined && this.#monotonic() - entry.readAt < MAX_STALE) {
      const { readAt } = entry;
      if (await isSignedBy(token, createLocalJWKSet(entry.set))) return true;
      await this.#fetch(entry, source);
      return entry.readAt !== readAt && isSignedBy(token, createLocalJWKSet(entry.set));
    }
    throw new PosternError('temporarily_unavailable', "The keys of the token's issuer are not available", {
      detail: `keys of ${source.issuer}: ${entry.fault}`,
      retryAfter: Math.max(2, Math.ceil((entry.triedAt + COOLDOWN - this.#monotonic()) / 1000)),
    });
  }

  /** How many keys of a source could verify a token. @throws {PosternError} temporarily_unavailable */
  async count(source: KeySource): Promise<number> {
    if (source.keys !== undefined) return source.keys.filter((pem) => pinned(pem) !== undefined).length;
    try {
      return (await this.#fetchNow(source)).keys.length;
    } catch (error) {
      throw new PosternError('temporarily_unavailable', `The keys of ${source.issuer} can't be had: ${faultOf(error)}`);
    }
  }

  /** One at a time, and not again within the cool-down; never throws. */
  async #fetch(entry: Entry, source: KeySource): Promise<void> {
    if (entry.fetching === undefined) {
      if (this.#monotonic() - entry.triedAt < COOLDOWN) return;
      entry.triedAt = this.#monotonic();
      entry.fetching = this.#fetchNow(source)
        .then((set) => {
          entry.set = set;
          entry.readAt = this.#monotonic();
        })
        .catch((error: unknown) => {
          entry.fault = faultOf(error);
        })
        .finally(() => (entry.fetching = undefined));
    }
    await entry.fetching;
  }

  async #fetchNow(source: KeySource): Promise<JSONWebKeySet> {
    const options = {
      caPem: source.caPem,
      privateHosts: this.#options.privateHosts ?? [],
      timeoutMs: this.#options.timeoutMs ?? 5_000,
      maxBytes: MAX_BYTES,
    };
    const get = this.#options.fetchJson ?? fetchJson;
    this.fetches++;
    let url = source.jwksUrl;
    if (url === undefined) {
      const document = discovery.parse(await get(`${source.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, options));
      if (document.issuer !== source.issuer) throw new FetchFault('the discovery document is of another issuer');
      url = document.jwks_uri;
    }
    const { keys } = keySet.parse(await get(url, options));
    return { keys: keys.filter(({ kty }) => kty === 'RSA' || kty === 'EC').map(forSignatures) };
  }
}

function faultOf(error: unknown): string {
  return error instanceof FetchFault ? error.message : 'what was fetched is not a discovery document or key set';
}

/** SPIFFE (JWT-SVID §4) names its keys' use in a word of its own. */
function forSignatures({ use, ...key }: Record<string, unknown>): JWK {
  return (use === undefined || use === 'jwt-svid' ? key : { use, ...key }) as unknown as JWK;
}

function pinned(pem: string): KeyObject | undefined {
  try {
    return createPublicKey(pem);
  } catch {
    return undefined;
  }
}

/** Against one public key, or whichever of a set the token's kid and alg choose. */
async function isSignedBy(token: TrustedToken, key: KeyObject | ReturnType<typeof createLocalJWKSet> | undefined): Promise<boolean> {
  if (key === undefined) return false;
  const options = { algorithms: [...TRUST_ALGORITHMS] };
  try {
    if (typeof key === 'function') await compactVerify(token.reveal(), key, options);
    else await compactVerify(token.reveal(), key, options);
    return true;
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) return false;
    for await (const one of error)
      if (
        await compactVerify(token.reveal(), one, options).then(
          () => true,
          () => false,
        )
      )
        return true;
    return false;
  }
}
