import { createRequire } from 'node:module';
import { inspect } from 'node:util';
import * as fc from 'fast-check';
import { nodeVault } from '#test/fixture/node-vault.ts';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { NAME } from '#broker/credential/identity.ts';
import { describeError } from '#broker/log.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { Loopback, closedPort, startRaw } from './loopback.ts';

const TOKEN = 'hvs.canary-vault-token-71d3';
const SECRET = 'canary-secret-id-9b0e';

const clientOf = (address: string, more: Partial<ConstructorParameters<typeof VaultClient>[0]> = {}) =>
  new VaultClient({ address, ...more });

async function faultOf(run: () => Promise<unknown>): Promise<VaultFault> {
  try {
    await run();
  } catch (error) {
    if (error instanceof VaultFault) return error;
    throw error;
  }
  throw new Error('no fault');
}

/** All that could be printed of an error, by whoever logs it however. */
function allOf(error: unknown): string {
  const all: unknown[] = [];
  for (let e = error; e instanceof Error; e = e.cause)
    all.push(
      inspect(e, { showHidden: true, depth: 12, getters: true }),
      JSON.stringify(e),
      e.stack,
      e.message,
      JSON.stringify(describeError(e)),
    );
  return all.join('\n');
}

afterEach(() => vi.unstubAllEnvs());

describe('hazard: one token shared by all callers', () => {
  test('node-vault itself: who logs in becomes who everybody is', async () => {
    await using server = await Loopback.start(({ body }) => [
      200,
      { auth: { client_token: `token-of-${(JSON.parse(body || '{}') as { role_id?: string }).role_id}` } },
    ]);
    const plain = nodeVault({ endpoint: server.origin });
    await plain.approleLogin({ role_id: 'acme', secret_id: 's' });
    await plain.approleLogin({ role_id: 'globex', secret_id: 's' });
    await plain.read('postern/data/tenants/acme');
    expect(server.received.at(-1)?.headers['x-vault-token']).toBe('token-of-globex');
  });

  test('every call carries its own token, and one without carries none', async () => {
    await using server = await Loopback.start(({ headers }) => [200, { data: { seen: headers['x-vault-token'] ?? 'none' } }]);
    const client = clientOf(server.origin);
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const token = i % 4 === 3 ? undefined : `token-${i}`;
        const answer = i % 2 ? await client.read(`kv/data/t${i}`, { token }) : await client.write(`kv/data/t${i}`, { a: 1 }, { token });
        return [token ?? 'none', answer?.data?.['seen']];
      }),
    );
    for (const [sent, seen] of answers) expect(seen).toBe(sent);
    await client.close();
  });

  test('a login leaves nothing behind', async () => {
    await using server = await Loopback.start(() => [200, { auth: { client_token: 'token-of-acme' } }]);
    const client = clientOf(server.origin);
    await client.write('auth/approle/login', { role_id: 'acme', secret_id: 's' });
    await client.read('kv/data/x');
    expect(server.received[1]?.headers).not.toHaveProperty('x-vault-token');
    await client.close();
  });

  test('headers of one call do not stick to the next', async () => {
    await using server = await Loopback.start(() => [200, {}]);
    const client = clientOf(server.origin);
    await client.write('sys/x', {}, { token: 'one', wrapTtl: 60, forwardedFor: '192.0.2.1' });
    await client.write('sys/x', {}, { token: 'two' });
    expect(server.received[0]?.headers).toMatchObject({
      'x-vault-token': 'one',
      'x-vault-wrap-ttl': '60s',
      'x-forwarded-for': '192.0.2.1',
    });
    expect(server.received[1]?.headers['x-vault-token']).toBe('two');
    expect(server.received[1]?.headers).not.toHaveProperty('x-vault-wrap-ttl');
    expect(server.received[1]?.headers).not.toHaveProperty('x-forwarded-for');
    await client.close();
  });
});

describe('hazard: the environment', () => {
  test('node-vault itself takes a token and a namespace from it', async () => {
    await using server = await Loopback.start();
    vi.stubEnv('VAULT_TOKEN', TOKEN).stubEnv('VAULT_NAMESPACE', 'elsewhere');
    await nodeVault({ endpoint: server.origin }).read('kv/x');
    expect(server.received[0]?.headers).toMatchObject({ 'x-vault-token': TOKEN, 'x-vault-namespace': 'elsewhere' });
  });

  test('has no effect', async () => {
    await using server = await Loopback.start();
    await using elsewhere = await Loopback.start();
    vi.stubEnv('VAULT_TOKEN', TOKEN)
      .stubEnv('VAULT_NAMESPACE', 'elsewhere')
      .stubEnv('VAULT_PREFIX', '/prefix')
      .stubEnv('VAULT_ADDR', elsewhere.origin)
      .stubEnv('HTTP_PROXY', elsewhere.origin)
      .stubEnv('http_proxy', elsewhere.origin);
    const client = clientOf(server.origin);
    await client.read('kv/x');
    expect(elsewhere.received).toEqual([]);
    expect(server.received[0]?.url).toBe('/v1/kv/x');
    expect(server.received[0]?.headers).not.toHaveProperty('x-vault-token');
    expect(server.received[0]?.headers).not.toHaveProperty('x-vault-namespace');
    await client.close();
  });

  test('the namespace of the configuration is sent', async () => {
    await using server = await Loopback.start();
    const client = clientOf(server.origin, { namespace: 'team/a' });
    await client.read('kv/x');
    expect(server.received[0]?.headers['x-vault-namespace']).toBe('team/a');
    await client.close();
  });
});

