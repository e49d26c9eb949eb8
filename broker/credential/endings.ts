import { monotonicOf } from '#broker/clock.ts';
import type { Clocks } from '#broker/clock.ts';
import type { Identity } from './identity.ts';
import { EVERYBODY, departureId } from './owner.ts';
import type { Owner } from './owner.ts';

/**
 * Something that ended, of one of five kinds:
 * `credential`: one credential, by its key id, credential id, or client_id (then with all that belongs to it) ·
 * `unnamed`: one of the tenant's secret_ids that have no id, so that Vault tokens of such, made before `at`, are void ·
 * `tokens`: every token that the tenant held at `at`, those of Vault and the access tokens ·
 * `issued`: only the access tokens, whose scopes may be more than the tenant has now ·
 * `owner`: every key of a person (see `departureId`) that was issued at `at` or before
 */
export interface Ending {
  readonly kind: 'credential' | 'unnamed' | 'tokens' | 'issued' | 'owner';
  /** The credential's id; otherwise the tenant again. */
  readonly id: string;
  readonly tenant: string;
  /** Seconds since 1970, by Vault's clock. */
  readonly at: number;
  /** When nothing that it ends can be alive any more; seconds since 1970. */
  readonly until: number;
}

/** What every replica reads each second. */
export interface RecentEndings {
  /** How many there ever were. */
  readonly serial: number;
  /** The latest, newest last. Those before were moved to the archive. */
  readonly recent: readonly Ending[];
  /** Ids of keys that have an end now, which brokers learn when they verify them anew: the latest of `serial`, newest last. */
  readonly rotated?: { readonly serial: number; readonly keys: readonly string[] } | undefined;
}

/** The port to where operators write them. A faulty document throws: nobody guesses that nothing has ended. */
export interface EndingReader {
  readRecent(): Promise<RecentEndings>;
  readArchive(): Promise<Ending[]>;
}

export interface EndingsOptions extends Clocks {
  reader: EndingReader;
  /** Told of each that is new. */
  onEnding?: (ending: Ending) => void;
  /** Told once each time the document counts backwards or is gone: Vault was restored from an older state. */
  onRestored?: (from: number, to: number) => void;
  /** Told of keys that must be verified anew; undefined: it isn't known which. */
  onRotated?: (keyIds: readonly string[] | undefined) => void;
  /** So late it is for sure, by which they are forgotten: no clock that went ahead makes one good again. ms since 1970. Default: now. */
  earliest?: (() => number) | undefined;
}

/** Between two looks for what may be forgotten, ms. */
const TIDY_EVERY = 60_000;

/** What has ended, as operators announced it. Nothing learnt is unlearnt before its time, whatever the document says later. */
export class Endings {
  readonly #options: EndingsOptions;
  readonly #earliest: () => number;
  readonly #monotonic: () => number;
  readonly #known = new Map<string, Ending>();
  /** Of kinds `tokens` and `issued`, by tenant: looked at by each request that is served from memory. */
  readonly #tokensEndedAt = new Map<string, number>();
  #serial: number | undefined;
  /** The one that {@link #serial} counts last. */
  #last: Ending | undefined;
  #rotated: number | undefined;
  #tidyAt = -Infinity;

  constructor(options: EndingsOptions) {
    this.#options = options;
    this.#earliest = options.earliest ?? options.now ?? Date.now;
    this.#monotonic = monotonicOf(options);
  }

