import { globSync, linkSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readConfig } from '#broker/config.ts';
import { PosternError } from '#broker/error.ts';
import { MOUNTS } from '#broker/mounts.ts';
import { checkout } from '#tools/part/version.ts';

const CANARY = 'canary-value-1f9a';
/** Blocks as a PEM file has them; nobody looks inside. */
/** A pair of nobody's, made for these tests. */
const CERT =
  '-----BEGIN CERTIFICATE-----\n' +
  'MIIBhDCCASugAwIBAgIUJResMZEP8ocfmq2vGtO6kV42LTYwCgYIKoZIzj0EAwIw\n' +
  'FzEVMBMGA1UEAwwMcG9zdGVybi10ZXN0MCAXDTI2MTEyOTAwMzc1NloYDzIxMjYx\n' +
  'MTA1MDAzNzU2WjAXMRUwEwYDVQQDDAxwb3N0ZXJuLXRlc3QwWTATBgcqhkjOPQIB\n' +
  'BggqhkjOPQMBBwNCAARNC98mQCJjqAKp/kdwKnc/PANGSgHi6tmPNUU0jnnazr5m\n' +
  '7zcSplKsLM13q7L66ojEPoS6LXxoXta4oh9+uiJ0o1MwUTAdBgNVHQ4EFgQUGwNz\n' +
  'eEK8uZhmSt4VOgWPis9ZB/owHwYDVR0jBBgwFoAUGwNzeEK8uZhmSt4VOgWPis9Z\n' +
  'B/owDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAe65i0dGKegJbf\n' +
  '6IdCLU5ASa9NFETkz7+Cx4xJjgQu3QIgHryiTHeYHcp4xVIb2yT5t6eEACdAQtWf\n' +
  'gWHmxfcxMTM=\n' +
  '-----END CERTIFICATE-----\n';
const KEY =
  '-----BEGIN PRIVATE KEY-----\n' +
  'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZPdgr4MOITW6eebk\n' +
  'NsrmWSmyIS6RbC1qaJOmryffJnqhRANCAARNC98mQCJjqAKp/kdwKnc/PANGSgHi\n' +
  '6tmPNUU0jnnazr5m7zcSplKsLM13q7L66ojEPoS6LXxoXta4oh9+uiJ0\n' +
  '-----END PRIVATE KEY-----\n';