describe('hazard: redirects', () => {
  test('node-vault itself follows one to another origin and takes the token along', async () => {
    await using thief = await Loopback.start();
    await using server = await Loopback.start(() => [307, '', { Location: `${thief.origin}/v1/kv/x` }]);
    await nodeVault({ endpoint: server.origin, token: TOKEN }).read('kv/x');
    expect(thief.received[0]?.headers['x-vault-token']).toBe(TOKEN);
  });

  test.each([301, 302, 303, 307, 308])('%i is not followed, to another origin or the same', async (status) => {
    await using thief = await Loopback.start();
    for (const to of [thief.origin, '']) {
      await using server = await Loopback.start(() => [status, '', { Location: `${to}/v1/kv/y` }]);
      const client = clientOf(server.origin);
      for (const call of [
        () => client.read('kv/x', { token: TOKEN }),
        () => client.write('auth/approle/login', { secret_id: SECRET }, { token: TOKEN }),
      ]) {
        const fault = await faultOf(call);
        expect([fault.reason, fault.transient, fault.unasked]).toEqual(['redirected', false, 'unanswered']);
        expect(allOf(fault)).not.toMatch(/canary/);
      }
      expect(server.received).toHaveLength(2);
      await client.close();
    }
    expect(thief.received).toEqual([]);
  });
});

describe('hazard: no deadline', () => {
  test('node-vault itself waits', async () => {
    await using server = await Loopback.start(() => {});
    const outcome = await Promise.race([
      nodeVault({ endpoint: server.origin })
        .read('kv/x')
        .catch(() => 'ended'),
      new Promise((resolve) => setTimeout(resolve, 400, 'still waiting')),
    ]);
    expect(outcome).toBe('still waiting');
  });

  test('silence ends at the deadline, once: a timeout is not tried again', async () => {
    await using server = await Loopback.start(() => {});
    const client = clientOf(server.origin, { timeoutMs: 150 });
    const begun = Date.now();
    expect((await faultOf(() => client.read('kv/x', { token: TOKEN }))).reason).toBe('timeout');
    expect(Date.now() - begun).toBeLessThan(1000);
    expect(server.received).toHaveLength(1);
    await client.close();
  });

  test('a body that drips for ever ends at the deadline too', async () => {
    await using server = await Loopback.start((_request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      const drip = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(drip));
    });
    const client = clientOf(server.origin, { timeoutMs: 150 });
    const begun = Date.now();
    expect((await faultOf(() => client.read('kv/x'))).reason).toBe('timeout');
    expect(Date.now() - begun).toBeLessThan(1000);
    await client.close();
  });

  test('hundreds of calls to a frozen Vault all end at it, also those that wait for a socket', async () => {
    await using server = await Loopback.start(() => {});
    const client = clientOf(server.origin, { timeoutMs: 300, connections: 2 });
    const begun = Date.now();
    const reasons = await Promise.all(Array.from({ length: 300 }, () => faultOf(() => client.read('kv/x')).then((f) => f.reason)));
    // One after another they would take 45 s.
    expect(Date.now() - begun).toBeLessThan(15_000);
    expect(new Set(reasons)).toEqual(new Set(['timeout']));
    await client.close();
  });

  test('a body without end is cut off', async () => {
    await using server = await Loopback.start((_request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      const flood = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x20)));
        if (!response.destroyed) response.once('drain', flood);
      };
      flood();
    });
    const client = clientOf(server.origin, { timeoutMs: 5000 });
    expect((await faultOf(() => client.write('kv/x', {}))).reason).toBe('too_large');
    await client.close();
  });

  test("the caller's own signal ends a call and its repetitions", async () => {
    await using server = await Loopback.start(() => {});
    const client = clientOf(server.origin);
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 50);
    const begun = Date.now();
    await faultOf(() => client.read('kv/x', { signal: abort.signal }));
    expect(Date.now() - begun).toBeLessThan(1000);
    expect(server.received).toHaveLength(1);
    await client.close();
  });
});