  /** Learns what has ended since the last look; at the first one, all. @throws {PosternError} temporarily_unavailable */
  async look(): Promise<void> {
    const { serial, recent, rotated } = await this.#options.reader.readRecent();
    const known = this.#serial;
    for (const ending of recent) this.#learn(ending);
    const back = known !== undefined && (serial < known || !sameEnding(this.#last, recent[recent.length - 1 - (serial - known)]));
    const missed = known === undefined || back ? serial > recent.length : serial - known > recent.length;
    if (missed) for (const ending of await this.#options.reader.readArchive()) this.#learn(ending);
    // Only now: when the archive could not be read, the next look tries it again.
    this.#serial = serial;
    this.#last = recent.at(-1);
    if (back) this.#options.onRestored?.(known, serial);
    this.#lookAtRotated(rotated);
    this.#tidy();
  }

  /** At the first look nothing was verified before it. */
  #lookAtRotated({ serial, keys }: NonNullable<RecentEndings['rotated']> = { serial: 0, keys: [] }): void {
    const known = this.#rotated;
    this.#rotated = serial;
    if (known === undefined || known === serial) return;
    const fresh = serial - known;
    this.#options.onRotated?.(fresh > 0 && fresh <= keys.length ? keys.slice(-fresh) : undefined);
  }

  /** Whether the credential behind it, or the Vault token that it lends, was ended. */
  includes({ tenant, clientId, keyId, credentialId, createdAt, lent, owner }: Identity): boolean {
    if (this.#known.size === 0) return false;
    if (owner !== undefined && this.hasLeft(owner)) return true;
    for (const id of [keyId, credentialId, clientId]) if (id !== undefined && this.#known.has(keyOf('credential', id))) return true;
    // What a login of our own gave is newer than whatever was announced: its memory goes with each announcement.
    if (!lent) return false;
    const made = createdAt ?? 0;
    if (made <= (this.#known.get(keyOf('tokens', tenant))?.at ?? -Infinity)) return true;
    const unnamed = keyId === undefined && credentialId === undefined ? this.#known.get(keyOf('unnamed', tenant)) : undefined;
    return unnamed !== undefined && made <= unnamed.at;
  }

  /** Whether this person went after the key was issued: from everywhere, or from the key's organization. */
  hasLeft({ id, organization, since }: Owner): boolean {
    return this.#announcedSince([departureId(id), departureId(id, organization), departureId(EVERYBODY, organization)], since);
  }

  /** Whether this person went, or lost a permission, after their access token was issued: it says more than holds. */
  hasLeftSince({ id, organization, since }: Owner): boolean {
    return this.hasLeft({ id, organization, since }) || this.#announcedSince([departureId(id, organization, 'sessions')], since);
  }

  #announcedSince(names: readonly string[], since: number): boolean {
    return names.some((name) => since <= (this.#known.get(keyOf('owner', name))?.at ?? -Infinity));
  }

  /** When an ending of this kind and id is known: its `at`. Seconds since 1970. */
  knownAt(kind: Ending['kind'], id: string): number | undefined {
    return this.#known.get(keyOf(kind, id))?.at;
  }

  /** Whether this client_id is that of a tenant that was deleted. */
  includesClient(clientId: string): boolean {
    return this.#known.has(keyOf('credential', clientId));
  }

  /** Access tokens of the tenant that were issued at this second or before are void; -Infinity where none is. Seconds since 1970. */
  tokensEndedAt(tenant: string): number {
    return this.#tokensEndedAt.get(tenant) ?? -Infinity;
  }

  /** All that is known now. */
  all(): Ending[] {
    return [...this.#known.values()];
  }

  #learn(ending: Ending): void {
    const key = keyOf(ending.kind, ending.id);
    const known = this.#known.get(key);
    if (known !== undefined && known.at >= ending.at && known.until >= ending.until) return;
    if (ending.until <= this.#earliest() / 1000) return;
    const at = Math.max(known?.at ?? 0, ending.at);
    this.#known.set(key, { ...ending, at, until: Math.max(known?.until ?? 0, ending.until) });
    if (ofTokens(ending)) this.#tokensEndedAt.set(ending.tenant, Math.max(this.#tokensEndedAt.get(ending.tenant) ?? 0, at));
    this.#options.onEnding?.(ending);
  }

  #tidy(): void {
    if (this.#monotonic() < this.#tidyAt) return;
    this.#tidyAt = this.#monotonic() + TIDY_EVERY;
    const now = this.#earliest();
    for (const [key, ending] of this.#known) {
      if (ending.until * 1000 >= now) continue;
      this.#known.delete(key);
      // The other kind may go on; where its end is the earlier one, this only ends a little more.
      const other = keyOf(ending.kind === 'tokens' ? 'issued' : 'tokens', ending.tenant);
      if (ofTokens(ending) && !this.#known.has(other)) this.#tokensEndedAt.delete(ending.tenant);
    }
  }
}

function ofTokens({ kind }: Ending): boolean {
  return kind === 'tokens' || kind === 'issued';
}

function keyOf(kind: Ending['kind'], id: string): string {
  return `${kind} ${id}`;
}

/** Nothing is known of an ending that is no longer in the list. */
function sameEnding(one: Ending | undefined, other: Ending | undefined): boolean {
  if (one === undefined || other === undefined) return true;
  return one.kind === other.kind && one.id === other.id && one.at === other.at;
}
