import type { IncomingMessage } from 'node:http';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { applicationEndpoints } from './management-application.ts';
import { logEndpoints } from './management-logs.ts';
import { organizationEndpoints, userEndpoints } from './management-people.ts';
import { tenantEndpoints } from './management-tenant.ts';
import { Refusal } from './refusal.ts';
import type { Auth0Account } from './account.ts';
import type { LogDelivery } from './log-delivery.ts';
import type { Answer, Endpoint } from './management-endpoint.ts';
import type { RotatingIssuer } from './rotating-issuer.ts';

/**
 * As much of Auth0's Management API v2 as tells of applications and of people: who they are, where they belong, what they may do, and where
 * the tenant's log goes. Each change is an entry of that log, as at Auth0. https://auth0.com/docs/api/management/v2
 */
export class ManagementApi {
  readonly #issuer: RotatingIssuer;
  readonly #log: LogDelivery;
  readonly #endpoints: readonly Endpoint[];

  constructor(account: Auth0Account, issuer: RotatingIssuer, log: LogDelivery) {
    this.#issuer = issuer;
    this.#log = log;
    this.#endpoints = [
      ...userEndpoints(account),
      ...organizationEndpoints(account),
      ...tenantEndpoints(account),
      ...applicationEndpoints(account),
      ...logEndpoints(log),
    ];
  }

  /** @throws Refusal with Auth0's status */
  async answer(request: IncomingMessage, { pathname, searchParams }: URL, text: string): Promise<Answer> {
    const scopes = await this.#scopesOf(request.headers.authorization);
    const asked = `${request.method} ${pathname.slice('/api/v2/'.length)}`;
    for (const { pattern, scope, description, handle } of this.#endpoints) {
      const match = pattern.exec(asked);
      if (match === null) continue;
      if (!scopes.includes(scope)) throw new Refusal(403, 'Forbidden', `Insufficient scope, expected any of: ${scope}`);
      const ids = match.slice(1).map(decodeURIComponent);
      const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
      const done = handle({ ids, query: searchParams, body });
      if (request.method !== 'GET') this.#logged(request, pathname, body, description, done.status, ids);
      return done;
    }
    throw new Refusal(404, 'Not Found', 'Not Found');
  }

  async #scopesOf(authorization = ''): Promise<string[]> {
    const bearer = /^Bearer (\S+)$/i.exec(authorization)?.[1] ?? '';
    const verified = await jwtVerify(bearer, createLocalJWKSet(this.#issuer.jwks()), { audience: `${this.#issuer.url}api/v2/` }).catch(
      () => undefined,
    );
    if (verified === undefined) throw new Refusal(401, 'Unauthorized', 'Invalid token');
    const { scope } = verified.payload;
    return typeof scope === 'string' ? scope.split(' ') : [];
  }

  #logged(request: IncomingMessage, path: string, body: object, description: string, status: number, ids: string[]): void {
    const method = (request.method ?? '').toLowerCase();
    this.#log.write('sapi', {
      description,
      client_id: 'stand-in-dashboard',
      ip: '127.0.0.1',
      // Who did it, not to whom: that is in the path.
      user_id: 'auth0|administrator',
      details: {
        request: { method, path, query: {}, body, channel: 'https://manage.auth0.com/', ip: '127.0.0.1' },
        response: { statusCode: status, body: {} },
      },
    });
    if (method === 'delete' && /^\/api\/v2\/users\/[^/]+$/.test(path))
      this.#log.write('sdu', {
        description: 'User deleted',
        user_id: ids[0],
        strategy: ids[0]?.split('|')[0],
        details: {},
        ip: '127.0.0.1',
      });
  }
}
