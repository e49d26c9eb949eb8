import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose';
import type { FetchImplementation, JWTPayload } from 'jose';
import { PosternError } from '#broker/error.ts';
import type { TokenJudge } from '#broker/token/issued-tokens.ts';

export interface Auth0JudgeOptions {
  /** e.g. `https://acme.eu.auth0.com/`, with its trailing slash. */
  issuer: string;
  /** The shared application, to which every token of ours was issued. */
  clientId: () => Promise<string>;
  /** Deadline of a call to Auth0, ms. Default 5000. */
  timeoutMs?: number;
  now?: () => number;
}

/** Keys are fetched again for an unknown kid, at most so often, ms. */
const COOLDOWN = 30_000;
/** After a failed fetch of the keys, ms: who presents token after token must not make one fetch each. */
const PAUSE = 5_000;
/** What jose says of an answer that is no key set. */
const NO_KEY_SET: ReadonlySet<unknown> = new Set(['ERR_JOSE_GENERIC', 'ERR_JWKS_INVALID', 'ERR_JWKS_TIMEOUT']);
const ACCESS_TOKEN_TYP = /^(application\/)?(at\+)?jwt$/i;

/**
 * Judges tokens that Auth0 issued to the shared application. It has a key set of its own: whoever presents made-up kids
 * uses up its cooldown, and not that of the tokens that are being fetched.
 */
export class Auth0Judge implements TokenJudge {
  readonly issuer: string;
  /** Fetches of the key set since the start. */
  fetches = 0;
  readonly #clientId: () => Promise<string>;
  readonly #now: () => number;
  readonly #keys: ReturnType<typeof createRemoteJWKSet>;
  #pausedUntil = 0;

  constructor(options: Auth0JudgeOptions) {
    this.issuer = options.issuer;
    this.#clientId = options.clientId;
    this.#now = options.now ?? Date.now;
    this.#keys = createRemoteJWKSet(new URL('.well-known/jwks.json', options.issuer), {
      timeoutDuration: options.timeoutMs ?? 5000,
      cooldownDuration: COOLDOWN,
      [customFetch]: (...request: Parameters<FetchImplementation>) => this.#fetch(...request),
    });
  }

  async judge(accessToken: string): Promise<JWTPayload | undefined> {
    const claims = await this.#verified(accessToken);
    if (claims === undefined) return undefined;
    const { azp, client_id: clientId = azp } = claims;
    const ours = await this.#clientId();
    // Other applications of the same Auth0 tenant have tokens for the same APIs.
    return clientId === ours && (azp === undefined || azp === ours) ? claims : undefined;
  }

  async #verified(accessToken: string): Promise<JWTPayload | undefined> {
    try {
      const { payload, protectedHeader } = await jwtVerify(accessToken, this.#keys, {
        issuer: this.issuer,
        algorithms: ['RS256'],
        currentDate: new Date(this.#now()),
      });
      return protectedHeader.typ === undefined || ACCESS_TOKEN_TYP.test(protectedHeader.typ) ? payload : undefined;
    } catch (error) {
      if (error instanceof PosternError) throw error;
      if (NO_KEY_SET.has((error as { code?: unknown }).code)) throw this.#away();
      return undefined;
    }
  }

  async #fetch(...[url, options]: Parameters<FetchImplementation>): Promise<Response> {
    if (this.#now() < this.#pausedUntil) throw this.#away();
    this.fetches++;
    try {
      const response = await fetch(url, options);
      if (response.status === 200) return response;
      await response.body?.cancel();
    } catch {
      // Told below; what a fetch throws may hold more than may be logged.
    }
    this.#pausedUntil = this.#now() + PAUSE;
    throw this.#away();
  }

  #away(): PosternError {
    return new PosternError('temporarily_unavailable', 'The token issuer is not available', {
      detail: "Auth0's keys cannot be fetched",
      retryAfter: 5,
    });
  }
}