describe('hazard: a part of Vault hangs, and all else is answered', () => {
  const stage = async () => {
    const hanging = { logins: true };
    const server = await Loopback.start(({ url }, response) => {
      if (hanging.logins && url.endsWith('/login')) return;
      response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"data":{"data":{}},"request_id":"1"}');
    });
    const changes: unknown[] = [];
    let now = 0;
    const client = clientOf(server.origin, {
      timeoutMs: 1_000,
      monotonic: () => now,
      onBreak: (open: boolean, part?: string) => changes.push([part, open]),
    });
    const login = async () => {
      await client.read('kv/data/state/epoch');
      return client.write('auth/approle/login', {}, { part: 'logins' });
    };
    return { server, client, changes, hanging, login, after: (ms: number) => (now += ms) };
  };

  test('it is not asked any more but by one at a time, whatever the rest answers, and the rest is', async () => {
    const { server, client, changes, hanging, login, after } = await stage();
    for (let n = 0; n < 4; n++) expect((await faultOf(login)).reason).toBe('timeout');
    expect([client.away, client.hanging, changes]).toEqual([false, ['logins'], [['logins', true]]]);
    const asked = server.received.length;
    expect(await faultOf(login)).toMatchObject({ reason: 'not_asked', retryAfter: 1 });
    expect(server.received.length).toBe(asked + 1);
    expect([client.isSilent('logins'), client.isSilent('tenants'), client.mayTry('logins')]).toEqual([true, false, false]);
    after(1_100);
    expect(client.mayTry('logins')).toBe(true);
    const tries = await Promise.all([faultOf(login), faultOf(login)]);
    expect(tries.map(({ reason }) => reason).sort()).toEqual(['not_asked', 'timeout']);
    after(1_100);
    hanging.logins = false;
    await login();
    expect([client.hanging, changes]).toEqual([
      [],
      [
        ['logins', true],
        ['logins', false],
      ],
    ]);
    await client.close();
    await server[Symbol.asyncDispose]();
  });

  test('a read finds out behind who is refused meanwhile', async () => {
    const { server, client, hanging, after } = await stage();
    const read = async () => {
      await client.read('kv/data/state/epoch');
      return client.read('tenants/login', { part: 'tenants', behind: true });
    };
    for (let n = 0; n < 4; n++) expect((await faultOf(read)).reason).toBe('timeout');
    after(1_100);
    hanging.logins = false;
    expect((await faultOf(read)).reason).toBe('not_asked');
    await vi.waitFor(() => expect(client.hanging).toEqual([]));
    await read();
    await client.close();
    await server[Symbol.asyncDispose]();
  });

  test('an error that comes at once opens nothing: it may be that of one tenant’s document', async () => {
    await using server = await Loopback.start(() => [500, { errors: ['internal error'] }]);
    const client = clientOf(server.origin, { onBreak: () => {} });
    for (let n = 0; n < 6; n++) await faultOf(() => client.read('tenants/acme', { part: 'tenants', behind: true, attempts: 1 }));
    expect(client.hanging).toEqual([]);
    await client.close();
  });
});

describe('hazard: no second attempt, or one too many', () => {
  test('a read is tried three times while Vault is away', async () => {
    let calls = 0;
    await using server = await Loopback.start(() => (++calls < 3 ? [503, { errors: ['Vault is sealed'] }] : [200, { data: { ok: true } }]));
    const client = clientOf(server.origin);
    expect((await client.read('kv/x'))?.data).toEqual({ ok: true });
    expect(calls).toBe(3);
    await client.close();
  });

  test('a list too', async () => {
    await using server = await startRaw(503, { errors: ['Vault is sealed'] });
    const client = clientOf(server.origin);
    expect((await faultOf(() => client.list('kv/x'))).reason).toBe('unavailable');
    expect(server.lines).toEqual(Array.from({ length: 3 }, () => 'LIST /v1/kv/x HTTP/1.1'));
    await client.close();
  });

  test('a connection that breaks is tried again for a read, and never for a write or a login', async () => {
    await using server = await Loopback.start((_request, _response, raw) => void raw.socket.destroy());
    const client = clientOf(server.origin);
    expect((await faultOf(() => client.read('kv/x'))).reason).toBe('unreachable');
    expect(server.received).toHaveLength(3);
    // A login spends one of the secret_id's uses, even when its answer is lost.
    expect((await faultOf(() => client.write('auth/approle/login', { secret_id: SECRET }))).reason).toBe('unreachable');
    expect((await faultOf(() => client.delete('kv/x'))).reason).toBe('unreachable');
    expect(server.received).toHaveLength(5);
    await client.close();
  });

  test.each([
    [400, 'invalid'],
    [403, 'denied'],
    [405, 'invalid'],
    [429, 'throttled'],
    [301, 'redirected'],
  ])('%i is an answer: not tried again', async (status, reason) => {
    await using server = await Loopback.start(() => [status, { errors: ['no'] }]);
    const client = clientOf(server.origin);
    expect((await faultOf(() => client.read('kv/x'))).reason).toBe(reason);
    expect(server.received).toHaveLength(1);
    await client.close();
  });

  test('a write that its caller calls repeatable is', async () => {
    await using server = await Loopback.start(() => [500, { errors: ['internal error'] }]);
    const client = clientOf(server.origin);
    await faultOf(() => client.write('transit/sign/k', {}, { attempts: 2 }));
    expect(server.received).toHaveLength(2);
    await client.close();
  });
});

