import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createCertificate } from '#broker/plugin/protocol/certificate.ts';
import { handshakeLine } from '#broker/plugin/protocol/handshake.ts';
import { COOKIE, Host, play } from './host.ts';

const never = (): never => {
  throw new Error('no backend is wanted here');
};
const vault = (await createCertificate()).pem;

describe('the handshake line', () => {
  it('has six fields and ends with a line end', () => {
    expect(handshakeLine('/tmp/plugin-x/socket', Buffer.from([1, 2, 3, 255]), {})).toBe('1|5|unix|/tmp/plugin-x/socket|grpc|AQID/w\n');
  });

  it('has a seventh only for a host that asks for one connection, and refuses that', () => {
    expect(handshakeLine('/s', Buffer.from([1]), { PLUGIN_MULTIPLEX_GRPC: 'true' })).toBe('1|5|unix|/s|grpc|AQ|false\n');
  });

  it('is all that goes to stdout, with the certificate that the socket shows', async () => {
    const host = await Host.start(never);
    expect(host.played.stdout).toMatch(/^1\|5\|unix\|\/[^|]+\|grpc\|[A-Za-z0-9+/]+\n$/);
    expect(new X509Certificate(host.pluginCertificate).subject).toBe('CN=localhost');
    await host.stop();
    expect(host.played.stdout.split('\n')).toHaveLength(2);
  });
});

describe('nobody but Vault starts it', () => {
  it.each<[string, Record<string, string>]>([
    ['no cookie', { PLUGIN_CLIENT_CERT: vault }],
    ['an empty cookie', { VAULT_BACKEND_PLUGIN: '', PLUGIN_CLIENT_CERT: vault }],
    ['a wrong cookie', { VAULT_BACKEND_PLUGIN: '6669da05-b1c8-4f49-97d9-c8e5bed98e21', PLUGIN_CLIENT_CERT: vault }],
    ['a longer cookie', { VAULT_BACKEND_PLUGIN: `${COOKIE.VAULT_BACKEND_PLUGIN} `, PLUGIN_CLIENT_CERT: vault }],
    ["another host's cookie", { TF_PLUGIN_MAGIC_COOKIE: COOKIE.VAULT_BACKEND_PLUGIN, PLUGIN_CLIENT_CERT: vault }],
  ])('%s: exit 1, a word to the person, nothing on stdout', async (_case, env) => {
    const played = play(never, env);
    expect(await played.code).toBe(1);
    expect(played.stdout).toBe('');
    expect(played.stderr).toMatch(/^This is a secrets engine for HashiCorp Vault/);
  });

  it.each<[string, Record<string, string>, RegExp]>([
    ['no certificate of Vault', { ...COOKIE }, /no certificate/],
    ['a malformed certificate', { ...COOKIE, PLUGIN_CLIENT_CERT: 'hvs.none' }, /certificate that Vault sent is malformed/],
    ['a Vault that speaks older versions only', { ...COOKIE, PLUGIN_CLIENT_CERT: vault, PLUGIN_PROTOCOL_VERSIONS: '3,4' }, /version 5/],
    ['a folder that is not there', { ...COOKIE, PLUGIN_CLIENT_CERT: vault, PLUGIN_UNIX_SOCKET_DIR: '/nowhere/at/all' }, /can not serve/],
  ])('%s: exit 1, a line in the log, nothing on stdout', async (_case, env, said) => {
    const played = play(never, env);
    expect(await played.code).toBe(1);
    expect(played.stdout).toBe('');
    expect(played.log).toEqual([expect.objectContaining({ '@level': 'error', '@message': expect.stringMatching(said) as unknown })]);
    expect(played.stderr).not.toContain('hvs.none');
  });
});
