import * as oauth from 'openid-client';

/** A value, or where it is read each time it is needed: a file that a Vault Agent renews, say. */
export type Secret = string | (() => string | Promise<string>);

/** How the workload says who it is: exactly one of these. */
export type Proof =
  | {
      /** The role_id. */
      readonly clientId: string;
      /** The secret_id. */
      readonly clientSecret: Secret;
    }
  | {
      readonly clientId: string;
      /** For private_key_jwt (RFC 7523): a WebCrypto key whose public half is registered with the tenant. */
      readonly privateKey: oauth.CryptoKey;
      /** Names the key where several are registered. */
      readonly kid?: string;
    }
  | {
      /** A Vault token that the workload already has, exchanged by RFC 8693. */
      readonly vaultToken: Secret;
    };

export interface Target {
  /** Postern's address, which is its issuer. https, or http on loopback. */
  readonly issuer: string | URL;
  /** Where the token may be sent: requests to another origin are refused, so that it can't be led astray. */
  readonly service: string | URL;
  /** The API that the token is for. Default: the tenant's own default. */
  readonly audience?: string;
  /** Space-delimited (RFC 6749 §3.3). Default: all that the tenant has. */
  readonly scope?: string;
  /** Deadline of one call to Postern, and of reading a secret before it, seconds. Default 10. */
  readonly timeout?: number;
  /** For tests and proxies. Default: the global one. */
  readonly fetch?: typeof fetch;
}

export interface Credentials {
  /**
   * As the global `fetch`, with the token: paths are taken relative to the service. Where the service answers 401 to a token,
   * the request is sent once more with a new one, if its body can be sent twice. Without a new one (Postern is away, has the same
   * still, or gave one for a 401 less than 30 s ago) the 401 is the answer, and the token at hand stays. A `signal` also ends the
   * wait for a token.
   * @throws {TypeError} for an origin that is not the service's
   * @throws {CredentialsError} as `token()` does
   */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /**
   * A token that lives. It is fetched anew in the background after four fifths of its life, or a little before; until then, and
   * while Postern is away, the one at hand is given.
   * @throws {CredentialsError} also at once, without asking Postern, before it may be asked again (`retryAfter`)
   */
  token(): Promise<string>;
}

/** No token: Postern refused, or could not be reached. Never with a secret in it. */
export class CredentialsError extends Error {
  override readonly name = 'CredentialsError';
  /** HTTP; undefined where no answer came. */
  readonly status: number | undefined;
  /** RFC 6749 §5.2, as Auth0 words it; undefined where none was told. */
  readonly error: string | undefined;
  /** Seconds until Postern is asked again, 3600 at most: as long as it asked for (Retry-After), else the pause after a failure. */
  readonly retryAfter: number | undefined;

  constructor(
    message: string,
    { status, error, retryAfter }: { status?: number | undefined; error?: string | undefined; retryAfter?: number | undefined } = {},
  ) {
    super(message);
    this.status = status;
    this.error = error;
    this.retryAfter = retryAfter;
  }
}

/** The type by which Postern knows a Vault token (docs/workload-identity.md). */
const VAULT_TOKEN_TYPE = 'urn:postern:params:oauth:token-type:vault-token';
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
/** Of a token's life, after which the next is fetched in the background. */
const REFRESH_AT = 0.8;
/** By so much of it, at random, a moment is moved: workloads that began together, or were refused together, don't come together. */
const SPREAD = 0.2;
/** A token is not sent in its last seconds, which it may not survive on its way. */
const MARGIN_MS = 5_000;
/** Of a token, seconds: where Postern doesn't tell it; the shortest, lest each request fetches one; and Auth0's longest. */
const LIFE_UNTOLD = 60;
const LIFE_MIN = 1;
const LIFE_MAX = 30 * 86_400;
/** After a failure, before Postern is asked again, where it tells no Retry-After: doubled with each. */
const PAUSE_MIN_MS = 1_000;
const PAUSE_MAX_MS = 30_000;
/** Longest Retry-After that is obeyed, seconds. */
const RETRY_AFTER_MAX = 3_600;
/** Longest Retry-After that a caller who has no token waits out, seconds, and how often Postern is asked for him. */
const PATIENCE = 10;
const ATTEMPTS = 3;
/** After a service's 401 has led to another token, before its next may: a service that refuses all tokens makes no exchanges. */
const DENIAL_MS = 30_000;
/** Of a reply of Postern, which is a page at most: one without an end doesn't fill the memory. */
const BODY_MAX = 64 * 1024;

