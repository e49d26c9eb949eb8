import { createHash } from 'node:crypto';
import { PosternError } from '#broker/error.ts';
import type { Minted } from './auth0.ts';
import { TENANT_CLAIM } from './auth0.ts';
import { claimsOf } from './crypto.ts';
import type { Issued } from './operators.ts';
import type { Settings } from './plan.ts';
import type { Commit } from './vault.ts';
import { EPOCH } from './timeline.ts';
import { LATEST, STATE } from './wire.ts';
import type { World } from './world.ts';

/** Something that must never be. */
export interface Violation {
  /** Which rule, in a word: a history is made shorter as long as it breaks the same one. */
  readonly rule: string;
  readonly text: string;
}

/** A request of a client. */
export interface Ask {
  readonly replica: number;
  readonly credential: Issued;
  readonly audience: string;
  readonly scope: string | undefined;
  readonly begun: number;
  /** Names the broker's process. */
  readonly process: string;
  /** Whether the lease of the token wanted was this very process's own as the request came. */
  ownLease?: boolean;
}

/** What is announced holds on each replica so long after it reached Vault, ms. */
const ANNOUNCED_WITHIN = 2_000;
/** A replica that could not reach Vault has a login and a first look behind it so long after it can again, ms. */
const RECOVERS_WITHIN = 8_000;
/** So long after the last that was broken nothing of it is left, ms. */
const FORGOTTEN_WITHIN = 20_000;
/** So long after something of a tenant changed, nothing of that is under way any more, ms. */
const SETTLED_WITHIN = 10_000;
const ENDS_WITHIN = 60_000;
/** Longer than it takes to ask Auth0, ms. */
const OWN_LEASE = 4_000;
/** Of a lease, ms; and by how much two machines' ideas of its age may differ where both go by Vault's clock, which tells seconds. */
const LEASE = 10_000;
const TOLERANCE = 2_500;
/** The same where Vault is slow: what it says of its clock is as vague as the reply took, which is a time-out at most. */
const TOLERANCE_SLOW = 4_500;

/** On announcements that were read longer ago nobody is served, unless Vault doesn't answer, ms. */
const STALE = 60_000;
/** By how much a clock may be behind Auth0's, ms. */
const BEHIND = 30_000;
/** A look each second, ms. */
const LOOKS = 2_500;

interface Ended {
  readonly kind: string;
  readonly id: string;
  readonly tenant: string;
  readonly at: number;
  /** When it reached Vault, ms of the timeline. */
  readonly known: number;
}

function nameOf({ process, credential, audience, scope = '' }: Ask): string {
  return `${process} ${credential.id} ${audience} ${scope}`;
}

/** Whether the tenant's access tokens ended with it. */
function ofTokens({ kind }: Ended): boolean {
  return kind === 'tokens' || kind === 'issued';
}

/** Seconds that are left at least of a token that is served. */
function leastOf(life: number, { remaining }: Settings): number {
  return Math.min(remaining, life / 2);
}

function apiOf(audience: string): string {
  return audience.replace(/^https:\/\/([^.]+)\..*$/, '$1');
}

