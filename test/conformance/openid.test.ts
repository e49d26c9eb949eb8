import { decodeJwt } from 'jose';
import * as client from 'openid-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registerSecret } from '#test/fixture/ledger.ts';
import { APIS, UNKNOWN_AUDIENCE, startStage } from './stage.ts';
import type { Stage } from './stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await startStage();
});
afterAll(() => stage?.[Symbol.asyncDispose]());

const methods = { client_secret_post: client.ClientSecretPost, client_secret_basic: client.ClientSecretBasic };
/** OpenID Connect Discovery 1.0 and RFC 8414. */
const discoveries = ['oidc', 'oauth2'] as const;

const discover = (method: keyof typeof methods, secret = stage.acme.client_secret, algorithm: (typeof discoveries)[number] = 'oidc') =>
  client.discovery(new URL(stage.replica.issuer), stage.acme.client_id, undefined, methods[method](secret), { algorithm });

describe.each(Object.keys(methods) as (keyof typeof methods)[])('openid-client by %s', (method) => {
  it.each(discoveries.flatMap((algorithm) => (['orders', 'reports'] as const).map((api) => ({ algorithm, api }))))(
    'finds the endpoint by $algorithm discovery and gets a token for $api',
    async ({ algorithm, api }) => {
      const configuration = await discover(method, undefined, algorithm);
      const answer = await client.clientCredentialsGrant(configuration, { audience: APIS[api].audience, scope: APIS[api].scopes[0] });
      registerSecret('access token', answer.access_token);
      expect(decodeJwt(answer.access_token)).toMatchObject({
        iss: stage.issuerOf(api),
        aud: APIS[api].audience,
        scope: APIS[api].scopes[0],
        'https://postern.dev/tenant': 'acme',
      });
      expect(answer.scope).toBe(APIS[api].scopes[0]);
      expect(answer.token_type).toBe('bearer');
      expect(answer.expiresIn()).toBeGreaterThan(3_000);
    },
  );

  it.each([
    {
      fault: 'a wrong secret',
      secret: 'wrong-secret',
      audience: APIS.orders.audience,
      expected: { status: 401, error: 'access_denied', error_description: 'Unauthorized' },
    },
    { fault: 'an unknown audience', audience: UNKNOWN_AUDIENCE, expected: { status: 403, error: 'access_denied' } },
    { fault: 'an API without a grant', audience: APIS.payroll.audience, expected: { status: 403, error: 'access_denied' } },
    {
      fault: 'an unknown scope',
      audience: APIS.reports.audience,
      scope: 'drop:reports',
      expected: { status: 400, error: 'invalid_scope' },
    },
  ])('tells $fault as its own error', async ({ secret, audience, scope, expected }) => {
    const configuration = await discover(method, secret);
    const refused = await client
      .clientCredentialsGrant(configuration, { audience, ...(scope ? { scope } : {}) })
      .catch((error: unknown) => error);
    // A 401 with a WWW-Authenticate header, which answers Basic only, is a class of its own here.
    const challenged = method === 'client_secret_basic' && expected.status === 401;
    expect(refused).toBeInstanceOf(challenged ? client.WWWAuthenticateChallengeError : client.ResponseBodyError);
    if (challenged) expect(refused).toMatchObject({ status: 401, cause: [{ scheme: 'basic', parameters: { realm: 'postern' } }] });
    else expect(refused).toMatchObject(expected);
  });

  it('encodes what a form must encode, and is understood', async () => {
    // RFC 6749 §2.3.1: Basic carries form-encoded parts. A secret that needs it is wrong here, yet well-formed.
    const refused = await client
      .clientCredentialsGrant(await discover(method, 'a+b/c=d%e:f'), { audience: APIS.orders.audience })
      .catch((error: unknown) => error);
    expect(refused).toMatchObject({ status: 401 });
  });
});

describe('the discovery documents', () => {
  const paths = ['.well-known/openid-configuration', '.well-known/oauth-authorization-server'] as const;
  const documentAt = async (path: string) => {
    const response = await fetch(`${stage.replica.issuer}${path}`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toMatch(/^application\/json/);
    return (await response.json()) as Record<string, unknown>;
  };

  it.each(paths)('%s names what the standards require, at the issuer itself', async (path) => {
    const { issuer } = stage.replica;
    const document = await documentAt(path);
    expect(document).toMatchObject({
      issuer,
      token_endpoint: `${issuer}oauth/token`,
      jwks_uri: `${issuer}.well-known/jwks.json`,
      grant_types_supported: expect.arrayContaining(['client_credentials']),
    });
    for (const required of ['response_types_supported', 'subject_types_supported', 'id_token_signing_alg_values_supported'])
      expect(document[required], required).toBeInstanceOf(Array);
    expect(document['token_endpoint_auth_methods_supported']).toEqual(
      expect.arrayContaining(['client_secret_post', 'client_secret_basic']),
    );
  });

  it('are the same, as at Auth0', async () => {
    expect(await documentAt(paths[0])).toEqual(await documentAt(paths[1]));
  });

  it('lead to keys that name their use, algorithm and id, and hold nothing private', async () => {
    const response = await fetch(String((await documentAt(paths[0]))['jwks_uri']));
    const { keys } = (await response.json()) as { keys: Record<string, unknown>[] };
    expect(keys.length).toBeGreaterThan(0);
    for (const key of keys) {
      expect(key).toMatchObject({
        kty: 'RSA',
        use: 'sig',
        alg: 'RS256',
        kid: expect.stringMatching(/^[\w-]{16,}$/),
        n: expect.any(String),
        e: 'AQAB',
      });
      for (const part of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']) expect(key, part).not.toHaveProperty(part);
    }
    expect(new Set(keys.map(({ kid }) => kid)).size).toBe(keys.length);
    // Verifiers may keep them, but not for ever: rotation waits for that long.
    expect(response.headers.get('cache-control')).toMatch(/max-age=\d+/);
  });
});
