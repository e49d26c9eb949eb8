import { BoundedMap } from '#broker/bounded-map.ts';
import { Breaker } from '#broker/breaker.ts';
import { ClockDifference } from '#broker/clock-difference.ts';
import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import type { AuthorizedGrant } from '#broker/authorization/authorization.ts';
import { PosternError } from '#broker/error.ts';
import type { Meter } from '#broker/quota/meter.ts';
import type { TokenSource } from '#broker/token/source.ts';
import { Token } from '#broker/token/token.ts';
import type { UpstreamCredential, UpstreamReader } from '#broker/token/upstream.ts';
import { BINDINGS, checkOwner, ownerParameters } from './binding.ts';
import type { BindingMode } from './binding.ts';
import { answerOf, requestToken } from './client-credentials.ts';
import { isOfOrganization, readQuota, tellsOfQuota } from './quota-headers.ts';
import { Auth0Verifier } from './verifier.ts';

export interface Auth0SourceOptions extends Clocks {
  /** e.g. `https://acme.eu.auth0.com/`, with its trailing slash. http only for a stand-in on loopback. */
  issuer: string;
  upstream: UpstreamReader;
  binding: BindingMode;
  /** The namespaced claim that the Action sets. */
  tenantClaim: string;
  /** Deadline of a call to Auth0, ms. Default 5000. */
  timeoutMs?: number;
  /** How long the credential is kept before it is read again, ms; after a refusal by Auth0 it is read at once. Default 60,000. */
  upstreamAgeMs?: number | undefined;
  /** Default: the global one. */
  fetch?: typeof fetch | undefined;
  /** By which a token that has come is judged, ms since 1970. Default: `now`. */
  latest?: (() => number) | undefined;
  /** Counts each token before it is asked for. */
  meter?: Meter | undefined;
}

/** Deadline of a call to Auth0, ms. */
const TIMEOUT = 5_000;
/** Default, ms. */
const UPSTREAM_AGE = 60_000;

/** Between two tokens of a grant that are refused here, ms: at first, and after many. */
const REFUSED = 2_000;
const REFUSED_LONGEST = 60_000;

/** How long one tenant's failure says no more of Auth0, ms: longer than the breaker's pause, so that another's turn comes. */
const FAILING = 3_000;

/** client_credentials at Auth0 with the one shared application. */
export class Auth0Source implements TokenSource {
  /** Calls to Auth0's token endpoint since the start. */
  calls = 0;
  /** Auth0's clock beside ours. */
  readonly clock: ClockDifference;
  readonly #options: Auth0SourceOptions;
  readonly #time: Clock;
  readonly #verifier: Auth0Verifier;
  #upstream: { credential: UpstreamCredential; readAt: number } | undefined;
  /** While Auth0 doesn't answer, one exchange every two seconds finds out, and the others are told at once. */
  readonly #breaker: Breaker;
  /** After a 429 nobody asks before then, whatever the tenant: Auth0 counts them all together. ms of the monotonic clock. */
  #pausedUntil = -Infinity;
  /** The same of an organization whose own quota is spent, which says nothing of the others. */
  readonly #organizations = new BoundedMap<string, number>(10_000);
  /** By tenant: until when it tells nothing more of Auth0, which failed for it, ms of the monotonic clock. */
  readonly #failing = new BoundedMap<string, number>(10_000);
  /** By grant: tokens that came while Auth0's keys couldn't be had. */
  readonly #unjudged = new BoundedMap<string, Paid>(10_000);
  /** By grant: what was wrong with its last token, and until when no other is asked for, ms of the monotonic clock. */
  readonly #refused = new BoundedMap<string, { readonly error: unknown; readonly pause: number; readonly until: number }>(10_000);
  /** Who got a token last, and when, ms of the monotonic clock. */
  #answered = { tenant: '', at: -Infinity };