const good = {
  POSTERN_ISSUER: 'https://tokens.example.com/',
  VAULT_ADDR: 'https://vault.example.com:8200',
  POSTERN_ROLE_ID: 'role',
  POSTERN_SECRET_ID: 'secret',
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-config-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fileOf(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** The lines of the refusal, one a fault. */
function faultsOf(env: Record<string, string | undefined>): string[] {
  try {
    readConfig(env);
  } catch (error) {
    if (!(error instanceof PosternError)) throw error;
    expect(error.code).toBe('misconfigured');
    expect(inspect(error, { showHidden: true, depth: 9 }) + JSON.stringify(error)).not.toContain('canary');
    const [head, ...lines] = error.message.split('\n');
    expect(head).toBe(`The configuration has ${lines.length} fault${lines.length === 1 ? '' : 's'}:`);
    return lines.map((line) => line.trim());
  }
  return [];
}

describe('the least that works', () => {
  test('has the defaults', () => {
    expect(readConfig(good)).toMatchObject({
      POSTERN_ISSUER: 'https://tokens.example.com/',
      host: '127.0.0.1',
      port: 8080,
      vaultAuth: {
        method: 'approle',
        mount: 'approle-broker',
        roleId: 'role',
        secretId: { from: 'secret', variable: 'POSTERN_SECRET_ID', wrapped: false },
      },
      tls: undefined,
      POSTERN_APPROLE_MOUNT: 'approle',
      POSTERN_BROKER_APPROLE_MOUNT: 'approle-broker',
      POSTERN_VERIFY_TTL: 30,
      POSTERN_AUTH0_BINDING: 'action',
      POSTERN_ERROR_DIALECT: 'auth0',
      trustedProxies: { given: [], inFile: [] },
      POSTERN_FORWARD_CLIENT_ADDRESS: false,
      unknown: [],
    });
  });

  test('is frozen, its parts too', () => {
    const config = readConfig({ ...good, POSTERN_TRUSTED_PROXIES: '10.0.0.0/8' });
    expect(() => Object.assign(config, { port: 1 })).toThrow(TypeError);
    expect(() => Object.assign(config.vaultAuth, { method: 'jwt' })).toThrow(TypeError);
    expect(() => (config.trustedProxies.given as string[]).push('0.0.0.0/0')).toThrow(TypeError);
  });

  test('an empty variable counts as unset', () => {
    expect(readConfig({ ...good, POSTERN_AUTH0_ISSUER: '', POSTERN_LISTEN: '', POSTERN_SECRET_ID_FILE: '' }).port).toBe(8080);
    expect(faultsOf({ ...good, POSTERN_ROLE_ID: '' })).toEqual(['POSTERN_ROLE_ID is missing']);
  });

  test('a misspelt variable is noticed, by its name alone', () => {
    expect(readConfig({ ...good, POSTERN_VERIFY_TLL: CANARY, POSTERN_: 'x', OTHER: 'x', VAULT_TOKEN: 'x' }).unknown).toEqual([
      'POSTERN_VERIFY_TLL',
      'POSTERN_',
    ]);
  });

  test("what Postern's other programs read, or Kubernetes tells the pods of a Service, is not misspelt", () => {
    const read = new Set(
      globSync('cli/**/*.ts', { cwd: checkout }).flatMap(
        (file) => readFileSync(join(checkout, file), 'utf8').match(/(?<=env\[')POSTERN_\w+(?='\])|(?<=Env\(')POSTERN_\w+/g) ?? [],
      ),
    );
    expect(read).toContain('POSTERN_DEBUG');
    for (const name of [
      ...read,
      'POSTERN_URL',
      'POSTERN_CLIENT_ID',
      'POSTERN_CLIENT_SECRET',
      'POSTERN_OIDC_MOUNT',
      'POSTERN_USERPASS_MOUNT',
    ])
      expect([name, readConfig({ [name]: undefined, ...good, ...(name in good ? {} : { [name]: '' }) }).unknown]).toEqual([name, []]);
    const links = {
      POSTERN_SERVICE_HOST: '10.0.0.1',
      POSTERN_SERVICE_PORT: '443',
      POSTERN_SERVICE_PORT_HTTPS: '443',
      POSTERN_PORT: 'tcp://10.0.0.1:443',
      POSTERN_PORT_443_TCP: 'tcp://10.0.0.1:443',
      POSTERN_ADMIN_PORT_8081_TCP_ADDR: '10.0.0.2',
    };
    expect(readConfig({ ...good, ...links }).unknown).toEqual(Object.keys(links));
    expect(readConfig({ ...good, ...links, POSTERN_LISTN: 'x', KUBERNETES_SERVICE_HOST: '10.0.0.3' }).unknown).toEqual(['POSTERN_LISTN']);
  });

  test('an old name still works, and is told', () => {
    expect(readConfig(good)).toMatchObject({ POSTERN_TOKEN_STORE: 'kv', renamed: {} });
    const old = readConfig({ ...good, TOKEN_STORE: 'plugin' });
    expect(old).toMatchObject({ POSTERN_TOKEN_STORE: 'plugin', renamed: { TOKEN_STORE: 'POSTERN_TOKEN_STORE' }, unknown: [] });
    expect(readConfig({ ...good, TOKEN_STORE: '', POSTERN_TOKEN_STORE: 'plugin' })).toMatchObject({ renamed: {} });
    expect(readConfig({ ...good, TOKEN_STORE: 'plugin', POSTERN_TOKEN_STORE: 'plugin' }).POSTERN_TOKEN_STORE).toBe('plugin');
    expect(faultsOf({ ...good, TOKEN_STORE: CANARY })).toEqual([expect.stringMatching(/^POSTERN_TOKEN_STORE /)]);
    expect(faultsOf({ ...good, TOKEN_STORE: 'kv', POSTERN_TOKEN_STORE: 'plugin' })).toEqual([
      'TOKEN_STORE is the old name of POSTERN_TOKEN_STORE, and the two differ: unset TOKEN_STORE',
    ]);
  });

  test('every name in Vault that has a setting has the default of the one list', () => {
    const config: Readonly<Record<string, unknown>> = { ...readConfig(good) };
    for (const { variable, fallback } of Object.values(MOUNTS))
      // The broker has nothing to do with people's login.
      if (variable !== undefined && !['POSTERN_OIDC_MOUNT', 'POSTERN_USERPASS_MOUNT'].includes(variable))
        expect([variable, config[variable]]).toEqual([variable, fallback]);
  });

  test('issuers get the trailing slash that verifiers compare', () => {
    const config = readConfig({ ...good, POSTERN_ISSUER: 'https://tokens.example.com', POSTERN_AUTH0_ISSUER: 'https://acme.eu.auth0.com' });
    expect([config.POSTERN_ISSUER, config.POSTERN_AUTH0_ISSUER]).toEqual(['https://tokens.example.com/', 'https://acme.eu.auth0.com/']);
  });

  test.each([
    ['0.0.0.0:443', '0.0.0.0', 443],
    ['[::1]:8443', '::1', 8443],
    ['[::]:0', '::', 0],
    ['localhost:65535', 'localhost', 65535],
  ])('listens at %s', (listen, host, port) => {
    expect(readConfig({ ...good, POSTERN_LISTEN: listen, POSTERN_BEHIND_TLS_PROXY: 'true' })).toMatchObject({ host, port });
  });

  test.each(['127.0.0.1:80', 'localhost:80', '[::1]:80'])('needs no TLS on loopback: %s', (listen) => {
    expect(faultsOf({ ...good, POSTERN_LISTEN: listen, POSTERN_ISSUER: `http://${listen}/` })).toEqual([]);
  });

  test.each(['0.0.0.0:443', '10.0.0.1:443', '[::]:443', '0:443', 'tokens.example.com:443', '[::ffff:10.0.0.1]:443'])(
    'anywhere else it does, or a proxy that ends TLS: %s',
    (listen) => {
      expect(faultsOf({ ...good, POSTERN_LISTEN: listen })).toEqual([expect.stringMatching(/^POSTERN_LISTEN is not on loopback/)]);
      expect(faultsOf({ ...good, POSTERN_LISTEN: listen, POSTERN_BEHIND_TLS_PROXY: 'true' })).toEqual([]);
      const tls = { POSTERN_TLS_CERT_FILE: fileOf('listen.crt', CERT), POSTERN_TLS_KEY_FILE: fileOf('listen.key', KEY) };
      expect(faultsOf({ ...good, ...tls, POSTERN_LISTEN: listen })).toEqual([]);
    },
  );

  test('an issuer in the clear is off loopback only behind a proxy that ends TLS', () => {
    const env = { ...good, POSTERN_ISSUER: 'http://tokens.example.com/' };
    expect(faultsOf(env)).toEqual([expect.stringMatching(/^POSTERN_ISSUER must be https/)]);
    expect(faultsOf({ ...env, POSTERN_BEHIND_TLS_PROXY: 'true' })).toEqual([]);
  });
});

describe('refused', () => {
  test('all faults at once, each named once, no value repeated', () => {
    const faults = faultsOf({
      POSTERN_ISSUER: CANARY,
      POSTERN_LISTEN: CANARY,
      VAULT_ADDR: CANARY,
      POSTERN_ERROR_DIALECT: CANARY,
      POSTERN_AUTH0_ISSUER: CANARY,
      POSTERN_AUTH0_BINDING: CANARY,
      POSTERN_VERIFY_TTL: CANARY,
      POSTERN_CACHE_TOKENS: CANARY,
      POSTERN_KV_MOUNT: `/${CANARY}/`,
      POSTERN_TENANT_CLAIM: CANARY,
      POSTERN_LOG_LEVEL: CANARY,
      POSTERN_FORWARD_CLIENT_ADDRESS: CANARY,
      POSTERN_TRUSTED_PROXIES: CANARY,
      POSTERN_SECRET_ID: CANARY,
      POSTERN_WRAPPED_SECRET_ID: CANARY,
      POSTERN_TLS_CERT_FILE: `/nowhere/${CANARY}`,
      VAULT_CACERT: `/nowhere/${CANARY}`,
    });
    const named = (name: string) => faults.filter((fault) => fault.startsWith(`${name} `)).length;
    for (const name of [
      'POSTERN_ISSUER',
      'POSTERN_LISTEN',
      'VAULT_ADDR',
      'POSTERN_ERROR_DIALECT',
      'POSTERN_AUTH0_ISSUER',
      'POSTERN_AUTH0_BINDING',
      'POSTERN_VERIFY_TTL',
      'POSTERN_CACHE_TOKENS',
      'POSTERN_KV_MOUNT',
      'POSTERN_TENANT_CLAIM',
      'POSTERN_LOG_LEVEL',
      'POSTERN_FORWARD_CLIENT_ADDRESS',
      'POSTERN_TRUSTED_PROXIES',
      'POSTERN_ROLE_ID',
      'VAULT_CACERT',
    ]) {
      expect([name, named(name)]).toEqual([name, 1]);
    }
    expect(faults.join('\n')).toContain('not POSTERN_SECRET_ID and POSTERN_WRAPPED_SECRET_ID');
    expect(faults.join('\n')).toContain('must be set together');
  });

  test('nothing at all', () => {
    expect(faultsOf({}).map((fault) => fault.split(' ')[0])).toEqual(['POSTERN_ISSUER', 'VAULT_ADDR', 'POSTERN_ROLE_ID', 'exactly']);
  });

  test.each<[string, string]>([
    ['POSTERN_LISTEN', '8080'],
    ['POSTERN_LISTEN', '127.0.0.1:65536'],
    ['POSTERN_LISTEN', '127.0.0.1:99999'],
    ['POSTERN_LISTEN', '::1:8080'],
    ['POSTERN_LISTEN', ':8080'],
    ['POSTERN_ISSUER', 'tokens.example.com'],
    ['POSTERN_ISSUER', 'ftp://tokens.example.com/'],
    // oxlint-disable-next-line no-script-url
    ['POSTERN_ISSUER', 'javascript:alert(1)/'],
    ['POSTERN_ISSUER', 'https://tokens.example.com/?a=b'],
    ['POSTERN_ISSUER', 'https://tokens.example.com/#a'],
    ['POSTERN_ISSUER', 'https://tokens.example.com/?'],
    ['POSTERN_ISSUER', 'https://user:canary@tokens.example.com/'],
    ['VAULT_ADDR', 'vault:8200'],
    ['VAULT_ADDR', 'unix:///run/vault.sock'],
    ['VAULT_ADDR', 'https://user:canary@vault.example.com/'],
    ['VAULT_ADDR', 'https://vault.example.com/?token=canary'],
    ['POSTERN_AUTH0_ISSUER', 'http://acme.eu.auth0.com/'],
    ['POSTERN_AUTH0_ISSUER', 'http://127.0.0.1.evil.example.com/'],
    ['POSTERN_AUTH0_ISSUER', 'http://localhost.evil.example.com/'],
    ['POSTERN_AUTH0_ISSUER', 'http://localhost@evil.example.com/'],
    ['POSTERN_AUTH0_ISSUER', 'http://0.0.0.0/'],
    ['POSTERN_VERIFY_TTL', '31'],
    ['POSTERN_VERIFY_TTL', '-1'],
    ['POSTERN_VERIFY_TTL', 'NaN'],
    ['POSTERN_VERIFY_TTL', 'Infinity'],
    ['POSTERN_VERIFY_TTL', ' '],
    ['POSTERN_VERIFY_TTL', '30s'],
    ['POSTERN_VAULT_TIMEOUT', '0'],
    ['POSTERN_CACHE_TOKENS', '1.5'],
    ['POSTERN_CACHE_TOKENS', '0'],
    ['POSTERN_THROTTLE_CLIENT', '0'],
    ['POSTERN_KV_MOUNT', 'postern/'],
    ['POSTERN_KV_MOUNT', '../sys'],
    ['POSTERN_KV_MOUNT', 'a//b'],
    ['POSTERN_TRANSIT_KEY', 'a b'],
    ['POSTERN_TRUSTED_PROXIES', '10.0.0.0/99'],
    ['POSTERN_TRUSTED_PROXIES', 'proxy.example.com'],
    ['POSTERN_TRUSTED_PROXIES', '10.0.0.1, everybody'],
    ['POSTERN_TENANT_CLAIM', 'tenant'],
    ['POSTERN_FORWARD_CLIENT_ADDRESS', 'yes'],
  ])('%s=%s', (name, value) => {
    const faults = faultsOf({ ...good, [name]: value });
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(new RegExp(`^${name} `));
  });

  test.each(['http://127.0.0.1:3000/', 'http://localhost:3000', 'http://[::1]:3000/', 'https://acme.eu.auth0.com/'])(
    'but not POSTERN_AUTH0_ISSUER=%s',
    (value) => {
      expect(faultsOf({ ...good, POSTERN_AUTH0_ISSUER: value })).toEqual([]);
    },
  );

  test.each(['10.0.0.1', '10.0.0.0/8, 2001:db8::/32', 'loopback'])('but not POSTERN_TRUSTED_PROXIES=%s', (value) => {
    expect(faultsOf({ ...good, POSTERN_TRUSTED_PROXIES: value })).toEqual([]);
  });
});

describe('trusted proxies from a file', () => {
  test('one a line or with commas between, comments, any line end; beside those of the variable', () => {
    const file = fileOf('proxies', '\uFEFF# the balancers\r\n10.0.0.0/8, 192.0.2.1 # one\r\n\r\n2001:db8::/32');
    expect(readConfig({ ...good, POSTERN_TRUSTED_PROXIES: 'loopback', POSTERN_TRUSTED_PROXIES_FILE: file }).trustedProxies).toEqual({
      given: ['loopback'],
      inFile: ['10.0.0.0/8', '192.0.2.1', '2001:db8::/32'],
    });
  });

  test.each([
    ['empty', '# nobody\n', 'names no address'],
    ['no addresses', `${CANARY}\n`, 'must hold addresses or ranges'],
    ['a range that is none', '10.0.0.0/99\n', 'must hold addresses or ranges'],
  ])('%s', (_what, text, fault) => {
    const faults = faultsOf({ ...good, POSTERN_TRUSTED_PROXIES_FILE: fileOf('proxies', text) });
    expect(faults).toEqual([expect.stringContaining(`POSTERN_TRUSTED_PROXIES_FILE ${fault}`)]);
    expect(faults.join()).not.toContain(CANARY);
  });

  test('that is not there', () => {
    expect(faultsOf({ ...good, POSTERN_TRUSTED_PROXIES_FILE: '/nowhere/x' })).toEqual([
      'POSTERN_TRUSTED_PROXIES_FILE cannot be read (ENOENT)',
    ]);
  });
});

test('log and audit do not go to one file, where their lines would tear each other', () => {
  const file = fileOf('one.jsonl', '');
  symlinkSync(file, join(folder, 'link.jsonl'));
  linkSync(file, join(folder, 'hard.jsonl'));
  for (const [log, audit] of [
    ['/tmp/x', '/tmp/x'],
    ['x', './x'],
    ['/tmp/x', '/tmp/../tmp//x'],
    [file, join(folder, 'link.jsonl')],
    [join(folder, 'hard.jsonl'), file],
  ])
    expect(faultsOf({ ...good, POSTERN_LOG_FILE: log, POSTERN_AUDIT_FILE: audit })).toEqual([
      'POSTERN_LOG_FILE and POSTERN_AUDIT_FILE must be two files',
    ]);
  expect(faultsOf({ ...good, POSTERN_LOG_FILE: join(folder, 'not-there-1'), POSTERN_AUDIT_FILE: join(folder, 'not-there-2') })).toEqual([]);
});

test.each<[Record<string, string>, string[]]>([
  [{ POSTERN_ADMIN_LISTEN: '127.0.0.1:8080' }, ['POSTERN_LISTEN and POSTERN_ADMIN_LISTEN']],
  [{ POSTERN_METRICS_LISTEN: '127.0.0.1:8080' }, ['POSTERN_LISTEN and POSTERN_METRICS_LISTEN']],
  [
    { POSTERN_LISTEN: '0.0.0.0:9000', POSTERN_BEHIND_TLS_PROXY: 'true', POSTERN_METRICS_LISTEN: '127.0.0.1:9000' },
    ['POSTERN_LISTEN and POSTERN_METRICS_LISTEN'],
  ],
  [{ POSTERN_ADMIN_LISTEN: '[::1]:9000', POSTERN_METRICS_LISTEN: '[::]:9000' }, ['POSTERN_ADMIN_LISTEN and POSTERN_METRICS_LISTEN']],
  [{ POSTERN_LISTEN: '127.0.0.1:0', POSTERN_ADMIN_LISTEN: '127.0.0.1:0', POSTERN_METRICS_LISTEN: '127.0.0.1:0' }, []],
  [{ POSTERN_LISTEN: '127.0.0.1:9000', POSTERN_METRICS_LISTEN: '127.0.0.2:9000' }, []],
])('two listeners have two addresses: %j', (listeners, pairs) => {
  expect(faultsOf({ ...good, ...listeners })).toEqual(pairs.map((pair) => `${pair} must be two addresses`));
});

describe("the broker's secret_id", () => {
  const { POSTERN_SECRET_ID: _none, ...rest } = good;
  /** As a login would read it. */
  function secretIdOf(env: Record<string, string>): { value: string; wrapped: boolean } {
    const { vaultAuth } = readConfig(env);
    if (vaultAuth.method !== 'approle') throw new Error('not by AppRole');
    const { from, wrapped } = vaultAuth.secretId;
    return { value: typeof from === 'string' ? from : from.read(), wrapped };
  }

  test('from a file, without the line end that editors and shells put there', () => {
    expect(secretIdOf({ ...rest, POSTERN_SECRET_ID_FILE: fileOf('secret', `${CANARY}\n`) })).toEqual({ value: CANARY, wrapped: false });
    expect(secretIdOf({ ...rest, POSTERN_WRAPPED_SECRET_ID_FILE: fileOf('wrapped', `  ${CANARY}\r\n`) })).toEqual({
      value: CANARY,
      wrapped: true,
    });
    expect(secretIdOf({ ...rest, POSTERN_WRAPPED_SECRET_ID: CANARY })).toEqual({ value: CANARY, wrapped: true });
  });

  test('a file that is empty, and one that is not there', () => {
    expect(faultsOf({ ...rest, POSTERN_SECRET_ID_FILE: fileOf('empty', '\n') })).toEqual(['POSTERN_SECRET_ID_FILE is empty']);
    expect(faultsOf({ ...rest, POSTERN_SECRET_ID_FILE: '/nowhere/x' })).toEqual(['POSTERN_SECRET_ID_FILE cannot be read (ENOENT)']);
    expect(faultsOf({ ...rest, POSTERN_SECRET_ID_FILE: folder })).toEqual(['POSTERN_SECRET_ID_FILE cannot be read (EISDIR)']);
  });

  test('none, or more than one', () => {
    expect(faultsOf(rest)).toHaveLength(1);
    expect(faultsOf({ ...good, POSTERN_SECRET_ID_FILE: fileOf('secret', CANARY) })).toHaveLength(1);
  });
});

test('TLS: both files or none, and they must be readable', () => {
  const cert = fileOf('cert.pem', CERT + KEY);
  expect(readConfig({ ...good, POSTERN_TLS_CERT_FILE: cert, POSTERN_TLS_KEY_FILE: cert }).tls).toMatchObject({ cert: CERT, key: KEY });
  expect(faultsOf({ ...good, POSTERN_TLS_KEY_FILE: cert })).toHaveLength(1);
  expect(faultsOf({ ...good, POSTERN_TLS_CERT_FILE: cert, POSTERN_TLS_KEY_FILE: '/nowhere/x' })).toEqual([
    'POSTERN_TLS_KEY_FILE cannot be read (ENOENT)',
  ]);
});

describe('PEM files are read as RFC 7468 asks', () => {
  const cr = `\uFEFFsubject=acme\r\n${(CERT + CERT).replaceAll('\n', '\r\n')}`;
  const settings = (cert: string, key: string) => ({
    ...good,
    POSTERN_ADMIN_LISTEN: '127.0.0.1:8081',
    POSTERN_TLS_CERT_FILE: fileOf('7468.crt', cert),
    POSTERN_TLS_KEY_FILE: fileOf('7468.key', key),
    POSTERN_ADMIN_TLS_CERT_FILE: fileOf('7468.crt', cert),
    POSTERN_ADMIN_TLS_KEY_FILE: fileOf('7468.key', key),
    VAULT_CACERT: fileOf('7468.crt', cert),
  });

  test('a byte order mark, CRLF and text around the blocks', () => {
    const { admin, tls } = readConfig(settings(cr, `Key Attributes\r\n${KEY.replaceAll('\n', '\r\n')}`));
    expect([tls, admin?.tls]).toMatchObject([
      { cert: CERT + CERT, key: KEY },
      { cert: CERT + CERT, key: KEY },
    ]);
  });

  test('a file without such a block is a fault, named without its text', () => {
    expect(faultsOf(settings(CANARY, CERT))).toEqual([
      'VAULT_CACERT holds no certificate (PEM)',
      'POSTERN_TLS_CERT_FILE holds no certificate (PEM)',
      'POSTERN_TLS_KEY_FILE holds no private key (PEM)',
      'POSTERN_ADMIN_TLS_CERT_FILE holds no certificate (PEM)',
      'POSTERN_ADMIN_TLS_KEY_FILE holds no private key (PEM)',
    ]);
  });
});

test('the proxy in front of Vault is an http or https URL', () => {
  expect(readConfig({ ...good, POSTERN_VAULT_PROXY: 'http://user:pass@proxy.example.com:3128' }).POSTERN_VAULT_PROXY).toContain('proxy');
  expect(faultsOf({ ...good, POSTERN_VAULT_PROXY: `socks5://${CANARY}:1` })).toEqual(['POSTERN_VAULT_PROXY must be an http or https URL']);
});

describe('the admin listener', () => {
  test('is off by default', () => {
    expect(readConfig(good).admin).toBeUndefined();
  });

  test.each(['127.0.0.1:8081', 'localhost:8081', '[::1]:8081'])('needs no TLS on loopback: %s', (listen) => {
    expect(readConfig({ ...good, POSTERN_ADMIN_LISTEN: listen }).admin).toEqual({
      host: listen.slice(0, -5).replace(/^\[|\]$/g, ''),
      port: 8081,
      tls: undefined,
    });
  });

  test.each(['0.0.0.0:8081', '10.0.0.1:8081', '[::]:8081', 'admin.example.com:8081', 'a%:8081'])('anywhere else it does: %s', (listen) => {
    expect(faultsOf({ ...good, POSTERN_ADMIN_LISTEN: listen })).toEqual([
      expect.stringMatching(/^POSTERN_ADMIN_LISTEN is not on loopback/),
    ]);
    expect(readConfig({ ...good, POSTERN_ADMIN_LISTEN: listen, POSTERN_ADMIN_BEHIND_TLS_PROXY: 'true' }).admin?.tls).toBeUndefined();
    const tls = { POSTERN_ADMIN_TLS_CERT_FILE: fileOf('admin.crt', CERT), POSTERN_ADMIN_TLS_KEY_FILE: fileOf('admin.key', KEY) };
    expect(readConfig({ ...good, ...tls, POSTERN_ADMIN_LISTEN: listen }).admin?.tls).toMatchObject({ cert: CERT, key: KEY });
  });

  test('takes JWTs of a known issuer only', () => {
    const admin = { ...good, POSTERN_ADMIN_LISTEN: '127.0.0.1:8081', POSTERN_ADMIN_AUDIENCE: 'https://postern.example.com/admin' };
    expect(faultsOf(admin)).toEqual(['POSTERN_ADMIN_AUDIENCE needs POSTERN_AUTH0_ISSUER, which issues the tokens for it']);
    expect(readConfig({ ...admin, POSTERN_AUTH0_ISSUER: 'https://acme.eu.auth0.com/' }).POSTERN_ADMIN_AUDIENCE).toBe(
      'https://postern.example.com/admin',
    );
  });

  test('the console needs the admin API, and an audience that its people log in for', () => {
    const id = { POSTERN_CONSOLE_CLIENT_ID: 'aBc123' };
    expect(faultsOf({ ...good, ...id })).toEqual(['POSTERN_CONSOLE_CLIENT_ID needs POSTERN_ADMIN_LISTEN, which serves the console']);
    const listens = { ...good, ...id, POSTERN_ADMIN_LISTEN: '127.0.0.1:8081' };
    expect(faultsOf(listens)).toEqual([expect.stringMatching(/^POSTERN_CONSOLE_CLIENT_ID needs POSTERN_ADMIN_AUDIENCE/)]);
    const whole = { ...listens, POSTERN_ADMIN_AUDIENCE: 'https://a.example/admin', POSTERN_AUTH0_ISSUER: 'https://acme.eu.auth0.com/' };
    expect(readConfig(whole).POSTERN_CONSOLE_CLIENT_ID).toBe('aBc123');
    expect(faultsOf({ ...whole, POSTERN_CONSOLE_CLIENT_ID: '<script>' })).toContain(
      'POSTERN_CONSOLE_CLIENT_ID must be the client ID of an Auth0 application',
    );
  });

  test('half of a certificate is a fault', () => {
    expect(faultsOf({ ...good, POSTERN_ADMIN_LISTEN: '127.0.0.1:8081', POSTERN_ADMIN_TLS_CERT_FILE: fileOf('half.crt', CERT) })).toEqual([
      'POSTERN_ADMIN_TLS_CERT_FILE and POSTERN_ADMIN_TLS_KEY_FILE must be set together',
    ]);
  });
});

describe('the store of limits', () => {
  const at = (settings: Record<string, string>) => () => readConfig({ ...good, ...settings });

  test('has the password of its file, and the authority of another', () => {
    const password = join(folder, 'limits-password');
    const ca = join(folder, 'limits-ca.pem');
    writeFileSync(password, `${CANARY}\n`);
    writeFileSync(ca, CERT);
    const config = at({
      POSTERN_LIMITS_STORE: 'rediss://postern@limits:6380/1',
      POSTERN_LIMITS_STORE_PASSWORD_FILE: password,
      POSTERN_LIMITS_STORE_CA_FILE: ca,
    })();
    expect(config.limitsStore).toMatchObject({ host: 'limits', port: 6380, database: 1, username: 'postern', password: CANARY });
    expect(config.limitsStore?.tls?.ca).toContain('BEGIN CERTIFICATE');
    expect(readConfig(good).limitsStore).toBeUndefined();
  });

  test.each<[string, () => Record<string, string>, RegExp]>([
    ['no address of one', () => ({ POSTERN_LIMITS_STORE: `http://:${CANARY}@limits` }), /POSTERN_LIMITS_STORE must be redis:/],
    ['a password without a store', () => ({ POSTERN_LIMITS_STORE_PASSWORD_FILE: '/x' }), /_PASSWORD_FILE needs POSTERN_LIMITS_STORE/],
    ['an authority without a store', () => ({ POSTERN_LIMITS_STORE_CA_FILE: '/x' }), /_CA_FILE needs POSTERN_LIMITS_STORE/],
    [
      'an authority without TLS',
      () => ({ POSTERN_LIMITS_STORE: `redis://:${CANARY}@limits`, POSTERN_LIMITS_STORE_CA_FILE: '/x' }),
      /_CA_FILE is for rediss/,
    ],
    [
      'a file that is not there',
      () => ({ POSTERN_LIMITS_STORE: 'redis://limits', POSTERN_LIMITS_STORE_PASSWORD_FILE: join(folder, 'none') }),
      /_PASSWORD_FILE cannot be read \(ENOENT\)/,
    ],
    [
      'two passwords',
      () => {
        writeFileSync(join(folder, 'limits-other'), 'other');
        return { POSTERN_LIMITS_STORE: `redis://:${CANARY}@limits`, POSTERN_LIMITS_STORE_PASSWORD_FILE: join(folder, 'limits-other') };
      },
      /leave one out/,
    ],
  ])('%s is a fault, told without the password', (_what, settings, fault) => {
    const reading = at(settings());
    expect(reading).toThrow(fault);
    expect(reading).not.toThrow(new RegExp(CANARY));
  });
});
