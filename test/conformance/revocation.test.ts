import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import * as client from 'openid-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { APIS, startStage } from './stage.ts';
import type { Stage } from './stage.ts';
import { virtualEnvironment } from './virtual-environment.ts';

/** RFC 7662 and RFC 7009 by clients that others wrote, which find the endpoints in the metadata. */

const METHODS = ['client_secret_post', 'client_secret_basic'] as const;
const SOURCES = ['orders', 'reports'] as const;

let stage: Stage;
beforeAll(async () => {
  stage = await startStage();
});
afterAll(() => stage?.[Symbol.asyncDispose]());

const expected = (api: (typeof SOURCES)[number]) => ({
  active: true,
  token_type: 'Bearer',
  aud: APIS[api].audience,
  iss: stage.issuerOf(api),
  scope: APIS[api].scopes.join(' '),
  exp: expect.any(Number),
  'https://postern.dev/tenant': 'acme',
});

describe.each(METHODS)('openid-client by %s', (method) => {
  const discover = () => {
    const { client_id, client_secret } = stage.acme;
    const authentication = { client_secret_post: client.ClientSecretPost, client_secret_basic: client.ClientSecretBasic }[method];
    return client.discovery(new URL(stage.replica.issuer), client_id, undefined, authentication(client_secret), { algorithm: 'oauth2' });
  };

  it.each(SOURCES)('introspects and revokes a token for %s', async (api) => {
    const configuration = await discover();
    const token = await stage.tokenFor(api);
    expect(await client.tokenIntrospection(configuration, token, { token_type_hint: 'access_token' })).toMatchObject(expected(api));
    await client.tokenRevocation(configuration, token, { token_type_hint: 'access_token' });
    expect(await client.tokenIntrospection(configuration, token)).toEqual({ active: false });
    expect(await stage.tokenFor(api)).not.toBe(token);
  });

  it('is told nothing of what is not a token, and revokes it without an error', async () => {
    const configuration = await discover();
    expect(await client.tokenIntrospection(configuration, 'no-token')).toEqual({ active: false });
    await client.tokenRevocation(configuration, 'no-token');
  });

  it('is told when its own secret is wrong, or what it sends is not a token at all', async () => {
    const wrong = await client.discovery(
      new URL(stage.replica.issuer),
      stage.acme.client_id,
      undefined,
      client.ClientSecretPost('wrong-secret'),
      { algorithm: 'oauth2' },
    );
    await expect(client.tokenIntrospection(wrong, 'x')).rejects.toMatchObject({ status: 401 });
    await expect(client.tokenRevocation(wrong, 'x')).rejects.toMatchObject({ status: 401 });
    await expect(client.tokenRevocation(await discover(), `hvs.${'x'.repeat(24)}`)).rejects.toMatchObject({
      status: 400,
      error: 'unsupported_token_type',
    });
  });
});

describe('Authlib', () => {
  const REQUIREMENTS = fileURLToPath(new URL('python/requirements.txt', import.meta.url));
  const CLIENT = fileURLToPath(new URL('python/revocation.py', import.meta.url));

  it('introspects and revokes tokens of both sources, by both methods', async (context) => {
    const environment = await virtualEnvironment(REQUIREMENTS);
    if ('missing' in environment) {
      process.stderr.write(`conformance: Authlib is skipped: ${environment.missing}\n`);
      return context.skip(environment.missing);
    }
    const { client_id, client_secret } = stage.acme;
    const run = async (method: (typeof METHODS)[number]) => {
      const cases = await Promise.all(
        SOURCES.map(async (api) => ({ name: `${method} ${api}`, method, client_id, client_secret, token: await stage.tokenFor(api) })),
      );
      const task = {
        introspection_endpoint: `${stage.replica.issuer}oauth/introspect`,
        revocation_endpoint: `${stage.replica.issuer}oauth/revoke`,
        ca_file: stage.caFile,
        cases,
      };
      const { stdout } = await execa(join(environment.bin, 'python'), ['-I', CLIENT], {
        input: JSON.stringify(task),
        env: { PATH: process.env['PATH'] ?? '' },
        extendEnv: false,
        timeout: 60_000,
      });
      return JSON.parse(stdout) as Record<
        string,
        { before: { status: number; body: unknown }; revoked: { status: number; body: string }; after: { status: number; body: unknown } }
      >;
    };
    for (const method of METHODS) {
      const outcome = await run(method);
      for (const api of SOURCES) {
        expect(outcome[`${method} ${api}`]).toEqual({
          before: { status: 200, body: expect.objectContaining(expected(api)) },
          revoked: { status: 200, body: '' },
          after: { status: 200, body: { active: false } },
        });
      }
    }
  }, 240_000);
});
