import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import { PosternError } from '#broker/error.ts';
import type { Unasked } from '#broker/error.ts';
import { unaskedOf } from '#broker/vault-fault.ts';
import { Generations } from './generations.ts';
import type { VerifiedCredentials } from './verified-credentials.ts';

/** One announcement: something about a tenant changed. */
export interface Announcement {
  readonly epoch: number;
  readonly tenant: string;
  /** Undefined where an older operator's CLI wrote it. `replayed`: what a restore of Vault lost was done again. */
  readonly change?: 'changed' | 'disable' | 'enable' | 'replayed' | undefined;
  /** By the operator's clock, ms since 1970. Two announcements that have the same number differ in it. */
  readonly at?: number | undefined;
}

/** The document `state/epoch`: what operators announce to every replica. */
export interface Announcements {
  /** Counts up with every announcement. */
  readonly epoch: number;
  /** Tenants that get nothing until they are enabled again. */
  readonly disabled: readonly string[];
  /** The latest announcements, newest last; older ones fall off. */
  readonly recent: readonly Announcement[];
}

export const NO_ANNOUNCEMENTS: Announcements = { epoch: 0, disabled: [], recent: [] };

/** The port to where the announcements lie. */
export interface AnnouncementReader {
  readAnnouncements(): Promise<Announcements>;
}

/** What else the replicas share and must not miss. */
export interface Watched {
  /** Learns what is new. */
  look(): Promise<void>;
}

export interface AnnouncementWatchOptions extends Clocks {
  reader: AnnouncementReader;
  /** Looked at together with the announcements, and as fresh: while one of them is not known, nobody is served. */
  watched?: readonly Watched[];
  verified: Pick<VerifiedCredentials, 'forget' | 'forgetAll'>;
  /** Counted up with each change, so that whoever is waiting decides again. */
  generations?: Generations;
  /** Told of each tenant that is disabled from now on: what a replica holds of it goes. */
  onDisabled?: (tenant: string) => void;
  /** Who is disabled beside those announced: Terraform's catalogue. */
  alsoDisabled?: (tenant: string) => boolean;
  /** Time between two looks, ms. Default 1000: what is announced holds on every replica within 2 s. */
  intervalMs?: number;
  /** How long the last announcements read are gone by, ms. Default 60,000: longer than any verification is remembered. */
  staleMs?: number;
  /** How much longer than that they are gone by while Vault can't be asked, ms. Default 0: not at all. */
  graceMs?: number;
  onError?: (error: unknown) => void;
  /** Told of each look that failed at nothing. */
  onRead?: () => void;
  /** Told once each time the announcements go back: Vault was restored from an older state. */
  onRestored?: (restored: Restored) => void;
}

/** Announcements that go back. */
export interface Restored {
  /** The latest number known before, and the one read now. */
  readonly from: number;
  readonly to: number;
  /** Tenants known as disabled that the restored state doesn't know as such: they stay so here until they are enabled anew. */
  readonly held: readonly string[];
}

interface Look {
  /** `refused`: by Vault's judgement, or what is there can't be understood. */
  readonly ended: 'known' | 'refused' | Unasked;
  /** ms of the monotonic clock. */
  readonly begun: number;
}

/** Between two looks, ms. */
export const LOOK_MS = 1_000;
/** How often the watch takes note of the time, ms. */
const BEAT_MS = 250;
/** Noted so long ago, ms, this process stood still: with {@link LOOK_MS}, what is announced holds within 2 s. */
const OVERSLEPT_MS = 1_000;