describe('hazard: secrets in errors', () => {
  test('node-vault itself hands on an error with the token and the secret in it', async () => {
    const port = await closedPort();
    const plain = nodeVault({ endpoint: `http://127.0.0.1:${port}`, token: TOKEN });
    const error: unknown = await plain.write('auth/approle/login', { secret_id: SECRET }).catch((e: unknown) => e);
    const printed = inspect(error, { depth: 6 });
    expect(printed).toContain(TOKEN);
    expect(printed).toContain(SECRET);
  });

  const login = { role_id: 'acme-role', secret_id: SECRET, nested: { deep: [SECRET] } };

  test.each<[string, (server: Loopback) => void]>([
    [
      'a 400 that quotes the secret',
      (server) => (server.answer = () => [400, { errors: [`invalid secret_id "${SECRET}"`, `and again: ${SECRET}`] }]),
    ],
    ['a 403 that quotes the token', (server) => (server.answer = () => [403, { errors: [`bad token ${TOKEN}`] }])],
    [
      'a 500 with a page that holds both',
      (server) => (server.answer = () => [500, `<html>${SECRET} ${TOKEN}</html>`, { 'Content-Type': 'text/html' }]),
    ],
    [
      'a 200 that is not JSON, then nothing',
      (server) => (server.answer = (_q, response) => void response.socket?.end(`HTTP/1.1 200 ${SECRET}\r\nX: ${TOKEN}\r\nbroken`)),
    ],
    ['errors that are not strings', (server) => (server.answer = () => [400, { errors: [{ secret: SECRET }, 7, null] }])],
    ['errors that are not a list', (server) => (server.answer = () => [400, { errors: SECRET }])],
    ['a body that is not an object', (server) => (server.answer = () => [503, JSON.stringify(SECRET)])],
    ['a header that quotes', (server) => (server.answer = () => [429, { errors: [] }, { 'Retry-After': SECRET }])],
    ['a connection that breaks', (server) => (server.answer = (_q, response) => void response.socket?.destroy())],
    ['silence', (server) => (server.answer = () => {})],
    ['a redirect that quotes', (server) => (server.answer = () => [307, '', { Location: `http://127.0.0.1:1/${SECRET}?${TOKEN}` }])],
  ])('%s: nothing of either in the fault', async (_how, set) => {
    await using server = await Loopback.start();
    set(server);
    const client = clientOf(server.origin, { timeoutMs: 200 });
    const fault = await faultOf(() => client.write('auth/approle/login', login, { token: TOKEN }));
    expect(allOf(fault)).not.toMatch(/canary/);
    expect(inspect(client, { showHidden: true, depth: 12 })).not.toMatch(/canary/);
    await client.close();
  });

  test('nobody there: nothing either', async () => {
    const client = clientOf(`http://127.0.0.1:${await closedPort()}`);
    const fault = await faultOf(() => client.write('auth/approle/login', login, { token: TOKEN }));
    expect(fault.reason).toBe('unreachable');
    expect(fault.message).toContain('ECONNREFUSED');
    expect(allOf(fault)).not.toMatch(/canary/);
    await client.close();
  });

  test('what Vault said is told unless it is secret, but not at length', async () => {
    await using server = await Loopback.start(() => [
      403,
      { errors: ['1 error occurred:\n\t* permission denied\n\n', 'x'.repeat(10_000)] },
    ]);
    const client = clientOf(server.origin);
    const { message, status } = await faultOf(() => client.write('kv/data/x', { a: 'b' }));
    expect(message).toContain('permission denied');
    expect(message).toContain('kv/data/x');
    expect(message.length).toBeLessThan(700);
    expect(status).toBe(403);
    await client.close();
  });
});