/** Watches everything, and knows what must hold. Its knowledge is Vault's alone, not that of any broker. */
export class Judge {
  readonly #world: World;
  readonly #tell: (violation: Violation) => void;
  readonly #disabled = new Map<string, number>();
  /** The same by Terraform's catalogue. */
  readonly #shut = new Map<string, number>();
  readonly #ended: Ended[] = [];
  readonly #revoked = new Map<string, number>();
  /** Those that a client wanted to take back: who was asked obeys, though Vault was away and nothing says so. */
  readonly #takenBack = new Set<string>();
  /** tenant -> API's scopes as they were announced, the newest last. */
  readonly #granted = new Map<string, { readonly scopes: ReadonlySet<string>; readonly from: number; until: number }[]>();
  readonly #written = new Map<string, ReadonlySet<string>>();
  /** When something of a tenant was changed last. */
  readonly #changed = new Map<string, number>();
  readonly #seen = new Set<string>();
  readonly #leases = new Map<string, { holder: string; until: number; since: number }>();
  /** process, tenant and audience -> leases taken and not yet used; whether a good token lay there. */
  readonly #entitled = new Map<string, { fresh: boolean }[]>();
  /** path -> when its deletion was broken off last, ms. */
  readonly #halves = new Map<string, number>();
  /** Places of tokens that were written while something was broken: who wrote one may not know that Vault did it after all. */
  readonly #unanswered = new Set<string>();
  /** path -> when an operator took away what lay there last, ms. */
  readonly #cleared = new Map<string, number>();
  readonly #minted = new Map<string, { at: number; iat: number; exp: number; vain: boolean }>();
  /** process -> while it may ask Auth0 for no token, ms. */
  readonly #pauses = new Map<string, { readonly from: number; readonly until: number }>();
  /** process, credential and what it asked for -> what it was served last. */
  readonly #served = new Map<string, { readonly at: number; readonly iat: number; readonly exp: number }>();
  /** Taken back at a process that could not tell Vault at once: it has to obey all the same, and to tell Vault later. */
  #owed: readonly { readonly token: string; readonly process: string; readonly at: number }[] = [];
  /** Tokens made at Auth0. */
  mints = 0;

  constructor(world: World, tell: (violation: Violation) => void) {
    this.#world = world;
    this.#tell = tell;
  }