interface Held {
  readonly token: string;
  /** By the monotonic clock, ms: a clock that is set makes no token older. */
  readonly refreshAt: number;
  readonly endsAt: number;
}

/** What the last attempt failed with. */
interface Failure {
  readonly error: unknown;
  /** Until then Postern is left alone; by the monotonic clock, ms. */
  readonly until: number;
}

/**
 * A workload's way to a service: tokens from Postern, fetched once, shared by all requests, and renewed before they end.
 * @throws {TypeError} for a setting that can't work
 */
export function credentials(options: Target & Proof): Credentials {
  const service = new URL(options.service);
  const send = options.fetch ?? fetch;
  const issue = issuerOf(options);
  let held: Held | undefined;
  let failure: Failure | undefined;
  let failures = 0;
  let attempt: Promise<Held> | undefined;
  let round: Promise<Held> | undefined;
  let deniedUntil = 0;

  const ask = (): Promise<Held> =>
    (attempt ??= issue()
      .then(
        (fresh) => {
          failures = 0;
          failure = undefined;
          return (held = fresh);
        },
        (error: unknown) => {
          failure = { error, until: performance.now() + pauseAfter(error, failures++) };
          throw error;
        },
      )
      .finally(() => (attempt = undefined)));
  const mayAsk = () => failure === undefined || performance.now() >= failure.until;

  /** For who waits: asks again as long as that makes sense. */
  const insist = async (): Promise<Held> => {
    // The workload's own errors (a secret that can't be read) are no reason to leave Postern alone.
    if (!mayAsk() && failure?.error instanceof CredentialsError) throw refusalOf(failure.error, failure.until, true);
    for (let asked = 1; ; asked++) {
      try {
        return await ask();
      } catch (error) {
        const until = failure?.until ?? 0;
        if (!(error instanceof CredentialsError)) throw error;
        if (asked === ATTEMPTS || !isBusy(error)) throw refusalOf(error, until);
        await new Promise((resolve) => setTimeout(resolve, until - performance.now()));
      }
    }
  };
  const obtain = (): Promise<Held> => (round ??= insist().finally(() => (round = undefined)));

  const token = async (): Promise<string> => {
    const now = performance.now();
    if (held === undefined || now >= held.endsAt) return (await obtain()).token;
    // Once, without waits: the next request asks again, and an idle process can end.
    if (now >= held.refreshAt && attempt === undefined && round === undefined && mayAsk()) ask().catch(() => {});
    return held.token;
  };

  /** Another token after a 401; undefined where there is none now. What is held is replaced by another only, not dropped. */
  const insteadOf = async (denied: string): Promise<string | undefined> => {
    if (held !== undefined && held.token !== denied) return held.token;
    if (performance.now() < deniedUntil) return undefined;
    try {
      const fresh = await obtain();
      deniedUntil = performance.now() + DENIAL_MS;
      // Postern keeps its tokens, too: the same one would be refused again, and a request that does something would be sent twice.
      return fresh.token === denied ? undefined : fresh.token;
    } catch {
      return undefined;
    }
  };

  return {
    token,
    async fetch(input, init) {
      const request = input instanceof Request ? new Request(input, init) : new Request(new URL(input, service), init);
      if (new URL(request.url).origin !== service.origin)
        throw new TypeError(`This token is for ${service.origin} only, not for ${new URL(request.url).origin}`);
      // A body that is a stream can be read once; a copy of it would have to be held in memory.
      const body = init?.body ?? (input instanceof Request ? input.body : null);
      const copy = body instanceof ReadableStream ? undefined : request.clone();
      const used = await unlessAborted(request.signal, token);
      const response = await send(withToken(request, used));
      if (response.status !== 401) return response;
      const other = insteadOf(used);
      // The next request has the other token.
      if (copy === undefined) return response;
      const fresh = await unlessAborted(request.signal, () => other);
      if (fresh === undefined) return response;
      // What breaks off in its body is a refusal still.
      await response.body?.cancel().catch(() => {});
      return send(withToken(copy, fresh));
    },
  };
}

