import { calculateJwkThumbprint, exportJWK, importSPKI } from 'jose';
import type { JWK, JSONWebKeySet } from 'jose';
import { z } from 'zod';
import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import { PosternError } from '#broker/error.ts';
import type { KeySet } from '#broker/token/keyset.ts';
import type { VaultClient } from '#broker/vault/client.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import type { VaultSession } from '#broker/vault/session.ts';
import { asUnavailable } from '#broker/vault/unavailable.ts';

/** `GET transit/keys/:name` (Vault "Transit secrets engine", HTTP API). */
const answer = z.object({
  type: z.string(),
  min_decryption_version: z.number(),
  min_encryption_version: z.number(),
  keys: z.record(
    z.string(),
    z.object({ creation_time: z.string().refine((time) => !Number.isNaN(Date.parse(time))), public_key: z.string() }),
  ),
});

export interface KeyVersion {
  readonly version: number;
  readonly kid: string;
  readonly jwk: JWK;
  /** ms since 1970 */
  readonly createdAt: number;
}

export interface TransitKeysOptions extends Clocks {
  client: VaultClient;
  session: VaultSession;
  mount: string;
  key: string;
  /** How long verifiers may keep the key set, ms. */
  jwksMaxAgeMs: number;
  onError?: (error: unknown) => void;
}

/** Between two reads that nobody waits for, ms: Vault may be away. */
const UNASKED = 1_000;
/** Between two reads for those who ask for the key set, ms: anybody may. */
const ASKED = 100;
/** Longer than that nobody waits for a set of this moment where an older one is known, ms. */
const PATIENCE = 1_000;

interface Versions {
  readonly all: readonly KeyVersion[];
  readonly kids: ReadonlySet<string>;
  readonly minSigning: number;
  readonly readAt: number;
}

/**
 * The versions of the transit key. After a rotation the new version is published at once, and signs
 * only when twice the key set's age has passed, so that every verifier has it by then. Every replica
 * finds the same version from its creation time, without talking to the others. An operator who must
 * not wait raises `min_encryption_version`.
 */
export class TransitKeys implements KeySet {
  readonly #options: TransitKeysOptions;
  readonly #clock: Clock;
  #versions: Versions | undefined;
  #reading: Promise<Versions> | undefined;
  /** One that begins only now or later. */
  #upcoming: Promise<Versions> | undefined;
  /** When one was last begun for those who ask, by the monotonic clock, ms. */
  #askedAt = -Infinity;
  /** When one has failed, by the monotonic clock, ms. */
  #failedAt = -Infinity;
  /** When it was last read unasked, by the monotonic clock, ms. */
  #lookedAt = -Infinity;
  readonly #jwks = new Map<string, { kid: string; jwk: JWK }>();

  constructor(options: TransitKeysOptions) {
    this.#options = options;
    this.#clock = clockOf(options);
  }

  get known(): number | undefined {
    return this.#versions?.all.length;
  }