  get #now(): number {
    return this.#world.timeline.now;
  }

  /** By how much any clock may be off, ms. */
  get #skew(): number {
    const { settings, happenings } = this.#world.plan;
    const set = happenings.reduce((sum, one) => sum + (one.what === 'set-clock' ? Math.abs(one.by) : 0), 0);
    return set + Math.max(0, ...settings.skews.map(Math.abs));
  }

  /** By how much a replica's clock is ahead now, ms. */
  #ahead(replica: number): number {
    const { settings, happenings } = this.#world.plan;
    const set = happenings.filter((one) => one.what === 'set-clock' && one.replica === replica && one.at <= this.#now);
    return set.reduce((sum, one) => sum + (one.what === 'set-clock' ? one.by : 0), settings.skews[replica] ?? 0);
  }

  /** Whether a new token is one for this replica's clock: else it says so, serves none and stores none. */
  #tellsLives(replica: number): boolean {
    const ahead = this.#ahead(replica);
    // Past half its life there; or issued in the future, so that its end isn't known either.
    return ahead < (this.#world.plan.settings.lifetime / 2) * 1_000 - 1_500 && ahead > -BEHIND + 1_500;
  }

  touch(tenant: string): void {
    // What there is at the beginning is no change.
    if (this.#now === 0) return;
    this.#changed.set(tenant, this.#now);
  }

  /** Vault has carried out a write. */
  committed(commit: Commit): void {
    const { path, data } = commit;
    if (path === 'postern/state/epoch') this.#announced(data);
    else if (path === 'postern/state/catalog') this.#catalogued(data);
    else if (path === 'postern/state/ended') this.#endedNow(data);
    else if (path === 'postern/state/revocations') this.#revokedNow(data);
    else if (path.startsWith('postern/tenants/')) this.#wrote(path.slice('postern/tenants/'.length), data);
    else if (path.startsWith('postern-tokens/')) this.#stored(commit);
  }

  #announced(data: Record<string, unknown> | undefined): void {
    const { recent = [] } = (data ?? {}) as { recent?: { epoch: number; tenant: string; change: string; at: number }[] };
    for (const one of recent) {
      const name = JSON.stringify(one);
      if (this.#seen.has(name)) continue;
      this.#seen.add(name);
      this.touch(one.tenant);
      if (one.change === 'disable' && !this.#disabled.has(one.tenant)) this.#disabled.set(one.tenant, this.#now);
      if (one.change === 'enable') this.#disabled.delete(one.tenant);
      this.#grant(one.tenant, this.#written.get(one.tenant) ?? new Set());
    }
  }

  #catalogued(data: Record<string, unknown> | undefined): void {
    const { disabled = [] } = (data ?? {}) as { disabled?: string[] };
    for (const tenant of disabled) if (!this.#shut.has(tenant)) this.#shut.set(tenant, this.#now);
    for (const tenant of this.#shut.keys()) if (!disabled.includes(tenant)) this.#shut.delete(tenant);
    // Everybody is looked up anew.
    for (const tenant of this.#granted.keys()) this.touch(tenant);
  }

  #isDisabled(tenant: string): boolean {
    return this.#disabled.has(tenant) || this.#shut.has(tenant);
  }

  #wrote(tenant: string, data: Record<string, unknown> | undefined): void {
    const { grants = [] } = (data ?? {}) as { grants?: { scopes: string[] }[] };
    const scopes = new Set(grants.flatMap((grant) => grant.scopes));
    this.#written.set(tenant, scopes);
    this.touch(tenant);
    // More than before may be served at once; less, when it is announced.
    const now = this.#granted.get(tenant)?.at(-1);
    this.#grant(tenant, new Set([...(now?.scopes ?? []), ...scopes]));
  }

  #grant(tenant: string, scopes: ReadonlySet<string>): void {
    const all = this.#granted.get(tenant) ?? [];
    const last = all.at(-1);
    if (last !== undefined) last.until = this.#now;
    this.#granted.set(tenant, [...all, { scopes, from: this.#now, until: Infinity }]);
  }

  #endedNow(data: Record<string, unknown> | undefined): void {
    const { recent = [] } = (data ?? {}) as { recent?: Omit<Ended, 'known'>[] };
    for (const one of recent) {
      const name = JSON.stringify(one);
      if (this.#seen.has(name)) continue;
      this.#seen.add(name);
      this.#ended.push({ ...one, known: this.#now });
      this.touch(one.tenant);
    }
  }

  takesBack(tenant: string, token: string): void {
    this.touch(tenant);
    this.#takenBack.add(token);
  }

  /** A process has taken a token back, and could not tell Vault. */
  owes(process: string, token: string): void {
    this.#owed = [...this.#owed, { token, process, at: this.#now }];
  }

  #revokedNow(data: Record<string, unknown> | undefined): void {
    const { recent = [] } = (data ?? {}) as { recent?: { sha256: string; tenant: string }[] };
    for (const { sha256, tenant } of recent) {
      if (this.#revoked.has(sha256)) continue;
      this.#revoked.set(sha256, this.#now);
      this.touch(tenant);
    }
  }

  #stored({ path, before, data, by, half }: Commit): void {
    if (half) this.#halves.set(path, this.#now);
    if (data?.['access_token'] !== undefined && this.#world.brokenSince(this.#now - SETTLED_WITHIN)) this.#unanswered.add(path);
    else this.#unanswered.delete(path);
    if (by.startsWith('operator')) this.#cleared.set(path, this.#now);
    const [, tenant = '', api = ''] = path.split('/');
    const taken = (data ?? {})['lease'] as { holder: string; until: number; paused: boolean } | undefined;
    const had = this.#leases.get(path);
    if (data === undefined || by === 'operator') this.touch(tenant);
    if (taken === undefined || taken.paused) this.#leases.delete(path);
    else if (had?.holder !== taken.holder || had.until !== taken.until)
      this.#leases.set(path, { holder: taken.holder, until: taken.until, since: this.#now });
    if (taken === undefined || taken.paused || !taken.holder.startsWith(`${by}/`)) return;
    const key = `${by} ${tenant} ${api}`;
    const entitled = this.#entitled.get(key) ?? [];
    // Its own once more, within the second: after a lost reply it is one lease; where it has asked Auth0 already, another.
    if (had !== undefined && had.holder === taken.holder && had.until === taken.until && entitled.length > 0) return;
    if (
      had !== undefined &&
      had.holder !== taken.holder &&
      before?.['grant'] === data?.['grant'] &&
      this.#now - this.#leasedAt(had) < LEASE - (this.#world.brokenSince(had.since - LEASE) ? TOLERANCE_SLOW : TOLERANCE) &&
      // Vault doesn't tell the number of one that was deleted by half, so that it is written without check-and-set: both who saw it
      // have the lease.
      !(had.since - (this.#halves.get(path) ?? -Infinity) < SETTLED_WITHIN) &&
      // Versions begin anew: who had the lease before holds on to it, and both have asked Auth0 already.
      !(had.since - (this.#cleared.get(path) ?? -Infinity) < SETTLED_WITHIN)
    )
      this.#tell({ rule: 'lease', text: `${by} takes the lease of ${had.holder} at ${path} after ${this.#now - had.since} ms` });
    // Its versions begin anew then: a lease that is extended by an old one may take the place of a token.
    const anew = this.#now - (this.#cleared.get(path) ?? -Infinity) < SETTLED_WITHIN;
    this.#entitled.set(key, [...entitled, { fresh: !anew && before?.['grant'] === data?.['grant'] && this.#isFresh(before, tenant) }]);
  }

  /** When it was asked for: while Vault is slow or frozen it may be carried out much later, and its holder knows nothing of that. */
  #leasedAt({ since, until }: { readonly since: number; readonly until: number }): number {
    return this.#world.brokenSince(since - LEASE) ? Math.min(since, until - EPOCH - LEASE) : since;
  }

  /** Whether a token that lies in the store should simply be served. */
  #isFresh(document: Record<string, unknown> | undefined, tenant: string): boolean {
    const { access_token: token, issued_at: iat, expires_at: exp } = document ?? {};
    if (typeof token !== 'string' || typeof iat !== 'number' || typeof exp !== 'number') return false;
    if (this.#takenBack.has(token) || this.#revoked.has(createHash('sha256').update(token).digest('hex'))) return false;
    if (this.#ended.some((one) => ofTokens(one) && one.tenant === tenant && iat <= one.at)) return false;
    return this.#isYoung(iat, exp);
  }

  #isYoung(iat: number, exp: number): boolean {
    return (
      this.#world.vault.now + this.#skew + 1_500 <
      (iat + Math.min(0.75 * (exp - iat), exp - iat - leastOf(exp - iat, this.#world.plan.settings))) * 1000
    );
  }

  /** Auth0 wants to be left alone. */
  paused(process: string, ms: number): void {
    this.#pauses.set(process, { from: this.#now, until: this.#now + ms });
  }

  /** A process asks Auth0 for a token. */
  asksAuth0(process: string, replica: number): void {
    const { from, until } = this.#pauses.get(process) ?? { from: Infinity, until: -Infinity };
    // It may have looked before it heard, and waited since for what comes before a token.
    const waits = this.#world.plan.happenings.some(({ what }) => what !== 'auth0-throttles' && what.includes('auth0'));
    if (this.#now > from + 1_000 && this.#now < until && !waits && !this.#troubled(replica))
      this.#tell({ rule: 'pause', text: `${process} asks Auth0 ${until - this.#now} ms before it may` });
  }

  /** Auth0 has made a token. */
  minted(process: string, { tenant, audience, scope, iat, exp }: Minted, arrives: boolean): void {
    this.mints++;
    const api = apiOf(audience);
    const lease = this.#entitled.get(`${process} ${tenant} ${api}`)?.shift();
    const calm = !this.#hasChangedSince(tenant, this.#now - SETTLED_WITHIN);
    // It had one when it fell asleep, it may be: what Auth0 gave it had ended when it woke.
    const stoodStill = this.#world.plan.settings.skews.some((_, replica) =>
      this.#world.stoodStillSince(replica, this.#now - SETTLED_WITHIN),
    );
    if (lease === undefined && calm && !stoodStill)
      this.#tell({ rule: 'unleased', text: `${process} asks Auth0 for ${tenant} at ${api} without a lease` });
    if (lease?.fresh === true && calm)
      this.#tell({ rule: 'needless', text: `${process} asks Auth0 for ${tenant} at ${api}, though a good token lay in the store` });
    const key = `${tenant} ${audience} ${scope}`;
    const last = this.#minted.get(key);
    const undisturbed =
      last !== undefined &&
      !last.vain &&
      !this.#world.brokenSince(last.at - FORGOTTEN_WITHIN) &&
      !this.#hasChangedSince(tenant, last.at - SETTLED_WITHIN);
    if (undisturbed && this.#isYoung(last.iat, last.exp))
      this.#tell({
        rule: 'twice',
        text: `a second token for ${key} after ${this.#now - last.at} ms, and nobody had crashed or was cut off`,
      });
    if (!arrives) this.#world.disturb();
    // Then another broker asks.
    const vain = !this.#tellsLives(Number(/^replica(\d+)/.exec(process)?.[1]));
    this.#minted.set(key, { at: this.#now, iat, exp, vain });
  }

  #hasChangedSince(tenant: string, ms: number): boolean {
    return (this.#changed.get(tenant) ?? -Infinity) >= ms;
  }

  /** From when on a replica must know what reached Vault then; and whatever befalls it after that, it does. */
  #dueAt(known: number, replica: number): number {
    const late = this.#world.plan.happenings.some(
      (one) => one.what === 'vault-late' && one.at < this.#now && one.at + one.for + 2_000 > known,
    );
    // Two looks of which each had to wait: that which was under way, and the next.
    const within = ANNOUNCED_WITHIN + (late ? 2 * LATEST : 0);
    let due = known + within;
    // One that stood still looks when it goes on: then Vault may be away.
    const looks = Math.max(due, this.#world.goesOnAt(replica, known));
    for (const { from, to } of this.#world.troublesOf(replica)) if (from < looks) due = Math.max(due, to + RECOVERS_WITHIN + within);
    return due;
  }

  /** Whether a replica can't reach Vault as it should, or could not a moment ago. */
  #troubled(replica: number): boolean {
    return this.#world.troublesOf(replica).some(({ to }) => this.#now <= to + RECOVERS_WITHIN + ANNOUNCED_WITHIN + 2 * LATEST);
  }

  /** @param begun of the request: what was under way as its replica stood still, it answers by what was so before */
  #overdue(known: number, replica: number, begun: number): boolean {
    return this.#now > this.#dueAt(known, replica) && !this.#world.stoodStillSince(replica, begun);
  }

  /** A client has a token. */
  served(ask: Ask, token: string): void {
    const { replica, credential, audience, scope, begun, process } = ask;
    const { tenant, id, roleId } = credential;
    const claims = claimsOf(token) as { aud: string; scope: string; iat: number; exp: number };
    const wrong = (rule: string, why: string): void =>
      this.#tell({ rule, text: `replica ${replica} serves ${tenant} (${id.replace(/^cred_0*/, '')}) a token of ${audience}: ${why}` });
    if ((claims as Record<string, unknown>)[TENANT_CLAIM] !== tenant)
      wrong('foreign', `it is ${String((claims as Record<string, unknown>)[TENANT_CLAIM])}'s`);
    if (claims.aud !== audience) wrong('audience', `it is for ${claims.aud}`);
    const scopes = claims.scope.split(' ');
    const asked = scope?.split(' ');
    if (asked !== undefined && !scopes.every((one) => asked.includes(one)))
      wrong('scope', `its scope is ${claims.scope}, asked for was ${scope}`);
    for (const one of scopes) {
      const times = this.#granted.get(tenant) ?? [];
      if (!times.some((grant) => grant.scopes.has(one) && (grant.until === Infinity || !this.#overdue(grant.until, replica, begun))))
        wrong('narrowed', `it has ${one}, which the tenant was not granted any more`);
    }
    const granted = [...(this.#granted.get(tenant)?.at(-1)?.scopes ?? [])];
    if (asked === undefined && granted.some((one) => !scopes.includes(one)) && this.#isCalm(ask, begun))
      wrong('less', `its scope is ${claims.scope}, and the tenant has ${granted.join(' ')}`);
    this.#served.set(nameOf(ask), { at: this.#now, iat: claims.iat, exp: claims.exp });
    // By a clock that is behind it has more.
    const left = claims.exp * 1000 - (EPOCH + begun);
    const isShort = left < leastOf(claims.exp - claims.iat, this.#world.plan.settings) * 1000 - this.#skew - 1_500;
    if (isShort && !this.#world.stoodStillSince(replica, begun)) wrong('short', `${left} ms of its life were left`);
    const well = this.#world.plan.settings.skews.every((_, index) => !this.#troubled(index));
    const told = this.#owed.find((one) => one.token === token && one.at <= begun && (one.process === process || well));
    if (told !== undefined) wrong('owed', `it was taken back at ${told.process} ${this.#now - told.at} ms ago, while Vault was away`);
    if (claims.exp * 1000 <= this.#world.vault.now && !this.#world.stoodStillSince(replica, begun))
      wrong('past-end', `it ended ${this.#world.vault.now / 1000 - claims.exp} s ago`);
    for (const since of [this.#disabled.get(tenant), this.#shut.get(tenant)])
      if (since !== undefined && this.#overdue(since, replica, begun))
        wrong('disabled', `it has been disabled for ${this.#now - since} ms`);
    const revoked = this.#revoked.get(createHash('sha256').update(token).digest('hex'));
    if (revoked !== undefined && this.#overdue(revoked, replica, begun)) wrong('revoked', `it was revoked ${this.#now - revoked} ms ago`);
    const { destroyedAt, toldAt, endsAt = Infinity } = credential;
    if (begun > endsAt + this.#skew + 1_500) wrong('credential-past-end', `the credential ended ${this.#now - endsAt} ms ago`);
    if (toldAt !== undefined && this.#overdue(toldAt, replica, begun))
      wrong('remembered', `the credential was destroyed, and that announced ${this.#now - toldAt} ms ago`);
    const heard = this.#world.heard(process);
    // While Vault doesn't answer there is more patience; one that refuses does answer.
    const { grace, verifyTtl } = this.#world.plan.settings;
    // What was asked before it answered again may be unanswered still.
    const deaf = grace === 0 || (heard.refused > begun - LOOKS && heard.unanswered < begun - LOOKS);
    const read = Math.min(...STATE.map((path) => heard.read.get(path) ?? -Infinity));
    // Ages are told by a clock that stops while the machine sleeps.
    const slept = this.#world.sleptOf(replica);
    if (deaf && begun > read + STALE + LOOKS + slept)
      wrong('stale', `what is announced was read ${begun - read} ms before it was asked for`);
    // Nobody was told: it is looked at when the request comes, and not again.
    const remembered = destroyedAt === undefined ? Infinity : destroyedAt + verifyTtl * 1000 + slept;
    const isBridged = grace > 0 && (!this.#overdue(remembered, replica, begun) || this.#troubled(replica));
    if (begun > remembered + ANNOUNCED_WITHIN && !isBridged)
      wrong('remembered', `the credential was destroyed ${this.#now - (destroyedAt ?? 0)} ms ago`);
    for (const one of this.#ended) {
      if (!this.#overdue(one.known, replica, begun)) continue;
      if (one.kind === 'credential' && (one.id === id || one.id === roleId))
        wrong('ended', `the credential ended ${this.#now - one.known} ms ago`);
      if (ofTokens(one) && one.tenant === tenant && claims.iat <= one.at)
        wrong('void', `its tokens were ended ${this.#now - one.known} ms ago, and it is older`);
    }
  }

  /** A process has ended, and with it what it owed. */
  crashed(process: string): void {
    this.#owed = this.#owed.filter((one) => one.process !== process);
  }

  /** A client was refused. */
  refused(ask: Ask, error: unknown): void {
    const { replica, credential, audience, begun } = ask;
    const told = (rule: string): void =>
      this.#tell({
        rule,
        text:
          `replica ${replica} refuses ${credential.tenant} at ${audience}: ` +
          (error instanceof PosternError
            ? `${error.code} ${error.message}${error.detail === undefined ? '' : ` (${error.detail})`}`
            : String(error instanceof Error ? error.stack : error)),
      });
    if (!(error instanceof PosternError)) return told('fault');
    // One that was issued while its tenant was being deleted has ended with that, though whoever deletes hasn't come to it yet.
    const { endsAt = Infinity } = credential;
    // Another's clock may be ahead.
    const good =
      !credential.ended &&
      this.#now < endsAt - this.#skew - 1_500 &&
      !this.#ended.some(({ kind, id }) => kind === 'credential' && id === credential.roleId);
    if (error.code === 'invalid_client' && good) return told('false-refusal');
    if (good && this.#isCalm(ask, begun)) told('unserved');
    if (good && this.#isBridged(ask)) told('outage');
  }

  /** Whether Vault is out of reach, and all is remembered that is needed without it. */
  #isBridged(ask: Ask): boolean {
    const { settings, happenings } = this.#world.plan;
    const { tenant } = ask.credential;
    const before = this.#served.get(nameOf(ask));
    return (
      before !== undefined &&
      settings.grace > 0 &&
      // Else one is pushed out by another.
      settings.room > 2 &&
      // What was under way when it began has come to its end.
      this.#world.unreachedSince(ask.replica) + SETTLED_WITHIN / 2 < ask.begun &&
      // On what is announced nobody may go by then.
      !happenings.some(({ what }) => what.startsWith('vault-denies')) &&
      !this.#isDisabled(tenant) &&
      !this.#hasChangedSince(tenant, before.at - SETTLED_WITHIN) &&
      this.#isYoung(before.iat, before.exp)
    );
  }

  /** Whether nothing is the matter that could keep this client from being served. */
  #isCalm({ credential: { tenant }, scope, replica }: Ask, begun: number): boolean {
    const granted = this.#granted.get(tenant)?.at(-1)?.scopes ?? new Set();
    return (
      !this.#world.brokenSince(begun - FORGOTTEN_WITHIN) &&
      !this.#hasChangedSince(tenant, begun - SETTLED_WITHIN) &&
      !this.#isDisabled(tenant) &&
      this.#tellsLives(replica) &&
      granted.size > 0 &&
      (scope === undefined || granted.has(scope))
    );
  }

  /** A request has come. */
  asked(ask: Ask): void {
    const place = `postern-tokens/${ask.credential.tenant}/${apiOf(ask.audience)}`;
    const lease = ask.scope === undefined ? this.#leases.get(place) : undefined;
    ask.ownLease = lease !== undefined && lease.holder.startsWith(`${ask.process}/`);
  }

  /** A request is still under way. */
  pending(ask: Ask): void {
    const { replica, credential, audience, begun } = ask;
    if (
      ask.ownLease === true &&
      this.#now - begun > OWN_LEASE &&
      // It may have joined a flight that set out while Auth0 didn't answer.
      !this.#world.brokenSince(begun - OWN_LEASE) &&
      !this.#hasChangedSince(credential.tenant, begun - SETTLED_WITHIN) &&
      // By a clock far behind, the tenant's tokens ended just now: it lets that second go by before it asks for one.
      this.#tellsLives(replica)
    )
      this.#tell({ rule: 'own-lease', text: `replica ${replica} waits for its own lease of ${credential.tenant} for ${audience}` });
    if (this.#now - begun > ENDS_WITHIN && !this.#world.stoodStillSince(replica, begun))
      this.#tell({
        rule: 'endless',
        text: `a request of ${credential.tenant} for ${audience} at replica ${replica} has not ended after ${this.#now - begun} ms`,
      });
  }

  /** What lies in the shared store when all is over: a Vault Agent would read it, whom no broker guards. */
  stored(): void {
    const { happenings } = this.#world.plan;
    // Whoever stored a token takes it out where it is void, unless it has ended before that.
    if (happenings.some(({ what }) => what === 'crash')) return;
    for (const [path, { access_token: token, issued_at: iat, expires_at: exp }] of this.#world.vault.all('postern-tokens/')) {
      const [, tenant = ''] = path.split('/');
      if (typeof token !== 'string' || typeof iat !== 'number' || typeof exp !== 'number' || exp * 1000 <= this.#world.vault.now) continue;
      if (this.#unanswered.has(path) || this.#hasChangedSince(tenant, this.#now - SETTLED_WITHIN)) continue;
      const ended = this.#ended.some((one) => ofTokens(one) && one.tenant === tenant && iat <= one.at);
      // What Vault was told of later is only served no more: nobody clears its place.
      const later = this.#owed.some((one) => one.token === token);
      const revoked = !later && this.#revoked.has(createHash('sha256').update(token).digest('hex'));
      if (ended || revoked || this.#isDisabled(tenant))
        this.#tell({ rule: 'lies', text: `a token of ${tenant} lies at ${path}: ${ended ? 'ended' : revoked ? 'revoked' : 'disabled'}` });
    }
  }

  sizes(replica: number, sizes: readonly number[], room: number): void {
    for (const size of sizes)
      if (size > room) this.#tell({ rule: 'memory', text: `replica ${replica} remembers ${size} of ${room} at most` });
  }
}