describe('hazard: DEBUG=node-vault', () => {
  const debug = createRequire(createRequire(import.meta.url).resolve('node-vault'))('debug') as {
    enable(names: string): void;
    disable(): string;
    log: (...args: unknown[]) => void;
  };

  async function printedBy(work: (origin: string) => Promise<unknown>): Promise<string> {
    await using server = await Loopback.start(() => [200, { auth: { client_token: TOKEN } }]);
    const lines: string[] = [];
    const { log } = debug;
    debug.log = (...args) => lines.push(inspect(args, { depth: 9 }));
    const stderr = vi.spyOn(process.stderr, 'write').mockImplementation((text) => lines.push(String(text)) > 0);
    debug.enable('*');
    try {
      await work(server.origin);
    } finally {
      debug.disable();
      debug.log = log;
      stderr.mockRestore();
    }
    return lines.join('\n');
  }

  test('node-vault itself prints the secret_id', async () => {
    expect(await printedBy((endpoint) => nodeVault({ endpoint }).write('auth/approle/login', { secret_id: SECRET }))).toContain(SECRET);
  });

  test('nothing is printed', async () => {
    const printed = await printedBy(async (origin) => {
      const client = clientOf(origin);
      await client.write('auth/approle/login', { secret_id: SECRET }, { token: TOKEN });
      await client.read('kv/x', { token: TOKEN });
      await client.close();
    });
    expect(printed).not.toMatch(/canary|approle|kv/);
  });
});

describe('hazard: paths', () => {
  test.each([
    '..',
    '.',
    'a/..',
    '../sys',
    'a/../../sys/seal',
    'a//b',
    '/a',
    'a/',
    '',
    'a?b',
    'a?list=true',
    'a#b',
    'a%2e%2e',
    'a%2fb',
    '%2e%2e/x',
    'a&#x2F;b',
    '&#x2F;sys',
    'a\\..\\b',
    'a b',
    ' a',
    'a\n',
    'a\r\nX-Vault-Token: x',
    'a\0',
    'a*',
    '+',
    'a/+/b',
    'ä',
    '\u2024\u2024',
    '\uff0e\uff0e',
    '\u2215',
    'a;b',
    'a:b',
    '@x',
    'http://evil/',
    '//evil/x',
    '{{identity}}',
    'a..b',
    '...',
    '.a',
    'a/.b',
    'a,b',
    '~',
    '$',
    "a'b",
  ])('%j reaches nobody', async (path) => {
    await using server = await Loopback.start();
    const client = clientOf(server.origin);
    for (const call of [() => client.read(path), () => client.list(path), () => client.write(path, {}), () => client.delete(path)]) {
      const fault = await faultOf(call);
      expect(fault.reason).toBe('invalid');
      if (path.length > 3) expect(fault.message).not.toContain(path);
    }
    expect(server.received).toEqual([]);
    await client.close();
  });

  test('5,000 hostile ids: none reaches Vault, and what may pass arrives letter by letter', async () => {
    await using server = await Loopback.start();
    const client = clientOf(server.origin);
    const bad = fc.oneof(
      fc.constantFrom(
        '..',
        '../',
        '/..',
        '//',
        '/',
        '%2e',
        '%2E%2e',
        '%2f',
        '?',
        '#',
        '&#x2F;',
        '&#x2F',
        '\\',
        ' ',
        '\t',
        '\n',
        '\r',
        '\0',
        '*',
        '+',
        ';',
        ':',
        '@',
        '{{',
        '|',
        '"',
        "'",
        '\u2024',
        '\uff0e',
        '\u2215',
        '\ud800',
        '\u202e',
        'é',
        '.',
      ),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 3 }).filter((s) => !/^[a-z0-9-]+$/.test(s)),
    );
    const good = fc.stringMatching(/^[a-z0-9-]{0,6}$/);
    const hostile = fc.tuple(good, bad, good, fc.option(bad, { nil: '' }), good).map((parts) => parts.join(''));
    const prefix = 'postern/data/tenants/';
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(hostile, async (id) => {
        expect(id).not.toMatch(NAME);
        const path = prefix + id;
        server.received.length = 0;
        await client.read(path).then(
          () => {
            // Letters, digits, `-`, `_` and single dots inside a segment have no meaning of their own to anybody.
            expect(path).toMatch(/^[A-Za-z0-9_./-]+$/);
            expect(path).not.toMatch(/\.\.|\/\/|\/\.|\/$/);
            expect(server.received.map((r) => r.url)).toEqual([`/v1/${path}`]);
          },
          () => {
            refused++;
            expect(server.received).toEqual([]);
          },
        );
      }),
      { numRuns: 5000 },
    );
    expect(refused).toBeGreaterThan(4000);
    await client.close();
  });
});

