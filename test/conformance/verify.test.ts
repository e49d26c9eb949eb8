import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import type { ErrorRequestHandler } from 'express';
import { auth, claimEquals, claimIncludes, requiredScopes } from 'express-oauth2-jwt-bearer';
import type { AuthOptions } from 'express-oauth2-jwt-bearer';
import { createRemoteJWKSet, decodeProtectedHeader, errors, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiVariables } from '#test/fixture/broker.ts';
import { APIS, PLAN, startStage } from './stage.ts';
import type { ApiName, Stage } from './stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await startStage();
});
afterAll(() => stage?.[Symbol.asyncDispose]());

const granted = (Object.keys(APIS) as ApiName[]).filter((api) => api !== 'payroll');
const dialectOf = (api: ApiName): string => (APIS[api] as ApiVariables).dialect ?? 'access_token';

/** What a service answers that runs Auth0's verifier, when it is shown a token. */
async function shown(
  token: string | undefined,
  options: AuthOptions,
  ...checks: express.Handler[]
): Promise<{ status: number; code?: string; payload?: Record<string, unknown>; challenge: string | null }> {
  const refuse: ErrorRequestHandler = (
    error: { status?: number; code?: string; headers?: Record<string, string> },
    _request,
    response,
    _next,
  ) => {
    response
      .set(error.headers ?? {})
      .status(error.status ?? 500)
      .json({ code: error.code });
  };
  const app = express()
    .use(auth(options), ...checks, (request, response) => void response.json({ payload: request.auth?.payload }))
    .use(refuse);
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, { headers });
    return { status: response.status, challenge: response.headers.get('www-authenticate'), ...((await response.json()) as object) };
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

describe("express-oauth2-jwt-bearer, Auth0's own verifier", () => {
  const plain = (api: ApiName): AuthOptions => ({ issuerBaseURL: stage.issuerOf(api), audience: APIS[api].audience });

  it.each(granted.map((api) => ({ api, source: APIS[api].source, dialect: dialectOf(api) })))(
    'takes a token by $source in $dialect ($api), with its scopes and the claim of its tenant',
    async ({ api }) => {
      const answer = await shown(
        await stage.tokenFor(api),
        { ...plain(api), tokenSigningAlg: 'RS256' },
        requiredScopes([...APIS[api].scopes]),
        claimEquals('https://postern.dev/tenant', 'acme'),
      );
      expect(answer.status).toBe(200);
    },
  );

  it.each(granted.filter((api) => dialectOf(api).startsWith('rfc9068')).map((api) => ({ api, dialect: dialectOf(api) })))(
    'takes $api ($dialect) in its strict mode',
    async ({ api }) => {
      const answer = await shown(await stage.tokenFor(api), { ...plain(api), strict: true }, requiredScopes([...APIS[api].scopes]));
      expect(answer.status).toBe(200);
      expect(answer.payload).toMatchObject({ jti: expect.any(String), client_id: expect.any(String) });
      expect(answer.payload).not.toHaveProperty('gty');
    },
  );

  it.each(granted.filter((api) => dialectOf(api).endsWith('_authz')))('finds the permissions of %s', async (api) => {
    const answer = await shown(await stage.tokenFor(api), plain(api), claimIncludes('permissions', ...APIS[api].scopes));
    expect(answer.status).toBe(200);
  });

  it("finds a tenant's own claims", async () => {
    const [[claim, value]] = Object.entries(PLAN) as [[string, string]];
    expect((await shown(await stage.tokenFor('reports'), plain('reports'), claimEquals(claim, value))).status).toBe(200);
    expect((await shown(await stage.tokenFor('reports'), plain('reports'), claimEquals(claim, 'silver'))).status).toBe(401);
  });

  it.each(granted.map((api) => ({ api, source: APIS[api].source, dialect: dialectOf(api) })))(
    "takes a person's token by $source in $dialect ($api): sub, permissions and org_id as of anybody else",
    async ({ api, source, dialect }) => {
      const { id, organization, keyId, credential } = stage.person;
      const scopes = [...APIS[api].scopes];
      const answer = await shown(
        await stage.tokenFor(api, {}, credential),
        plain(api),
        requiredScopes(scopes),
        ...(dialect.endsWith('_authz') ? [claimIncludes('permissions', ...scopes)] : []),
        ...(source === 'transit' ? [claimEquals('sub', id), claimEquals('org_id', organization)] : []),
      );
      expect(answer.status).toBe(200);
      expect(answer.payload).toMatchObject(
        source === 'transit'
          ? { sub: id, act: { sub: keyId } }
          : { 'https://postern.dev/tenant_owner': id, 'https://postern.dev/tenant_key': keyId },
      );
      expect(answer.payload).not.toHaveProperty(source === 'transit' ? 'gty' : 'act');
    },
  );

  it('refuses a token for another API', async () => {
    const answer = await shown(await stage.tokenFor('reports'), { ...plain('reports'), audience: APIS.stock.audience });
    expect(answer).toMatchObject({ status: 401, code: 'invalid_token' });
  });

  it('refuses a scope that the token does not have', async () => {
    const answer = await shown(
      await stage.tokenFor('reports', { scope: 'read:reports' }),
      plain('reports'),
      requiredScopes('write:reports'),
    );
    expect(answer).toMatchObject({ status: 403, code: 'insufficient_scope' });
  });

  it("refuses a token of the default dialect in its strict mode, as it does Auth0's", async () => {
    expect((await shown(await stage.tokenFor('reports'), { ...plain('reports'), strict: true })).status).toBe(401);
  });

  it('refuses a token that somebody changed', async () => {
    const [header, payload = '', signature] = (await stage.tokenFor('reports')).split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
    const forged = Buffer.from(JSON.stringify({ ...claims, 'https://postern.dev/tenant': 'globex' })).toString('base64url');
    expect((await shown(`${header}.${forged}.${signature}`, plain('reports'))).status).toBe(401);
  });

  it('asks for a token where there is none', async () => {
    expect(await shown(undefined, plain('reports'))).toMatchObject({ status: 401, challenge: expect.stringMatching(/^Bearer/) });
  });
});