/** The fetch of one caller ends by its signal; what others wait for as well goes on. */
async function unlessAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  let onAbort = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  return Promise.race([work(), aborted]).finally(() => signal.removeEventListener('abort', onAbort));
}

function withToken(request: Request, token: string): Request {
  request.headers.set('Authorization', `Bearer ${token}`);
  return request;
}

/** One way to a new token, whatever the proof: asks once. */
function issuerOf(options: Target & Proof): () => Promise<Held> {
  const issuer = new URL(options.issuer);
  const loopback = ['localhost', '127.0.0.1', '[::1]'].includes(issuer.hostname);
  if (issuer.protocol !== 'https:' && !(issuer.protocol === 'http:' && loopback))
    throw new TypeError('issuer: https, or http on loopback: credentials would go over the network in the clear');
  const timeout = options.timeout ?? 10;
  const parameters = {
    ...(options.audience === undefined ? {} : { audience: options.audience }),
    ...(options.scope === undefined ? {} : { scope: options.scope }),
  };
  const send = bounded(options.fetch ?? fetch) as oauth.CustomFetch;
  let server: oauth.ServerMetadata | undefined;

  const configure = async (proof: oauth.ClientAuth, clientId: string): Promise<oauth.Configuration> => {
    const found = server ?? (await discover()).serverMetadata();
    server = found;
    const configuration = new oauth.Configuration(found, clientId, undefined, proof);
    configuration.timeout = timeout;
    configuration[oauth.customFetch] = send;
    if (loopback) oauth.allowInsecureRequests(configuration);
    return configuration;
  };
  const discover = () =>
    oauth.discovery(issuer, 'postern', undefined, undefined, {
      timeout,
      ...(loopback ? { execute: [oauth.allowInsecureRequests] } : {}),
      [oauth.customFetch]: send,
    });
  /** Reads the secret; the errors of that are the workload's own, and stay as they are. */
  const prepare = async (): Promise<() => Promise<oauth.TokenEndpointResponse>> => {
    if ('vaultToken' in options) {
      const token = await valueOf(options.vaultToken, timeout);
      const exchange = { ...parameters, subject_token: token, subject_token_type: VAULT_TOKEN_TYPE };
      // The Vault token is the whole credential: no client authentication goes along.
      return async () => oauth.genericGrantRequest(await configure(() => {}, 'vault'), TOKEN_EXCHANGE, exchange);
    }
    const proof =
      'privateKey' in options
        ? oauth.PrivateKeyJwt(options.kid === undefined ? options.privateKey : { key: options.privateKey, kid: options.kid })
        : oauth.ClientSecretBasic(await valueOf(options.clientSecret, timeout));
    return async () => oauth.clientCredentialsGrant(await configure(proof, options.clientId), parameters);
  };

  return async () => {
    const ask = await prepare();
    const asked = performance.now();
    try {
      const answer = await ask();
      if (answer.token_type !== 'bearer') throw new Error('its token_type is not Bearer');
      // RFC 6750 §2.1. What is no header would be told, whole, by the error of whoever makes one of it.
      if (!/^[\w.~+/-]+=*$/.test(answer.access_token)) throw new Error('its access_token is none that a header can carry');
      const life = Math.min(Math.max(answer.expires_in ?? LIFE_UNTOLD, LIFE_MIN), LIFE_MAX) * 1000;
      // A life shorter than the margin is used to its half: better a token that may end than none.
      const margin = Math.min(MARGIN_MS, life / 2);
      const refresh = life * REFRESH_AT * (1 - SPREAD * Math.random());
      return { token: answer.access_token, refreshAt: asked + refresh, endsAt: asked + life - margin };
    } catch (raw) {
      throw await toldBy(raw);
    }
  };
}

/**
 * Reads what Postern replies to its end, within the deadline of the call. A refusal whose body is too long, or breaks off, is one
 * still: what follows from it is in its status and headers.
 */
function bounded(send: typeof fetch): typeof fetch {
  return async (input, init) => {
    const response = await send(input, init);
    if (response.body === null) return response;
    const { status, statusText, headers } = response;
    const body = await textOf(response.body).catch((error: unknown) => {
      if (response.ok) throw error;
      return '';
    });
    return new Response(body, { status, statusText, headers });
  };
}

