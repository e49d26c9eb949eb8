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
  /** Deadline of one call to Postern, seconds. Default 10. */
  readonly timeout?: number;
  /** For tests and proxies. Default: the global one. */
  readonly fetch?: typeof fetch;
}

export interface Credentials {
  /**
   * As the global `fetch`, with the token: paths are taken relative to the service. Where the service answers 401 to a token,
   * the request is sent once more with a new one, if its body can be sent twice.
   * @throws {TypeError} for an origin that is not the service's
   */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>;
  /**
   * A token that lives. It is fetched anew in the background after four fifths of its life; until then, and while Postern is
   * away, the one at hand is given.
   * @throws {CredentialsError}
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
  /** Seconds, from Retry-After. */
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
/** A token is not sent in its last seconds, which it may not survive on its way. */
const MARGIN_MS = 5_000;
/** After a failure in the background, before the next attempt. */
const PAUSE_MS = 5_000;
/** Longest wait that Postern may ask for (Retry-After) before a first token is given up, and how often. */
const PATIENCE_MS = 10_000;
const ATTEMPTS = 3;

interface Held {
  readonly token: string;
  /** By the monotonic clock, ms: a clock that is set makes no token older. */
  readonly refreshAt: number;
  readonly endsAt: number;
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
  let flight: Promise<Held> | undefined;
  let pauseUntil = 0;

  const renew = (): Promise<Held> =>
    (flight ??= issue()
      .then((fresh) => (held = fresh))
      .finally(() => (flight = undefined)));

  const token = async (): Promise<string> => {
    const now = performance.now();
    if (held === undefined || now >= held.endsAt) return (await renew()).token;
    if (now >= held.refreshAt && now >= pauseUntil && flight === undefined) {
      renew().catch(() => (pauseUntil = performance.now() + PAUSE_MS));
    }
    return held.token;
  };

  return {
    token,
    async fetch(input, init) {
      const request = input instanceof Request ? new Request(input, init) : new Request(new URL(input, service), init);
      if (new URL(request.url).origin !== service.origin)
        throw new TypeError(`This token is for ${service.origin} only, not for ${new URL(request.url).origin}`);
      // A body that is a stream can be read once; a copy of it would have to be held in memory.
      const body = init?.body ?? (input instanceof Request ? input.body : null);
      const again = body instanceof ReadableStream ? undefined : request.clone();
      const used = await token();
      const response = await send(withToken(request, used));
      if (response.status !== 401 || again === undefined) return response;
      await response.body?.cancel();
      if (held?.token === used) held = undefined;
      return send(withToken(again, await token()));
    },
  };
}

function withToken(request: Request, token: string): Request {
  request.headers.set('Authorization', `Bearer ${token}`);
  return request;
}

/** One way to a new token, whatever the proof. */
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
  let server: oauth.ServerMetadata | undefined;

  const configure = async (proof: oauth.ClientAuth, clientId: string): Promise<oauth.Configuration> => {
    const found = server ?? (await discover()).serverMetadata();
    server = found;
    const configuration = new oauth.Configuration(found, clientId, undefined, proof);
    configuration.timeout = timeout;
    if (options.fetch) configuration[oauth.customFetch] = options.fetch as oauth.CustomFetch;
    if (loopback) oauth.allowInsecureRequests(configuration);
    return configuration;
  };
  const discover = () =>
    oauth.discovery(issuer, 'postern', undefined, undefined, {
      timeout,
      ...(loopback ? { execute: [oauth.allowInsecureRequests] } : {}),
      ...(options.fetch ? { [oauth.customFetch]: options.fetch as oauth.CustomFetch } : {}),
    });
  /** Reads the secret; the errors of that are the workload's own, and stay as they are. */
  const prepare = async (): Promise<() => Promise<oauth.TokenEndpointResponse>> => {
    if ('vaultToken' in options) {
      const exchange = { ...parameters, subject_token: await valueOf(options.vaultToken), subject_token_type: VAULT_TOKEN_TYPE };
      // The Vault token is the whole credential: no client authentication goes along.
      return async () => oauth.genericGrantRequest(await configure(() => {}, 'vault'), TOKEN_EXCHANGE, exchange);
    }
    const proof =
      'privateKey' in options
        ? oauth.PrivateKeyJwt(options.kid === undefined ? options.privateKey : { key: options.privateKey, kid: options.kid })
        : oauth.ClientSecretBasic(await valueOf(options.clientSecret));
    return async () => oauth.clientCredentialsGrant(await configure(proof, options.clientId), parameters);
  };

  return async () => {
    for (let attempt = 1; ; attempt++) {
      const ask = await prepare();
      const asked = performance.now();
      try {
        const answer = await ask();
        const life = (answer.expires_in ?? 0) * 1000;
        // A life shorter than the margin is used to its half: better a token that may end than none.
        const margin = Math.min(MARGIN_MS, life / 2);
        return { token: answer.access_token, refreshAt: asked + life * REFRESH_AT, endsAt: asked + life - margin };
      } catch (raw) {
        const error = await toldBy(raw);
        const wait = waitAfter(error);
        if (wait === undefined || attempt === ATTEMPTS) throw error;
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  };
}

/** The library tells a refusal in three ways, by its status; here it is one. Its own errors hold the request, and are not passed on. */
async function toldBy(raw: unknown): Promise<unknown> {
  if (!(raw instanceof Error)) return raw;
  const response = responseOf(raw);
  if (response === undefined) return new CredentialsError(`Postern gives no answer that can be used: ${raw.message}`);
  const { status } = response;
  const body = raw instanceof oauth.ResponseBodyError ? raw.cause : await response.json().catch(() => ({}));
  const { error, error_description: description } = body as { error?: unknown; error_description?: unknown };
  const after = Number(response.headers.get('retry-after') ?? Number.NaN);
  return new CredentialsError(
    `Postern answered ${status}${typeof error === 'string' ? ` ${error}` : ''}${typeof description === 'string' ? `: ${description}` : ''}`,
    {
      status,
      error: typeof error === 'string' ? error : undefined,
      retryAfter: Number.isFinite(after) && after >= 0 ? after : undefined,
    },
  );
}

function responseOf(raw: Error): Response | undefined {
  if (raw instanceof oauth.ResponseBodyError || raw instanceof oauth.WWWAuthenticateChallengeError) return raw.response;
  return raw.cause instanceof Response ? raw.cause : undefined;
}

/** ms to wait before it makes sense to ask again; undefined where it makes none. RFC 9110 §10.2.3. */
function waitAfter(error: unknown): number | undefined {
  if (!(error instanceof CredentialsError) || (error.status !== 429 && error.status !== 503)) return undefined;
  const wait = (error.retryAfter ?? 1) * 1000;
  return wait <= PATIENCE_MS ? wait : undefined;
}

async function valueOf(secret: Secret): Promise<string> {
  const value = (typeof secret === 'string' ? secret : await secret()).trim();
  if (value === '') throw new TypeError('the credential is empty');
  return value;
}