/** Looks at the announcements, and at what else replicas share, each second; forgets the verifications of tenants that changed. */
export class AnnouncementWatch {
  readonly #options: AnnouncementWatchOptions;
  readonly #clock: Clock;
  readonly generations: Generations;
  #seen: Announcements | undefined;
  /** What is looked at, each on its own: one that isn't answered holds up no other. */
  readonly #sources: readonly (() => Promise<void>)[];
  /** When each of what is looked at was last known, the announcements first; ms of the monotonic clock. */
  readonly #readAts: number[];
  /** How the last look at each ended, and when it had begun. */
  readonly #looks: Look[];
  /** Whether Vault answers nothing at all. */
  #away = false;
  /** Where it was away: when it first answered again, ms of the monotonic clock. */
  #backAt: number | undefined;
  #disabled: ReadonlySet<string> = new Set();
  /** Disabled before Vault was restored to a state that doesn't say so. */
  readonly #held = new Set<string>();
  #restored: Restored | undefined;
  /** What was known before each time they went back, and is not among what Vault has now. */
  #lost: readonly Announcements[] = [];
  /** When the latest announcement known was made, ms since 1970. */
  #latest = 0;
  readonly #cancels: ((() => void) | undefined)[] = [];
  /** When the time was noted last, by the monotonic clock and by the wall clock, ms; never yet: Infinity. */
  #beat = { monotonic: Infinity, wall: Infinity };
  #cancelBeat: (() => void) | undefined;
  readonly #underWay: Promise<void>[] = [];
  #catchingUp: Promise<void> | undefined;
  #stopped = false;

  constructor(options: AnnouncementWatchOptions) {
    this.#options = options;
    this.#clock = clockOf(options);
    this.generations = options.generations ?? new Generations();
    const { reader, watched = [] } = options;
    this.#sources = [async () => this.#take(await reader.readAnnouncements()), ...watched.map((one) => () => one.look())];
    this.#readAts = this.#sources.map(() => -Infinity);
    this.#looks = this.#sources.map(() => ({ ended: 'refused', begun: -Infinity }));
  }