describe('answers', () => {
  test.each<[number, unknown, VaultFault['reason']]>([
    [400, { errors: ['check-and-set parameter did not match the current version'] }, 'conflict'],
    [400, { errors: ['1 error occurred:\n\t* check-and-set parameter did not match the current version\n'] }, 'conflict'],
    [400, { errors: ['invalid role or secret ID'] }, 'invalid'],
    // Not Vault's word: plain http sent to a TLS listener, or a proxy in between.
    [400, 'Client sent an HTTP request to an HTTPS server.\n', 'unavailable'],
    [400, '<html>400 Bad Request</html>', 'unavailable'],
    [400, {}, 'unavailable'],
    [403, { errors: ['permission denied'] }, 'denied'],
    [404, { errors: [] }, 'not_found'],
    [404, { errors: ['no handler for route "nope/login". route entry not found.'] }, 'not_found'],
    [412, { errors: ['required index state not present'] }, 'unavailable'],
    [429, { errors: ['rate limit quota exceeded'] }, 'throttled'],
    [472, {}, 'unavailable'],
    [473, {}, 'unavailable'],
    // Of its listener, before anything is stored.
    [500, { errors: ['JSON object exceeds allowed entry count'] }, 'too_large'],
    [500, { errors: ['JSON array exceeds allowed element count'] }, 'too_large'],
    [500, { errors: ['JSON string value exceeds allowed length'] }, 'too_large'],
    [413, { errors: ['http: request body too large'] }, 'too_large'],
    [500, { errors: ['internal error'] }, 'unavailable'],
    // Of Raft: this document has no room; nothing is wrong with Vault.
    [
      500,
      { errors: ['1 error occurred:\n\t* put failed due to value being too large; got 1049680 bytes, max: 1048576 bytes\n\n'] },
      'too_large',
    ],
    [501, {}, 'unavailable'],
    [502, '<html>', 'unavailable'],
    [503, { errors: ['Vault is sealed'] }, 'unavailable'],
  ])('%i %j is %s', async (status, body, reason) => {
    await using server = await Loopback.start(() => [status, body]);
    const client = clientOf(server.origin);
    const fault = await faultOf(() => client.write('kv/data/x', {}));
    expect([fault.reason, fault.status]).toEqual([reason, status]);
    await client.close();
  });

  test('429 tells when to come again', async () => {
    for (const [header, seconds] of [
      ['7', 7],
      ['nonsense', undefined],
    ] as const) {
      await using server = await Loopback.start(() => [429, { errors: ['quota'] }, { 'Retry-After': header }]);
      const client = clientOf(server.origin);
      expect((await faultOf(() => client.write('kv/x', {}))).retryAfter).toBe(seconds);
      await client.close();
    }
  });

  test('nothing stored: undefined from a read, none from a list', async () => {
    await using server = await startRaw(404, { errors: [] });
    const client = clientOf(server.origin);
    expect(await client.read('kv/data/x')).toBeUndefined();
    expect(await client.list('kv/metadata/x')).toEqual([]);
    await client.close();
  });

  test.each<[string, number, unknown, string]>([
    ['a mount that is not there', 404, { errors: ['no handler for route "nope/x". route entry not found.'] }, 'no handler for route'],
    ['a path that the mount has not', 404, { errors: ['1 error occurred:\n\t* unsupported path\n\n'] }, 'unsupported path'],
    [
      'KV without its version',
      404,
      { data: null, warnings: ['Invalid path for a versioned K/V secrets engine. See the docs'] },
      'Invalid path',
    ],
  ])('404 for %s is not an empty answer', async (_what, status, body, words) => {
    await using server = await startRaw(status, body);
    const client = clientOf(server.origin);
    for (const call of [() => client.read('nope/data/x'), () => client.list('nope/metadata')]) {
      const fault = await faultOf(call);
      expect([fault.reason, fault.isOfNoMount, fault.isEmpty]).toEqual(['not_found', true, false]);
      expect(fault.message).toContain(words);
    }
    await client.close();
  });

  test('a 404 about something else than the mount is neither', async () => {
    await using server = await startRaw(404, { data: { error: 'failed to find accessor entry for secret_id_accessor: "x"' } });
    const client = clientOf(server.origin);
    const fault = await faultOf(() => client.write('auth/approle/role/acme/secret-id-accessor/lookup', {}));
    expect([fault.reason, fault.isOfNoMount, fault.isEmpty]).toEqual(['not_found', false, false]);
    expect(fault.message).toContain('failed to find accessor entry');
    await client.close();
  });

  test.each([
    [200, '<html>Welcome</html>'],
    [200, ''],
    [204, ''],
  ])('a read or list with %i and %j comes from somebody else than Vault', async (status, body) => {
    await using server = await startRaw(status, Buffer.from(body));
    const client = clientOf(server.origin);
    for (const call of [() => client.read('kv/data/x', { attempts: 1 }), () => client.list('kv/metadata', { attempts: 1 })])
      expect(await faultOf(call)).toMatchObject({ reason: 'unavailable', message: expect.stringContaining('VAULT_ADDR') as string });
    await client.close();
  });

  test('a list of 200,000 is taken whole, and one beyond 64 MiB is told as such; a read has 4 MiB', async () => {
    const digest = (n: number): string => n.toString(16).padStart(64, '0');
    const listOf = (count: number) => ({ data: { keys: Array.from({ length: count }, (_, n) => digest(n)) } });
    for (const count of [200_000, 1_100_000]) {
      await using server = await startRaw(200, listOf(count));
      const client = clientOf(server.origin, { timeoutMs: 20_000 });
      if (count === 200_000) {
        const keys = await client.list('kv/metadata');
        expect([keys.length, keys[0], keys.at(-1)]).toEqual([200_000, digest(0), digest(199_999)]);
        expect((await faultOf(() => client.read('kv/data/x', { attempts: 1 }))).reason).toBe('too_large');
      } else expect((await faultOf(() => client.list('kv/metadata', { attempts: 1 }))).reason).toBe('too_large');
      await client.close();
    }
  }, 60_000);

  test('a list has 30 s or what its client says, one that somebody waits for the deadline of every call', async () => {
    await using server = await startRaw(200, { data: { keys: ['a'] } }, { delayMs: 300 });
    const client = clientOf(server.origin, { timeoutMs: 100 });
    expect(await client.list('kv/metadata')).toEqual(['a']);
    expect((await faultOf(() => client.list('kv/metadata', { quick: true }))).reason).toBe('timeout');
    await client.close();
    const waited = clientOf(server.origin, { timeoutMs: 100, listTimeoutMs: 200 });
    expect((await faultOf(() => waited.list('kv/metadata'))).reason).toBe('timeout');
    await waited.close();
  });

  test('the end waits for no list longer than for any other call', async () => {
    await using server = await startRaw(200, { data: { keys: ['a'] } }, { delayMs: 5_000 });
    const client = clientOf(server.origin, { timeoutMs: 100 });
    const listed = faultOf(() => client.list('kv/metadata', { attempts: 1 }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const begun = performance.now();
    await client.close();
    expect(performance.now() - begun).toBeLessThan(2_000);
    expect((await listed).reason).toBe('unreachable');
  });

  test('a deleted KV version is 404 with its metadata, which a check-and-set needs', async () => {
    const body = { data: { data: null, metadata: { version: 7, deletion_time: '2026-01-01T00:00:00Z' } } };
    await using server = await Loopback.start(() => [404, body]);
    const client = clientOf(server.origin);
    expect(await client.read('kv/data/x')).toMatchObject(body);
    await client.close();
  });

  test('a write is answered with 204, or with JSON of Vault; anything else comes from somebody else', async () => {
    await using wrote = await Loopback.start(() => [204, undefined]);
    const writer = clientOf(wrote.origin);
    expect(await writer.write('kv/x', {})).toEqual({});
    await writer.close();
    for (const body of [
      '',
      'hello',
      '<html>Welcome</html>',
      '{"auth":',
      '{}',
      '[]',
      '{"status":"maintenance"}',
      '{"data":{},"errors":[]}',
    ]) {
      await using server = await startRaw(200, Buffer.from(body));
      const client = clientOf(server.origin);
      for (const call of [() => client.write('auth/approle/login', {}), () => client.read('kv/x', { attempts: 1 })]) {
        const fault = await faultOf(call);
        expect([fault.reason, fault.unasked]).toEqual(['unavailable', 'unanswered']);
      }
      await client.close();
    }
  });

  // As Vault 2.1 and OpenBao 2.7 were seen to answer.
  test.each([
    ['a wrapped answer, whose id is empty', { request_id: '', wrap_info: { token: 'x' }, data: null }],
    ['what `sys/unseal` tells', { type: 'shamir', initialized: true, sealed: false }],
    ['what `sys/leader` tells', { ha_enabled: true, leader_address: '' }],
  ])('%s is Vault’s', async (_what, body) => {
    await using server = await startRaw(200, Buffer.from(JSON.stringify(body)));
    const client = clientOf(server.origin);
    expect(await client.write('sys/x', {})).toEqual(body);
    await client.close();
  });

  test.each([
    ['a page', '<html>Not Found</html>'],
    ['no content', ''],
    ['JSON:API', '{"errors":[{"title":"Not Found"}]}'],
    ['a text among objects', '{"errors":["Not Found",{}]}'],
    ['data without an id', '{"data":{"data":{"epoch":0}}}'],
    ['warnings without an id', '{"warnings":["gone"]}'],
  ])('a 404 of %s is not "nothing is there": it is somebody else’s, as with no answer', async (_what, body) => {
    await using server = await startRaw(404, Buffer.from(body));
    const client = clientOf(server.origin);
    const once = { attempts: 1 };
    const calls = [
      () => client.read('kv/data/x', once),
      () => client.list('kv/metadata/x', once),
      () => client.write('kv/data/x', {}, once),
      () => client.delete('auth/approle/role/x', once),
    ];
    const faults = await Promise.all(calls.map(faultOf)).finally(() => client.close());
    for (const fault of faults) {
      expect(fault).toMatchObject({ reason: 'unavailable', notVaults: true, isEmpty: false, isOfNoMount: false, unasked: 'unanswered' });
      expect(fault.message).toContain("not Vault's: is VAULT_ADDR right?");
    }
  });

  test.each([400, 401, 403, 404, 405, 407, 408, 410, 421, 431, 451])('%i without a reason of Vault judges nothing', async (status) => {
    for (const body of ['<html>No backend</html>', '{"message":"Unauthorized"}', '{"errors":[{"title":"Unauthorized"}]}', '']) {
      await using server = await startRaw(status, Buffer.from(body));
      const client = clientOf(server.origin);
      expect((await faultOf(() => client.write('auth/approle/login', {}))).unasked).toBe('unanswered');
      await client.close();
    }
  });

  test.each([403, 404])('%i with one is', async (status) => {
    await using server = await startRaw(status, { errors: status === 404 ? ['no handler for route "auth/approle/login"'] : [] });
    const client = clientOf(server.origin);
    expect((await faultOf(() => client.write('auth/approle/login', {}))).unasked).toBeUndefined();
    await client.close();
  });

  test.each([null, 7, 'x', [1], { keys: 7 }, { keys: [1, 'a', null] }])('a list answer of %j is a list of strings', async (data) => {
    await using server = await startRaw(200, { data });
    const client = clientOf(server.origin);
    const keys = await client.list('kv/metadata/x');
    expect(keys).toEqual(JSON.stringify(data).includes('"a"') ? ['a'] : []);
    await client.close();
  });

  test.each([200, 429, 472, 473, 501, 503])('health %i is an answer, not an error', async (status) => {
    await using server = await Loopback.start(() => [
      status,
      { initialized: true, sealed: status === 503, standby: status === 429, version: '1.21.2' },
    ]);
    const client = clientOf(server.origin);
    expect(await client.health()).toEqual({
      status,
      initialized: true,
      sealed: status === 503,
      standby: status === 429,
      version: '1.21.2',
      product: 'Vault',
    });
    expect(server.received[0]?.headers).not.toHaveProperty('x-vault-token');
    await client.close();
  });

  // As both were seen to answer; Vault 2 and its Enterprise edition by Vault's own API documentation.
  test.each([
    [{ version: '1.21.2', enterprise: false }, 'Vault'],
    [{ version: '2.1.2', enterprise: false }, 'Vault'],
    [{ version: '2.1.2+ent', enterprise: true }, 'Vault'],
    [{ version: '1.15.6' }, 'Vault'],
    [{ version: '2.7.2' }, 'OpenBao'],
    [{}, 'Vault'],
  ])('health %j is that of %s', async (body, product) => {
    await using server = await Loopback.start(() => [200, { initialized: true, sealed: false, ...body }]);
    const client = clientOf(server.origin);
    expect((await client.health()).product).toBe(product);
    await client.close();
  });

  test('health of something that is not a Vault counts as sealed', async () => {
    await using server = await Loopback.start(() => [200, 'hello']);
    const client = clientOf(server.origin);
    expect(await client.health()).toMatchObject({ sealed: true, initialized: false, version: 'unknown' });
    await client.close();
  });

  test('calls are counted, repeated ones too', async () => {
    await using server = await Loopback.start(() => [503, {}]);
    const client = clientOf(server.origin);
    await faultOf(() => client.read('kv/x'));
    expect(client.calls).toBe(3);
    await client.close();
  });
});

describe('the clock', () => {
  const date = new Date(Date.now() - 600_000).toUTCString();

  test.each<[string, number, string, boolean]>([
    ['an answer', 200, '{"request_id":"1","data":{}}', true],
    ['a refusal', 403, '{"errors":["permission denied"]}', true],
    ['a sealed one', 503, '{"errors":["Vault is sealed"]}', true],
    ['a proxy’s page', 502, '<html>Bad Gateway</html>', false],
    ['a proxy’s page that is sure', 200, '<html>Welcome</html>', false],
    ['a gateway’s JSON that is sure', 200, '{"status":"maintenance"}', false],
    ['a gateway’s own JSON', 504, '{"message":"Endpoint request timed out"}', false],
    ['nothing at all', 502, '', false],
  ])('of %s counts only where it is Vault’s', async (_what, status, body, counts) => {
    await using server = await startRaw(status, Buffer.from(body), { date });
    const client = clientOf(server.origin);
    for (let times = 0; times < 3; times++) await client.write('kv/x', {}).catch(() => undefined);
    expect(client.clock.ms < -590_000).toBe(counts);
    await client.close();
  });
});