  constructor(options: Auth0SourceOptions) {
    this.#options = options;
    this.#time = clockOf(options);
    this.#breaker = new Breaker({
      ...this.#time,
      weightOf: (error) => {
        const { status } = answerOf(error);
        return status === undefined ? 2 : status >= 500 ? 1 : 0;
      },
      refusal: (retryAfter) => away('Auth0 has not answered lately', retryAfter),
      resetMs: 2_000,
    });
    // It is asked seldom.
    this.clock = new ClockDifference({ ...this.#time, agree: 2 });
    this.#verifier = new Auth0Verifier({
      ...this.#time,
      now: options.latest ?? this.#time.now,
      issuer: options.issuer,
      timeoutMs: options.timeoutMs ?? TIMEOUT,
      fetch: options.fetch,
      onDate: (date, tookMs) => this.clock.observe(date, tookMs),
    });
  }

  /** Whether Auth0 is asked; else only now and then by somebody who finds out. */
  get available(): boolean {
    return !this.#breaker.open;
  }

  admit(grant: AuthorizedGrant): void {
    this.#options.meter?.admit(grant);
  }

  /** With its trailing slash. */
  get issuer(): string {
    return this.#options.issuer;
  }

  /**
   * The shared application, to which every token of {@link issue} was issued.
   * @throws {PosternError} temporarily_unavailable, misconfigured
   */
  async clientId(): Promise<string> {
    return (await this.#credential(false)).clientId;
  }

  /** Whether Auth0 has taken this key out of use: services take no token that it signed. */
  hasWithdrawn(kid: string): boolean {
    return this.#verifier.hasWithdrawn(kid);
  }

  /** Has Auth0 tell its time, by a look at its keys, which no quota counts. @throws {PosternError} temporarily_unavailable */
  askTime(): Promise<void> {
    return this.#verifier.look();
  }

  async issue(grant: AuthorizedGrant): Promise<Token> {
    const own = this.#organizations.get(grant.organization ?? '') ?? -Infinity;
    const pause = Math.max(this.#pausedUntil, own) - this.#time.monotonic();
    if (pause > 0) throw away('Auth0 has asked for a pause', pause / 1000);
    const paid = await this.#paidFor(grant);
    const token = await this.#judge(paid, grant).catch((error: unknown) => {
      if (error instanceof PosternError && error.code === 'temporarily_unavailable') this.#unjudged.set(grant.digest, paid);
      else this.#refuse(grant.digest, error);
      throw error;
    });
    this.#refused.delete(grant.digest);
    return token;
  }

  /** One that couldn't be judged yet is judged before another is asked for. */
  async #paidFor(grant: AuthorizedGrant): Promise<Paid> {
    const unjudged = this.#unjudged.get(grant.digest);
    this.#unjudged.delete(grant.digest);
    if (unjudged !== undefined) return unjudged;
    const refused = this.#refused.get(grant.digest);
    if (refused !== undefined && this.#time.monotonic() < refused.until) throw refused.error;
    await this.#verifier.ready();
    const counted = await this.#options.meter?.count(grant);
    const wanted = {
      ...BINDINGS[this.#options.binding].parameters(grant),
      ...ownerParameters(grant),
      audience: grant.audience,
      ...(grant.scope === '' ? {} : { scope: grant.scope }),
    };
    return this.#request(wanted, grant).catch((error: unknown) => {
      if (!(error instanceof Unknown)) counted?.takeBack();
      if (error instanceof Unknown && error.isAnswer) this.#refuse(grant.digest, error.told);
      throw error instanceof Unknown ? error.told : error;
    });
  }

  async #judge({ accessToken, clientId }: Paid, grant: AuthorizedGrant): Promise<Token> {
    const claims = await this.#verifier.verify(accessToken, grant, clientId);
    BINDINGS[this.#options.binding].check(claims, grant, this.#options.tenantClaim);
    checkOwner(claims, grant, this.#options.tenantClaim);
    return new Token(accessToken, claims.scope, claims.iat, claims.exp, this.#time.random());
  }

  /** What Auth0 is set up to give doesn't get better by the next token, which is paid for, too. */
  #refuse(digest: string, error: unknown): void {
    const pause = Math.min((this.#refused.get(digest)?.pause ?? REFUSED / 2) * 2, REFUSED_LONGEST);
    this.#refused.set(digest, { error, pause, until: this.#time.monotonic() + pause });
  }

  #hear(headers: Headers, grant: AuthorizedGrant): void {
    const { meter } = this.#options;
    if (meter?.hear === undefined || !tellsOfQuota(headers)) return;
    readQuota(headers, this.#time.now())
      .then((told) => told.forEach(({ of, readings }) => meter.hear?.(of, readings, grant)))
      .catch(() => {});
  }

  async #request(parameters: Record<string, string>, grant: AuthorizedGrant): Promise<Paid> {
    let refused = false;
    for (const fresh of [false, true]) {
      const { clientId, clientSecrets } = await this.#credential(fresh);
      for (const secret of clientSecrets) {
        try {
          return { accessToken: await this.#ask(clientId, secret, parameters, grant), clientId };
        } catch (error) {
          if (!(error instanceof WrongUpstreamSecret)) throw error;
          refused = true;
        }
      }
    }
    throw new PosternError('misconfigured', 'Service temporarily unavailable', {
      detail:
        `Auth0 refuses the shared application's credential${refused ? '' : ' (none is stored)'}: ` +
        'write the current one with `postern upstream set`',
      retryAfter: 10,
    });
  }

  async #credential(fresh: boolean): Promise<UpstreamCredential> {
    const now = this.#time.monotonic();
    if (!fresh && this.#upstream !== undefined && now - this.#upstream.readAt < (this.#options.upstreamAgeMs ?? UPSTREAM_AGE))
      return this.#upstream.credential;
    this.#upstream = { credential: await this.#options.upstream.readUpstream(), readAt: now };
    return this.#upstream.credential;
  }

  async #ask(clientId: string, clientSecret: string, parameters: Record<string, string>, grant: AuthorizedGrant): Promise<string> {
    const { issuer, timeoutMs = TIMEOUT, fetch: by } = this.#options;
    const ask = (): Promise<string> => {
      this.calls++;
      return requestToken({
        issuer,
        clientId,
        clientSecret,
        timeoutMs,
        parameters,
        clock: this.clock,
        onHeaders: (headers) => this.#hear(headers, grant),
        clocks: this.#time,
        fetch: by,
      });
    };
    try {
      // One tenant for which Auth0 fails whatever it is asked: it doesn't count where others are answered, and lets them try first.
      const failing = (this.#failing.get(grant.tenant) ?? -Infinity) > this.#time.monotonic();
      const aside = failing && this.available && this.#answersOthers(grant.tenant);
      const token = await (aside ? ask() : this.#breaker.run(ask, !failing));
      this.#failing.delete(grant.tenant);
      this.#answered = { tenant: grant.tenant, at: this.#time.monotonic() };
      return token;
    } catch (error) {
      if (error instanceof PosternError) throw error;
      const { status } = answerOf(error);
      if (status === undefined || status >= 500) this.#failing.set(grant.tenant, this.#time.monotonic() + FAILING);
      throw this.#errorOf(error, grant);
    }
  }

  #answersOthers(tenant: string): boolean {
    const { tenant: last, at } = this.#answered;
    return last !== tenant && this.#time.monotonic() - at < FAILING;
  }

  /** Made from the status and Auth0's error code alone: the library's errors hold secrets. */
  #errorOf(error: unknown, { organization }: AuthorizedGrant): Error {
    const { status, code, response, unsent, tooLong } = answerOf(error);
    if (status === 401 || code === 'invalid_client') return new WrongUpstreamSecret();
    if (status === 429) {
      const seconds = waitOf(response, this.#time.now());
      const until = this.#time.monotonic() + seconds * 1000;
      if (organization !== undefined && isOfOrganization(response?.headers)) this.#organizations.set(organization, until);
      else this.#pausedUntil = Math.max(this.#pausedUntil, until);
      return away('Auth0 answered 429', seconds);
    }
    if (status !== undefined && status < 400) {
      const told = new PosternError('misconfigured', 'Service temporarily unavailable', {
        detail:
          `Auth0 answered ${status} without a token that can be taken: ` + 'does something on the way (a proxy, a firewall) answer for it?',
        retryAfter: 10,
      });
      // Whether Auth0 made a token, and counted it, nobody knows; the next would be no better.
      return status < 300 ? new Unknown(told, true) : told;
    }
    if (status !== undefined && status < 500) {
      const told = new PosternError('misconfigured', 'Service temporarily unavailable', {
        detail:
          `Auth0 answered ${status} ${safeCode(code)}: does the shared application have a client grant for this API with ` +
          'these scopes (and this organization)? `postern doctor` checks it',
        retryAfter: 10,
      });
      return told;
    }
    if (status !== undefined) return away(`Auth0 answered ${status}`, 2);
    const told = away(tooLong ? 'Auth0 answered at a length that no token has' : 'Auth0 cannot be reached or did not answer in time', 2);
    return unsent ? told : new Unknown(told);
  }
}

/** A token as it came. */
interface Paid {
  readonly accessToken: string;
  readonly clientId: string;
}

class WrongUpstreamSecret extends Error {}

/** Auth0 may have made a token that didn't arrive here. */
class Unknown extends Error {
  readonly told: PosternError;
  /** Something came, and is no token. */
  readonly isAnswer: boolean;

  constructor(told: PosternError, isAnswer = false) {
    super(told.message);
    this.told = told;
    this.isAnswer = isAnswer;
  }
}

function away(detail: string, seconds: number): PosternError {
  return new PosternError('temporarily_unavailable', 'The token issuer is not available', {
    detail,
    retryAfter: Math.max(1, Math.ceil(seconds)),
  });
}

/**
 * Seconds to wait after a 429: Retry-After (seconds, or a date: RFC 9110 §10.2.3), else Auth0's X-RateLimit-Reset (Unix seconds), else 10;
 * an hour at most.
 */
function waitOf(response: Response | undefined, nowMs: number): number {
  const told = response?.headers.get('retry-after') ?? 'none';
  // One that is over tells nothing where there is a reset.
  const left = told.endsWith(' GMT') ? (Date.parse(told) - nowMs) / 1000 : Number.NaN;
  const retryAfter = left > 0 ? left : Number(told);
  const reset = Number(response?.headers.get('x-ratelimit-reset') ?? Number.NaN) - nowMs / 1000;
  const seconds = Number.isFinite(retryAfter) ? retryAfter : Number.isFinite(reset) ? reset : 10;
  return Math.min(3600, Math.max(1, seconds));
}

function safeCode(code: unknown): string {
  return typeof code === 'string' && /^[a-z_]{1,40}$/.test(code) ? code : '';
}
