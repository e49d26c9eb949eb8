import { Auth0Client } from '@auth0/auth0-spa-js';
import { LoginEnded } from './api.ts';

/** What the broker tells a page that nobody has logged in to yet: no secret. */
export interface ConsoleConfig {
  issuer: string;
  client_id: string;
  audience: string;
  version: string;
}

/** What the console may ask Auth0 for; Auth0 grants what the person's permissions allow. */
const PERMISSIONS = ['read:tenants', 'read:keys', 'manage:tenants', 'manage:grants', 'manage:keys'];

/**
 * The login at Auth0: authorization code with PKCE (RFC 7636). Tokens stay in this page's memory; sessionStorage holds the PKCE verifier
 * during the way to Auth0 and back, and nothing after. There is no hidden frame and no refresh token: when the access token ends, or the page is loaded
 * again, the way goes through Auth0 once more, which asks for nothing while its own session lasts.
 */
export class Session {
  readonly #client: Auth0Client;

  constructor({ issuer, client_id: clientId, audience }: ConsoleConfig) {
    this.#client = new Auth0Client({
      domain: issuer.replace(/\/$/, ''),
      clientId,
      cacheLocation: 'memory',
      useRefreshTokens: false,
      authorizationParams: { audience, scope: `openid profile email ${PERMISSIONS.join(' ')}`, redirect_uri: here() },
    });
  }

  /** Ends a login that is under way. @returns whether somebody is logged in @throws Error as Auth0 words its refusal */
  async begin(): Promise<boolean> {
    const query = new URLSearchParams(location.search);
    if (query.has('state') && (query.has('code') || query.has('error'))) {
      try {
        const { appState } = await this.#client.handleRedirectCallback<{ view?: string }>();
        history.replaceState(undefined, '', `${here()}${appState?.view ?? ''}`);
        return true;
      } catch (error) {
        history.replaceState(undefined, '', here());
        throw error;
      }
    }
    return false;
  }

  login(): Promise<void> {
    return this.#client.loginWithRedirect({ appState: { view: location.hash } });
  }

  logout(): Promise<void> {
    return this.#client.logout({ logoutParams: { returnTo: here() } });
  }

  /** @throws Error where the login has ended */
  async token(): Promise<string> {
    const token = await this.#client.getTokenSilently({ cacheMode: 'cache-only' }).catch(() => undefined);
    if (token === undefined) throw new LoginEnded();
    return token;
  }

  async person(): Promise<string> {
    const user = await this.#client.getUser();
    return user?.email ?? user?.name ?? user?.sub ?? 'unknown';
  }

  /** For what is offered only: the server decides what is allowed. */
  async permissions(): Promise<ReadonlySet<string>> {
    const [, payload = ''] = (await this.token()).split('.');
    const { permissions } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))) as { permissions?: unknown };
    return new Set(Array.isArray(permissions) ? permissions.map(String) : []);
  }
}

/** This page, without query and fragment: what Auth0 has on its list. */
function here(): string {
  return `${location.origin}${location.pathname}`;
}
