import type { IncomingMessage, RequestListener } from 'node:http';
import { generateKeyPairSync, sign } from 'node:crypto';
import { Events, OAuth2Service } from 'oauth2-mock-server';
import type { MutableRedirectUri, MutableResponse, MutableToken } from 'oauth2-mock-server';
import { accessTokenClaims, lifetimeOf, personClaims, scopesOf } from './claims.ts';
import type { Exchange } from './grant.ts';
import type { RotatingIssuer } from './rotating-issuer.ts';
import type { Login, Logins } from './login.ts';

/** What has been allowed, and so what goes into the token. */
export type Outcome =
  | {
      kind: 'exchange';
      exchange: Exchange;
      custom: Record<string, unknown>;
      /** Overwrites the true claims. */
      tampering: (claims: Record<string, unknown>) => Record<string, unknown>;
      /** Signed by a key that isn't the issuer's. */
      forged: boolean;
    }
  | { kind: 'login'; login: Login };

/**
 * oauth2-mock-server with its hooks set: it signs, answers and runs the authorization-code flow
 * with PKCE; the hooks give its tokens and answers Auth0's contents. It signs nothing for a request
 * that was not allowed before.
 */
export class Mint {
  readonly handle: RequestListener;
  readonly #issuer: RotatingIssuer;
  readonly #outcomes = new WeakMap<IncomingMessage, Outcome>();
  readonly #starting = new WeakMap<IncomingMessage, Omit<Login, 'expires'>>();

  constructor(issuer: RotatingIssuer, logins: Logins) {
    this.#issuer = issuer;
    const service = new OAuth2Service(issuer, {
      token: '/oauth/token',
      jwks: '/.well-known/jwks.json',
      authorize: '/authorize',
      userinfo: '/userinfo',
      revoke: '/oauth/revoke',
      endSession: '/oidc/logout',
      introspect: '/oauth/introspect',
    });
    service.on(Events.BeforeWellKnownOpenIdConfiguration, (response: MutableResponse) => {
      Object.assign(response.body, {
        token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
        scopes_supported: ['openid', 'profile', 'email'],
        claims_supported: ['aud', 'email', 'exp', 'iat', 'iss', 'name', 'sub'],
        grant_types_supported: ['client_credentials', 'authorization_code'],
      });
    });
    service.on(Events.BeforeTokenSigning, (token: MutableToken, request: IncomingMessage) => this.#fill(token, request));
    service.on(Events.BeforeResponse, (response: MutableResponse, request: IncomingMessage) => this.#answer(response, request));
    service.on(Events.BeforeAuthorizeRedirect, (redirect: MutableRedirectUri, request: IncomingMessage) => {
      const code = redirect.url.searchParams.get('code');
      const login = this.#starting.get(request);
      if (code !== null && login) logins.keep(code, login);
    });
    this.handle = service.requestHandler;
  }

  /** This request may have its token. */
  allow(request: IncomingMessage, outcome: Outcome): void {
    this.#outcomes.set(request, outcome);
  }

  /** This request at /authorize is somebody's login. */
  begin(request: IncomingMessage, login: Omit<Login, 'expires'>): void {
    this.#starting.set(request, login);
  }

  #fill(token: MutableToken, request: IncomingMessage): void {
    const outcome = this.#outcomes.get(request);
    if (!outcome) throw new Error('a token was asked for by no allowed request');
    const url = this.#issuer.url as string;
    if (outcome.kind === 'exchange') {
      const { type, claims } = accessTokenClaims(url, outcome.exchange, outcome.custom, token.payload.iat);
      token.header['typ'] = type;
      token.payload = { ...claims, ...outcome.tampering(claims) } as unknown as MutableToken['payload'];
      return;
    }
    const { login } = outcome;
    const { iat, nonce } = token.payload as { iat: number; nonce?: unknown };
    // The mock builds two tokens for a login; only the ID token has the nonce, and its audience where the body names the client.
    const kind = nonce !== undefined || token.payload['aud'] === login.client.id ? 'id' : 'access';
    if (kind === 'access' && login.api?.dialect?.startsWith('rfc9068')) token.header['typ'] = 'at+jwt';
    const claims = personClaims(url, login, kind, iat);
    token.payload = { ...claims, ...(nonce === undefined ? {} : { nonce }) } as unknown as MutableToken['payload'];
  }

  #answer(response: MutableResponse, request: IncomingMessage): void {
    const outcome = this.#outcomes.get(request);
    if (!outcome || response.body === '') return;
    const { access_token, id_token } = response.body;
    const scope = outcome.kind === 'exchange' ? outcome.exchange.scopes.join(' ') : scopesOf(outcome.login).join(' ');
    response.body = {
      access_token: outcome.kind === 'exchange' && outcome.forged ? forge(String(access_token)) : access_token,
      ...(id_token === undefined ? {} : { id_token }),
      ...(scope === '' ? {} : { scope }),
      expires_in: lifetimeOf(outcome.kind === 'exchange' ? outcome.exchange.api : (outcome.login.api ?? {})),
      token_type: 'Bearer',
    };
  }
}

/** The same token with another key's signature. */
function forge(jwt: string): string {
  const signed = jwt.slice(0, jwt.lastIndexOf('.'));
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`;
}
