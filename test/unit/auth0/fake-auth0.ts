import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { CryptoKey, JWK, JWTPayload } from 'jose';
import { Loopback } from '#test/unit/vault/loopback.ts';
import type { Answer, Received } from '#test/unit/vault/loopback.ts';

export const CLIENT = 'shared-m2m';
export const SECRET = 'canary-upstream-secret-4f1d';
export const TENANT_CLAIM = 'https://postern.dev/tenant';

export interface KeyPair {
  privateKey: CryptoKey;
  jwk: JWK & { kid: string };
}

export async function keyPair(kid: string): Promise<KeyPair> {
  const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'RS256', use: 'sig' } };
}

/** Auth0's token endpoint and key set on loopback, with everything that a test may want to be wrong. */
export class FakeAuth0 implements AsyncDisposable {
  readonly server: Loopback;
  readonly key: KeyPair;
  published: JWK[];
  /** Secrets that are right now. */
  secrets = [SECRET];
  /** Answers in place of a token. */
  override: Answer | undefined;
  /** Whose requests hold this text are answered so, and nobody else's. */
  failsFor: { readonly text: string; readonly answer: [number, unknown, Record<string, string>] } | undefined;
  keysDown = false;
  /** What is laid over the claims and the header; undefined takes one away. */
  claims: JWTPayload = {};
  header: Record<string, unknown> = {};
  /** Makes the whole token by hand. */
  forge: ((payload: JWTPayload) => Promise<string> | string) | undefined;
  scope: string | undefined;

  private constructor(server: Loopback, key: KeyPair) {
    this.server = server;
    this.key = key;
    this.published = [key.jwk];
  }

  static async start(key: KeyPair): Promise<FakeAuth0> {
    const server = await Loopback.start();
    const fake = new FakeAuth0(server, key);
    server.answer = (request, response, raw) => fake.#answer(request, response, raw);
    return fake;
  }

  get issuer(): string {
    return `${this.server.origin}/`;
  }

  get exchanges(): Received[] {
    return this.server.received.filter(({ url }) => url === '/oauth/token');
  }

  get fetches(): number {
    return this.server.received.filter(({ url }) => url === '/.well-known/jwks.json').length;
  }

  parametersOf(index: number): Record<string, string> {
    return Object.fromEntries(new URLSearchParams(this.exchanges[index]?.body));
  }

  async sign(payload: JWTPayload, key: KeyPair = this.key, header: Record<string, unknown> = {}): Promise<string> {
    return new SignJWT(payload).setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: key.jwk.kid, ...header }).sign(key.privateKey);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server[Symbol.asyncDispose]();
  }

  #answer: Answer = async (request, response, raw) => {
    if (request.url === '/.well-known/jwks.json') return this.keysDown ? [503, { error: 'down' }] : [200, { keys: this.published }];
    if (this.failsFor !== undefined && request.body.includes(this.failsFor.text)) return this.failsFor.answer;
    if (this.override) return this.override(request, response, raw);
    const asked = Object.fromEntries(new URLSearchParams(request.body)) as Record<string, string | undefined>;
    if (!this.secrets.includes(asked['client_secret'] ?? ''))
      return [401, { error: 'access_denied', error_description: `Unauthorized: ${asked['client_secret']}` }];
    const iat = Math.floor(Date.now() / 1000);
    const scope = this.scope ?? asked['scope'] ?? '';
    const payload: JWTPayload = {
      iss: this.issuer,
      sub: `${CLIENT}@clients`,
      aud: asked['audience'] ?? '',
      iat,
      exp: iat + 86_400,
      azp: CLIENT,
      gty: 'client-credentials',
      scope,
      ...(asked['organization'] === undefined ? {} : { org_id: asked['organization'] }),
      ...(asked['postern_tenant'] === undefined ? {} : { [TENANT_CLAIM]: asked['postern_tenant'] }),
      ...this.claims,
    };
    const token = this.forge ? await this.forge(payload) : await this.sign(payload, this.key, this.header);
    return [200, { access_token: token, token_type: 'Bearer', expires_in: 86_400, scope }];
  };
}
