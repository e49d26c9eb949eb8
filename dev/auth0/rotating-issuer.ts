import { OAuth2Issuer } from 'oauth2-mock-server';
import type { TokenBuildOptions } from 'oauth2-mock-server';
import { exportJWK, generateKeyPair } from 'jose';
import type { JWK } from 'jose';
import { randomBytes } from 'node:crypto';

/**
 * Signs with one key at a time and publishes three, as Auth0 does: current, next and previous.
 * oauth2-mock-server by itself takes its keys in turn and never forgets one.
 */
export class RotatingIssuer extends OAuth2Issuer {
  /** Key ids: previous (from the first rotation on), current, next. */
  #published: string[] = [];

  constructor() {
    super(true); // the issuer keeps its trailing slash
  }

  async start(): Promise<void> {
    this.#published = await Promise.all([this.#generate(), this.#generate()]);
  }

  /** The next key signs from now on; the one before the previous leaves the JWKS. */
  async rotate(): Promise<void> {
    this.#published = [...this.#published.slice(-2), await this.#generate()];
  }

  get signingKid(): string {
    return this.#published.at(-2) as string;
  }

  jwks(): { keys: JWK[] } {
    return { keys: this.keys.toJSON().filter(({ kid }) => this.#published.includes(kid)) as JWK[] };
  }

  override buildToken(options?: TokenBuildOptions): Promise<string> {
    return super.buildToken({ ...options, kid: this.signingKid });
  }

  async #generate(): Promise<string> {
    const { privateKey } = await generateKeyPair('RS256', { extractable: true });
    const kid = randomBytes(16).toString('base64url');
    await this.keys.add({ ...(await exportJWK(privateKey)), kid, alg: 'RS256', use: 'sig' });
    return kid;
  }
}
