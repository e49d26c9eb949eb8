import type { JWTPayload } from 'jose';
import type { TokenJudge } from '#broker/token/issued-tokens.ts';
import { RemoteIssuer } from '#broker/token/remote-issuer.ts';
import type { RemoteIssuerOptions } from '#broker/token/remote-issuer.ts';

export interface Auth0JudgeOptions extends RemoteIssuerOptions {
  /** The shared application, to which every token of ours was issued. */
  clientId: () => Promise<string>;
}

/**
 * Judges tokens that Auth0 issued to the shared application. It has a key set of its own, so that made-up kids use up
 * its cooldown and not that of the tokens being fetched.
 */
export class Auth0Judge implements TokenJudge {
  readonly issuer: string;
  readonly sharedClient = true;
  readonly #clientId: () => Promise<string>;
  readonly #auth0: RemoteIssuer;

  constructor(options: Auth0JudgeOptions) {
    this.issuer = options.issuer;
    this.#clientId = options.clientId;
    this.#auth0 = new RemoteIssuer(options);
  }

  /** Fetches of the key set since the start. */
  get fetches(): number {
    return this.#auth0.fetches;
  }

  lacks(kid: string): boolean {
    return this.#auth0.lacks(kid);
  }

  async judge(accessToken: string): Promise<JWTPayload | undefined> {
    const { claims } = await this.#auth0.verify(accessToken);
    if (claims === undefined) return undefined;
    const { azp, client_id: clientId = azp } = claims;
    const ours = await this.#clientId();
    // Other applications of the same Auth0 tenant have tokens for the same APIs.
    return clientId === ours && (azp === undefined || azp === ours) ? claims : undefined;
  }
}