  /** What an operator must know though this replica serves; in words. */
  get warnings(): readonly string[] {
    if (this.#restored === undefined) return [];
    const { from, to, held } = this.#restored;
    return [
      `Vault was restored to an older state: announcements went back from ${from} to ${to}. This replica ` +
        `goes on refusing what it knows as ended (${held.length} disabled tenants that Vault no longer knows ` +
        'as such); one that starts now does not. See docs/restore.md, then: postern announce replayed',
    ];
  }

  /** Whether all was ever read: before that nobody knows who is disabled, or what is revoked. */
  get known(): boolean {
    return this.#readAt > -Infinity;
  }

  /** How long ago all was last known, ms; Infinity: never. */
  get age(): number {
    return this.#clock.monotonic() - this.#readAt;
  }

  /** Why one of them could not be read at the last look; undefined: all could. */
  get unread(): 'refused' | Unasked | undefined {
    const ends = this.#looks.map(({ ended }) => ended);
    return (['refused', 'throttled', 'unanswered'] as const).find((end) => ends.includes(end));
  }

  /** When all was last known; -Infinity: never. */
  get #readAt(): number {
    return Math.min(...this.#readAts);
  }

  /** Whether anybody is served: what is known is not too old. */
  get serves(): boolean {
    return this.age <= this.#patienceMs;
  }

  /**
   * Never asked is not refused: only while Vault doesn't answer is there more patience. What it doesn't answer yet after an outage is as
   * old as that, and has the usual time from there; together it is no more than while nothing was answered.
   */
  get #patienceMs(): number {
    const { staleMs = 60_000, graceMs = 0 } = this.#options;
    const longest = Math.max(staleMs, graceMs);
    if (this.#away) return longest;
    if (this.#backAt === undefined || this.unread !== 'unanswered') return staleMs;
    return Math.min(longest, Math.max(staleMs, this.#backAt + staleMs - this.#readAt));
  }

  /**
   * @throws {PosternError} temporarily_unavailable while no epoch is {@link known}, or none was read for long: nobody is served on a guess.
   */
  isDisabled(tenant: string): boolean {
    if (!this.known)
      throw new PosternError('temporarily_unavailable', 'Service temporarily unavailable', {
        detail: 'the announcements or what is watched with them were not read yet',
        retryAfter: 1,
      });
    if (this.age > this.#patienceMs) {
      throw new PosternError('temporarily_unavailable', 'Service temporarily unavailable', {
        detail: 'the announcements could not be read for too long: who was disabled, or what was ended or revoked meanwhile, is not known',
        retryAfter: 5,
      });
    }
    return this.#disabled.has(tenant) || this.#held.has(tenant) || this.#options.alsoDisabled?.(tenant) === true;
  }

  /** Looks once at each, then again every interval after that until {@link stop}. */
  async start(): Promise<void> {
    this.#note();
    this.#beatLater();
    await Promise.all(this.#sources.map((_, at) => this.#watch(at)));
  }

  /**
   * Where this process stood still, frozen or without a processor, requests that came meanwhile are handled before the looks that are
   * overdue, by what was known before: they must wait for this.
   * @returns undefined where no look is overdue
   */
  catchUp(): Promise<void> | undefined {
    if (this.#catchingUp !== undefined || this.#stopped) return this.#catchingUp;
    // While a machine sleeps its monotonic clock stops, and its wall clock is set when it wakes.
    const { monotonic, wall } = this.#beat;
    if (this.#clock.monotonic() - monotonic <= OVERSLEPT_MS && this.#clock.now() - wall <= OVERSLEPT_MS) return undefined;
    this.#note();
    const looks = this.#sources.map(async (_, at) => {
      // What is under way was asked before.
      while (this.#cancels[at] === undefined && !this.#stopped) await this.#underWay[at];
      if (this.#stopped) return;
      this.#cancels[at]?.();
      await this.#watch(at);
    });
    this.#catchingUp = Promise.all(looks).then(() => (this.#catchingUp = undefined));
    return this.#catchingUp;
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelBeat?.();
    for (const cancel of this.#cancels) cancel?.();
  }

  /** Looks once at each. */
  async look(): Promise<void> {
    await Promise.all(this.#sources.map((_, at) => this.#lookAt(at)));
  }

  #note(): void {
    this.#beat = { monotonic: this.#clock.monotonic(), wall: this.#clock.now() };
  }

  /** It may come late itself: then who comes after it waits as well. */
  #beatLater(): void {
    this.#cancelBeat = this.#clock.after(BEAT_MS, () => {
      void this.catchUp();
      this.#note();
      if (!this.#stopped) this.#beatLater();
    });
  }

  async #watch(at: number): Promise<void> {
    this.#cancels[at] = undefined;
    await (this.#underWay[at] = this.#lookAt(at));
    if (this.#stopped) return;
    // What was asked before Vault came back says nothing of now.
    const { begun, ended } = this.#looks[at]!;
    const late = ended === 'unanswered' && this.#backAt !== undefined && begun < this.#backAt;
    const pause = late ? 0 : (this.#options.intervalMs ?? LOOK_MS);
    // One that begins too late is waited for by who comes meanwhile, too. What is being caught up has done its part of this already.
    this.#cancels[at] = this.#clock.after(pause, () => {
      const caughtUp = this.#catchingUp === undefined ? this.catchUp() : undefined;
      void (caughtUp ?? this.#watch(at));
    });
  }

  async #lookAt(at: number): Promise<void> {
    const begun = this.#clock.monotonic();
    let failed: { readonly error: unknown } | undefined;
    try {
      await this.#sources[at]!();
      this.#readAts[at] = begun;
    } catch (error) {
      failed = { error };
    }
    this.#looks[at] = {
      begun,
      ended: failed === undefined ? 'known' : (unaskedOf(failed.error) ?? 'refused'),
    };
    this.#judge();
    if (failed !== undefined) this.#options.onError?.(failed.error);
    else if (this.#looks.every(({ ended }) => ended === 'known')) this.#options.onRead?.();
  }

  /**
   * Where one of them is answered Vault can be asked, and there is no patience for the others; but for what is asked already, and once
   * more.
   */
  #judge(): void {
    const unanswered = this.#looks.filter(({ ended }) => ended === 'unanswered');
    if (unanswered.length === this.#looks.length) {
      this.#away = true;
      this.#backAt = undefined;
    }
    if (!this.#away || unanswered.length === this.#looks.length) return;
    if (this.#backAt === undefined) {
      this.#backAt = this.#clock.monotonic();
      for (const [at, cancel] of this.#cancels.entries())
        if (cancel !== undefined) {
          cancel();
          void this.#watch(at);
        }
    }
    this.#away = unanswered.some(({ begun }) => begun < this.#backAt!);
  }

  #take(now: Announcements): void {
    const before = this.#seen;
    this.#seen = now;
    const { generations } = this;
    const wasDisabled = this.#disabled;
    this.#disabled = new Set(now.disabled);
    // Who is disabled may change without an announcement, when somebody writes the document by hand.
    for (const tenant of this.#disabled.symmetricDifference(wasDisabled)) generations.changed(tenant);
    for (const tenant of this.#disabled.difference(wasDisabled)) this.#options.onDisabled?.(tenant);
    if (before !== undefined && goesBack(before, now)) this.#hold(before, now);
    else if (now.epoch === before?.epoch) return;
    this.#regain(now);
    const news = now.recent.filter((change) => before !== undefined && change.epoch > before.epoch && change.epoch <= now.epoch);
    this.#release(before, now);
    // Every step from `before` to `now` must be accounted for, else something fell off the list. At the first look nothing is.
    const steps = new Set(news.map((change) => change.epoch)).size;
    if (before !== undefined && now.epoch > before.epoch && steps === now.epoch - before.epoch && !goesBack(before, now)) {
      for (const { tenant } of news) {
        this.#options.verified.forget(tenant);
        generations.changed(tenant);
      }
    } else {
      this.#options.verified.forgetAll();
      generations.allChanged();
    }
  }

  /** What was known as disabled stays so, though Vault has forgotten it. */
  #hold(before: Announcements, now: Announcements): void {
    for (const tenant of before.disabled) if (!now.disabled.includes(tenant)) this.#held.add(tenant);
    this.#lost = [...this.#lost, before];
    this.#restored = { from: before.epoch, to: now.epoch, held: [...this.#held] };
    this.#options.onRestored?.(this.#restored);
  }

  /** Where all is there again that was lost, nothing is: somebody else had answered, or a newer snapshot was restored. */
  #regain(now: Announcements): void {
    if (this.#restored === undefined) return;
    this.#lost = this.#lost.filter((lost) => !contains(now, lost));
    if (this.#lost.length > 0) return;
    this.#restored = undefined;
    this.#held.clear();
  }

  /** Only an announcement made after the restore takes back what is held: an older one may just have come back with it. */
  #release(before: Announcements | undefined, now: Announcements): void {
    if (before !== undefined) this.#latest = Math.max(this.#latest, ...before.recent.map(({ at = 0 }) => at));
    if (this.#restored === undefined) return;
    for (const { tenant, change, at = 0 } of now.recent) {
      if (at <= this.#latest) continue;
      if (change === 'enable') this.#held.delete(tenant);
      if (change === 'replayed') {
        this.#restored = undefined;
        this.#lost = [];
      }
    }
    if (this.#restored !== undefined) this.#restored = { ...this.#restored, held: [...this.#held] };
  }
}

/** Whether `now` has the latest of `before`, and with it all that led there. */
function contains(now: Announcements, before: Announcements): boolean {
  const latest = before.recent.findLast(({ epoch }) => epoch === before.epoch);
  return now.recent.some(
    ({ epoch, tenant, at }) => at !== undefined && epoch === latest?.epoch && tenant === latest.tenant && at === latest.at,
  );
}

/** Whether `now` does not continue `before`: a smaller number, or the same number for another announcement. */
function goesBack(before: Announcements, now: Announcements): boolean {
  if (now.epoch < before.epoch) return true;
  const numbered = new Map(now.recent.map((one) => [one.epoch, one]));
  return before.recent.some((one) => {
    const other = numbered.get(one.epoch);
    return other !== undefined && (other.tenant !== one.tenant || other.at !== one.at);
  });
}