async function textOf(body: ReadableStream<Uint8Array>): Promise<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.byteLength;
    if (size > BODY_MAX) {
      reader.cancel().catch(() => {});
      // The library passes this kind on as it is.
      throw new TypeError(`a reply of more than ${BODY_MAX / 1024} KiB`);
    }
    text += decoder.decode(value, { stream: true });
  }
}

/** The library tells a refusal in three ways, by its status; here it is one. Its own errors hold the request, and are not passed on. */
async function toldBy(raw: unknown): Promise<unknown> {
  if (!(raw instanceof Error)) return raw;
  const response = responseOf(raw);
  if (response === undefined) return new CredentialsError(`Postern gives no answer that can be used: ${raw.message}`);
  const { status } = response;
  const body = raw instanceof oauth.ResponseBodyError ? raw.cause : await response.json().catch(() => ({}));
  const { error, error_description } = (body ?? {}) as { error?: unknown; error_description?: unknown };
  const code = worded(error);
  const description = worded(error_description);
  return new CredentialsError(
    `Postern answered ${status}${code === undefined ? '' : ` ${code}`}${description === undefined ? '' : `: ${description}`}`,
    { status, error: code, retryAfter: retryAfterOf(response.headers) },
  );
}

/** RFC 6749 §5.2 has printable ASCII; whatever else somebody on the way says, it makes no lines of its own in a log. */
function worded(told: unknown): string | undefined {
  return typeof told === 'string' ? told.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 256) : undefined;
}

function responseOf(raw: Error): Response | undefined {
  if (raw instanceof oauth.ResponseBodyError || raw instanceof oauth.WWWAuthenticateChallengeError) return raw.response;
  return raw.cause instanceof Response ? raw.cause : undefined;
}

/** Seconds. RFC 9110 §10.2.3: a number, or a date, which goes by the clock that the reply tells, since ours may be another. */
function retryAfterOf(headers: Headers): number | undefined {
  const told = headers.get('retry-after') ?? '';
  const theirNow = Date.parse(headers.get('date') ?? '');
  const seconds = /^\d+$/.test(told) ? Number(told) : (Date.parse(told) - (Number.isNaN(theirNow) ? Date.now() : theirNow)) / 1000;
  return seconds >= 0 ? Math.min(Math.ceil(seconds), RETRY_AFTER_MAX) : undefined;
}

/** ms to leave Postern alone after one more failure. Never less than it asked for. */
function pauseAfter(error: unknown, failuresBefore: number): number {
  const told = error instanceof CredentialsError ? error.retryAfter : undefined;
  if (told) return Math.min(told * (1 + SPREAD * Math.random()), RETRY_AFTER_MAX) * 1000;
  const pause = Math.min(PAUSE_MIN_MS * 2 ** failuresBefore, PAUSE_MAX_MS);
  return pause * (1 + SPREAD * (2 * Math.random() - 1));
}

/** Whether it makes sense to ask again for who waits. */
function isBusy({ status, retryAfter = 0 }: CredentialsError): boolean {
  return (status === 429 || status === 503) && retryAfter <= PATIENCE;
}

/** As the caller hears it: who comes back after as many seconds is not told to wait again. */
function refusalOf({ message, status, error }: CredentialsError, until: number, early = false): CredentialsError {
  const retryAfter = Math.max(Math.ceil((until - performance.now()) / 1000), 0);
  return new CredentialsError(early ? `${message} (it is asked again in ${retryAfter} s)` : message, { status, error, retryAfter });
}

async function valueOf(secret: Secret, timeout: number): Promise<string> {
  const value = (typeof secret === 'string' ? secret : await inTime(secret, timeout)).trim();
  if (value === '') throw new TypeError('the credential is empty');
  return value;
}

/** All requests wait for one reading of a secret: one that never ends must not stop them for good. */
async function inTime(secret: () => string | Promise<string>, timeout: number): Promise<string> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`the credential was not read within ${timeout} s`)), timeout * 1000);
  });
  const read = async () => secret();
  return Promise.race([read(), late]).finally(() => clearTimeout(timer));
}