  /** @throws {PosternError} temporarily_unavailable, misconfigured */
  async jwks(): Promise<JSONWebKeySet> {
    return setOf(await this.#current());
  }

  /**
   * Read from Vault after it was asked for: another replica may sign by a version that Vault has had for a moment, and a verifier that
   * finds no such key here doesn't come back for half a minute. What is known is good enough while Vault is away or slow.
   *
   * @throws {PosternError} temporarily_unavailable, misconfigured, before it was ever read
   */
  async published(): Promise<JSONWebKeySet> {
    const known = this.#versions;
    if (known === undefined) return setOf(await this.#readAnew());
    if (this.#clock.monotonic() - this.#failedAt <= UNASKED) return setOf(known);
    const over = new AbortController();
    const late = this.#clock.sleep(PATIENCE, { signal: over.signal, idle: true }).catch(() => {});
    const read = this.#readAnew().catch(() => {});
    await Promise.race([read, late]);
    over.abort();
    return setOf(this.#versions ?? known);
  }

  /** The version to sign with now. @throws {PosternError} */
  async signing(): Promise<KeyVersion> {
    const { all, minSigning } = await this.#current();
    const may = all.filter(({ version }) => version >= minSigning);
    const published = may.filter(({ createdAt }) => createdAt + 2 * this.#options.jwksMaxAgeMs <= this.#clock.now());
    const version = published.at(-1) ?? may[0];
    if (version === undefined)
      throw new PosternError('misconfigured', 'Service temporarily unavailable', {
        detail: `transit key ${this.#options.key} has no version that may sign`,
      });
    return version;
  }

  has(kid: string): boolean {
    const versions = this.#versions;
    if (versions === undefined || this.#clock.monotonic() - versions.readAt > this.#fresh) this.#behind(versions);
    return versions === undefined || versions.kids.has(kid);
  }

  /** Reads them again, and nobody waits for it. */
  #behind<T extends Versions | undefined>(versions: T): T {
    const now = this.#clock.monotonic();
    if (now - this.#lookedAt > UNASKED) {
      this.#lookedAt = now;
      this.#read().catch((error: unknown) => this.#options.onError?.(error));
    }
    return versions;
  }

  /** For how long they are gone by without another look, ms. */
  get #fresh(): number {
    return Math.min(30_000, this.#options.jwksMaxAgeMs / 2);
  }

  /** The next reader asks Vault again. */
  expire(): void {
    if (this.#versions) this.#versions = { ...this.#versions, readAt: -Infinity };
    this.#failedAt = -Infinity;
  }

  #current(): Versions | Promise<Versions> {
    const versions = this.#versions;
    if (versions === undefined) return this.#read();
    const age = this.#clock.monotonic() - versions.readAt;
    const fresh = this.#fresh;
    if (age <= fresh) return versions;
    // Who signs or introspects doesn't wait for one that failed last time: old keys are better than none.
    if (this.#failedAt > versions.readAt) return this.#behind(versions);
    if (age <= 2 * fresh) {
      this.#read().catch((error: unknown) => this.#options.onError?.(error));
      return versions;
    }
    // Too old to hand out unseen, unless Vault is away.
    return this.#read().catch((error: unknown) => {
      this.#options.onError?.(error);
      return versions;
    });
  }

  /** One that is under way may have been answered before the question. */
  #readAnew(): Promise<Versions> {
    this.#upcoming ??= this.#due().then(async () => {
      // Whoever asks from here on waits for the next.
      this.#upcoming = undefined;
      this.#askedAt = this.#clock.monotonic();
      return this.#read().catch((error: unknown) => {
        this.#options.onError?.(error);
        throw error;
      });
    });
    return this.#upcoming;
  }

  async #due(): Promise<void> {
    await this.#reading?.catch(() => {});
    const wait = this.#askedAt + ASKED - this.#clock.monotonic();
    if (wait <= 0) return;
    await this.#clock.sleep(wait, { idle: true });
    await this.#reading?.catch(() => {});
  }

  #read(): Promise<Versions> {
    this.#reading ??= this.#readNow()
      .catch((error: unknown) => {
        this.#failedAt = this.#clock.monotonic();
        throw error;
      })
      .finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #readNow(): Promise<Versions> {
    const { client, session, mount, key } = this.#options;
    const found = await session
      .use((token) => client.read(`${mount}/keys/${key}`, { token, part: 'signing' }))
      .catch((error: unknown) => {
        throw asUnavailable(error);
      });
    const noKey = (): never => {
      throw new PosternError('misconfigured', 'Service temporarily unavailable', {
        detail: `${mount}/keys/${key} in Vault is not an RSA key: run terraform apply`,
      });
    };
    const parsed = answer.safeParse(found?.data);
    if (!parsed.success || !parsed.data.type.startsWith('rsa-')) return noKey();
    const { keys, min_encryption_version: minSigning } = parsed.data;
    const all = await Promise.all(
      Object.entries(keys).map(([version, { creation_time: created, public_key: pem }]) => this.#version(Number(version), created, pem)),
    ).catch(noKey);
    const kids = new Set(all.map(({ kid }) => kid));
    this.#versions = { all: all.sort((a, b) => a.version - b.version), kids, minSigning, readAt: this.#clock.monotonic() };
    return this.#versions;
  }

  async #version(version: number, created: string, pem: string): Promise<KeyVersion> {
    let known = this.#jwks.get(pem);
    if (known === undefined) {
      const jwk = await exportJWK(await importSPKI(pem, 'RS256', { extractable: true }));
      // The thumbprint (RFC 7638) names the key itself: a key made anew under the same name has another kid.
      const kid = await calculateJwkThumbprint(jwk);
      known = { kid, jwk: { ...jwk, kid, alg: 'RS256', use: 'sig' } };
      this.#jwks.set(pem, known);
    }
    return { version, ...known, createdAt: Date.parse(created) };
  }
}

const setOf = ({ all }: Versions): JSONWebKeySet => ({ keys: all.map(({ jwk }) => jwk) });

/** The signature in a `transit/sign` answer, base64url (marshaling_algorithm=jws). @throws {VaultFault} */
export function signatureOf(data: Record<string, unknown> | null | undefined, version: number): string {
  const signature = data?.['signature'];
  const prefix = `vault:v${version}:`;
  if (typeof signature !== 'string' || !signature.startsWith(prefix))
    throw new VaultFault('unavailable', 'Vault transit answered without a signature of the version asked for');
  return signature.slice(prefix.length);
}