describe('jose, by discovery and createRemoteJWKSet', () => {
  const keysOf = async (issuer: string) => {
    const { jwks_uri } = (await (await fetch(`${issuer}.well-known/openid-configuration`)).json()) as { jwks_uri: string };
    return createRemoteJWKSet(new URL(jwks_uri));
  };

  it.each(granted)('verifies the token for %s', async (api) => {
    const token = await stage.tokenFor(api);
    const issuer = stage.issuerOf(api);
    const rfc9068 = dialectOf(api).startsWith('rfc9068');
    const { payload, protectedHeader } = await jwtVerify(token, await keysOf(issuer), {
      issuer,
      audience: APIS[api].audience,
      algorithms: ['RS256'],
      typ: rfc9068 ? 'at+jwt' : 'JWT',
    });
    expect(protectedHeader.kid).toBeTypeOf('string');
    expect(payload['scope']).toBe(APIS[api].scopes.join(' '));
    expect(payload.sub).toMatch(/@clients$/);
    const client = payload.sub?.replace(/@clients$/, '');
    expect(rfc9068 ? payload['client_id'] : payload['azp']).toBe(client);
    expect(payload['gty']).toBe(rfc9068 ? undefined : 'client-credentials');
    // The default dialect has no jti at Auth0 either.
    expect(typeof payload.jti).toBe(rfc9068 ? 'string' : 'undefined');
  });

  it('names the customer where the broker is the issuer: the role_id it came with', async () => {
    const { payload } = await jwtVerify(await stage.tokenFor('reports'), await keysOf(stage.replica.issuer));
    expect(payload.sub).toBe(`${stage.acme.client_id}@clients`);
  });

  it('refuses a token that another key signed', async () => {
    // Auth0's token against the broker's keys: no key of that id.
    const foreign = await stage.tokenFor('orders');
    await expect(jwtVerify(foreign, await keysOf(stage.replica.issuer))).rejects.toBeInstanceOf(errors.JWKSNoMatchingKey);
    expect(decodeProtectedHeader(foreign).alg).toBe('RS256');
  });
});
