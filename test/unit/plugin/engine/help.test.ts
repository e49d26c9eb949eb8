import { beforeAll, describe, expect, test } from 'vitest';
import { keyPair } from '#test/unit/auth0/fake-auth0.ts';
import type { KeyPair } from '#test/unit/auth0/fake-auth0.ts';
import { refusal, stage } from './stage.ts';

let key: KeyPair;
beforeAll(async () => {
  key = await keyPair('kid-1');
});

const PATHS = [
  'config',
  'config/rotate',
  'apis',
  'apis/<api>',
  'roles',
  'roles/<tenant>',
  'creds/<tenant>',
  'revoke/<tenant>',
  'tokens',
  'tokens/<tenant>',
  'tokens/<tenant>/<api>',
  'tokens/<tenant>/<api>/<digest>',
  'info',
  'metrics',
];

describe('path-help', () => {
  test('of the root lists every path, each with a line about it', async () => {
    await using s = await stage(key);
    const { data } = (await s.call('help', '')) ?? {};
    for (const path of PATHS) expect(data?.['help']).toMatch(new RegExp(`^ {4}${path}\n {8}\\S.+`, 'm'));
    expect(data?.['help']).toContain('vault write <mount>/config');
  });

  test.each(PATHS)('of %s tells its operations, and every field with its type', async (path) => {
    await using s = await stage(key);
    const text = String((await s.call('help', path))?.data?.['help']);
    expect(text).toContain(`Path:    ${path}`);
    for (const part of ['## SYNOPSIS', '## OPERATIONS', '## DESCRIPTION']) expect(text).toMatch(new RegExp(`${part}\n\n\\s*\\S`));
  });

  test('of a path as it is called', async () => {
    await using s = await stage(key);
    expect((await s.call('help', 'roles/acme'))?.data?.['help']).toMatch(
      /grants \(list\)[\s\S]*disabled \(boolean\)[\s\S]*min_remaining \(duration\)/,
    );
    expect((await s.call('help', 'roles/'))?.data?.['help']).toContain('Path:    roles\n');
    expect((await refusal(() => s.call('help', 'nowhere'))).status).toBe(404);
  });

  test('OpenAPI: each path with its parameters, bodies and queries', async () => {
    await using s = await stage(key);
    const { data = {} } = (await s.call('help', '')) ?? {};
    const { paths, openapi } = data['openapi'] as { openapi: string; paths: Record<string, any> };
    expect(openapi).toBe('3.0.2');
    expect(
      Object.keys(paths).map((path) =>
        path
          .replaceAll(/\{(\w+)\}/g, '<$1>')
          .replace(/^\//, '')
          .replace(/\/$/, ''),
      ),
    ).toEqual(PATHS);
    expect(paths['/config'].post.requestBody.content['application/json'].schema.required).toEqual(['issuer', 'client_id', 'client_secret']);
    const config = paths['/config'].post.requestBody.content['application/json'].schema.properties;
    expect(config).toMatchObject({
      issuer: { type: 'string', maxLength: 255, description: expect.stringContaining('Auth0 domain') },
      binding: { type: 'string', enum: ['action', 'organization'] },
      timeout: { type: 'integer', format: 'seconds', minimum: 1, maximum: 60 },
    });
    const role = paths['/roles/{tenant}'].post.requestBody.content['application/json'].schema.properties;
    expect(role).toMatchObject({
      grants: { type: 'array', items: { type: 'object' } },
      claims: { type: 'object' },
      disabled: { type: 'boolean' },
      min_remaining: { type: 'integer', format: 'seconds' },
    });
    expect(paths['/creds/{tenant}'].get.parameters.map(({ name }: { name: string }) => name)).toEqual([
      'audience',
      'scope',
      'organization',
    ]);
    expect(paths['/roles/'].get.parameters[0]).toMatchObject({ name: 'list', in: 'query' });
    const ids = Object.values(paths).flatMap((path) =>
      [path.get, path.post, path.delete].filter(Boolean).map(({ operationId }: { operationId: string }) => operationId),
    );
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('operations', () => {
  test.each([
    ['list', 'config'],
    ['delete', 'info'],
    ['update', 'creds/acme'],
    ['read', 'revoke/acme'],
    ['read', 'config/rotate'],
    ['update', 'apis'],
    ['rollback', 'config'],
    ['patch', 'roles/acme'],
    ['renew', 'creds/acme'],
    ['revoke', 'creds/acme'],
  ] as const)('%s of %s is a 405', async (operation, path) => {
    await using s = await stage(key);
    expect(await refusal(() => s.call(operation, path))).toEqual({
      status: 405,
      message: expect.stringContaining('unsupported operation'),
    });
  });

  test('info tells nothing that is secret', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    expect(await s.read('info')).toEqual({
      version: 'v1.2.3',
      started_at: expect.any(String),
      configured: true,
      config_readable: true,
      apis_invalid: 0,
      config_unsaved: false,
      reads_from_memory: 0,
      reads_from_storage: 0,
      reads_from_auth0: 1,
      reads_refused: 0,
      reads_failed: 0,
      upstream_calls: 1,
      upstream_ok: 1,
      upstream_refused: 0,
      upstream_unavailable: 0,
      upstream_seconds: expect.any(Number),
      refreshes_done: 0,
      refreshes_failed: 0,
      cached_tokens: 1,
      cached_tokens_evicted: 0,
    });
  });
});
