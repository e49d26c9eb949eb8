import { beforeAll, describe, expect, test } from 'vitest';
import { keyPair } from '#test/unit/auth0/fake-auth0.ts';
import type { KeyPair } from '#test/unit/auth0/fake-auth0.ts';
import { refusal, stage } from './stage.ts';
import type { Stage } from './stage.ts';

let key: KeyPair;
beforeAll(async () => void (key = await keyPair('kid-1')));

const textOf = async (s: Stage): Promise<string> =>
  Buffer.from(String((await s.read('metrics'))['http_raw_body']), 'base64').toString('utf8');

describe('what the plugin counts', () => {
  test('reads by where the token came from, and what was asked of Auth0', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    for (let i = 0; i < 3; i++) await s.read('creds/acme');
    await refusal(() => s.read('creds/nobody'));
    await refusal(() => s.read('creds/acme', { scope: 'delete:orders' }));
    expect(await s.read('info')).toMatchObject({
      reads_from_auth0: 1,
      reads_from_memory: 3,
      reads_from_storage: 0,
      reads_refused: 2,
      reads_failed: 0,
      upstream_ok: 1,
    });
    await s.restart();
    await s.read('creds/acme');
    expect(await s.read('info')).toMatchObject({ reads_from_storage: 1, reads_from_auth0: 0, upstream_calls: 0 });
  });

  test('Auth0 away, and Auth0 refusing, apart; and over another configuration all the same', async () => {
    await using s = await stage(key);
    await s.setUp();
    s.auth0.override = () => [403, { error: 'access_denied' }];
    await refusal(() => s.read('creds/globex'));
    s.auth0.override = undefined;
    // Whoever was refused pauses.
    s.clock.offset += 60_000;
    await s.write('config', { timeout: '4s' });
    await s.read('creds/globex');
    s.auth0.override = () => [503, { error: 'x' }];
    await refusal(() => s.read('creds/acme'));
    expect(await s.read('info')).toMatchObject({
      upstream_ok: 1,
      upstream_refused: 1,
      upstream_unavailable: 1,
      reads_failed: 2,
      reads_from_auth0: 1,
    });
  });

  test('is told to Prometheus as text, with types and help', async () => {
    await using s = await stage(key);
    await s.setUp();
    await s.read('creds/acme');
    expect(await s.read('metrics')).toMatchObject({ http_status_code: 200, http_content_type: expect.stringContaining('text/plain') });
    const text = await textOf(s);
    expect(text).toContain('postern_plugin_info{version="v1.2.3"} 1\n');
    expect(text).toContain('postern_plugin_reads_total{outcome="granted",source="issuer"} 1\n');
    expect(text).toContain('postern_plugin_configured 1\n');
    const names = [...text.matchAll(/^# TYPE (\S+) (\w+)$/gm)];
    expect(names.length).toBeGreaterThan(10);
    for (const [, name = '', type] of names) {
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      expect(text).toMatch(new RegExp(`^# HELP ${name} \\S`, 'm'));
    }
  });
});
