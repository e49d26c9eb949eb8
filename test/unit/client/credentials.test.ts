import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { generateKeyPair } from 'jose';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { credentials } from '#client/credentials.ts';

const ISSUER = 'https://tokens.example.com/';
const SERVICE = 'https://orders.example.com';

/** Postern and the service behind one `fetch`: what each was sent, and what it answers. */
class Wire {
  readonly asked: { headers: Headers; form: URLSearchParams }[] = [];
  readonly sent: { url: string; method: string; token: string | null; body: string }[] = [];
  life = 100;
  refusals: Response[] = [];
  /** Other members of the answer with the token. */
  more: object = {};
  service: (token: string) => Response = () => new Response('ok');

  readonly fetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const url = new URL(request.url);
    if (url.pathname.endsWith('/openid-configuration')) return Response.json({ issuer: ISSUER, token_endpoint: `${ISSUER}oauth/token` });
    if (url.pathname === '/oauth/token') {
      this.asked.push({ headers: request.headers, form: new URLSearchParams(await request.text()) });
      const refusal = this.refusals.shift();
      return (
        refusal ??
        Response.json({
          access_token: `token-${this.asked.length}`,
          token_type: 'Bearer',
          expires_in: this.life,
          scope: 'read:orders',
          ...this.more,
        })
      );
    }
    const token = request.headers.get('authorization')?.replace('Bearer ', '') ?? null;
    this.sent.push({ url: request.url, method: request.method, token, body: await request.text() });
    return this.service(token ?? '');
  };
}

const refusal = (status: number, error: string, headers: Record<string, string> = {}) =>
  Response.json({ error, error_description: 'why' }, { status, headers });

let wire: Wire;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] });
  // A refresh at exactly four fifths, and a wait of exactly Retry-After; the tests of the spread have others.
  vi.spyOn(Math, 'random').mockReturnValue(0);
  wire = new Wire();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const orders = (more: object = {}) =>
  credentials({ issuer: ISSUER, service: SERVICE, audience: SERVICE, clientId: 'id', clientSecret: 'a+b c', fetch: wire.fetch, ...more });
const bearer = (client: ReturnType<typeof orders>) => client.fetch('/v1').then(() => wire.sent.at(-1)?.token);

describe('credentials()', () => {
  it('asks once for any number of requests, with the audience and the secret in Basic', async () => {
    const client = orders({ scope: 'read:orders' });
    await Promise.all(Array.from({ length: 20 }, () => client.fetch('/v1/orders?open=1')));
    expect(wire.asked).toHaveLength(1);
    expect(Object.fromEntries(wire.asked[0]!.form)).toEqual({ grant_type: 'client_credentials', audience: SERVICE, scope: 'read:orders' });
    // RFC 6749 §2.3.1: both parts form-encoded.
    expect(Buffer.from(wire.asked[0]!.headers.get('authorization')!.slice(6), 'base64').toString()).toBe('id:a%2Bb+c');
    expect(new Set(wire.sent.map(({ url, token }) => `${url} ${token}`))).toEqual(new Set([`${SERVICE}/v1/orders?open=1 token-1`]));
  });

  it('renews after four fifths of the life, while the token at hand serves', async () => {
    const client = orders();
    expect(await bearer(client)).toBe('token-1');
    vi.advanceTimersByTime(79_000);
    expect(await bearer(client)).toBe('token-1');
    expect(wire.asked).toHaveLength(1);
    vi.advanceTimersByTime(2_000);
    expect(await bearer(client)).toBe('token-1');
    await vi.waitFor(() => expect(wire.asked).toHaveLength(2));
    await vi.waitFor(async () => expect(await bearer(client)).toBe('token-2'));
    expect(wire.asked).toHaveLength(2);
  });

  it('serves on while Postern is away, pauses between attempts, and fails when the token has ended', async () => {
    const client = orders();
    await client.token();
    wire.refusals = Array.from({ length: 50 }, () => refusal(503, 'temporarily_unavailable', { 'Retry-After': '60' }));
    vi.advanceTimersByTime(81_000);
    for (let i = 0; i < 5; i++) expect(await client.token()).toBe('token-1');
    await vi.waitFor(() => expect(wire.asked).toHaveLength(2));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await client.token()).toBe('token-1');
    expect(wire.asked).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(14_000);
    await expect(client.token()).rejects.toMatchObject({ status: 503, error: 'temporarily_unavailable' });
  });

  it.each([429, 503])('waits as long as a %i asks for, and tries again', async (status) => {
    wire.refusals = [refusal(status, 'too_many_requests', { 'Retry-After': '3' })];
    const token = orders().token();
    await vi.advanceTimersByTimeAsync(2_900);
    expect(wire.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(await token).toBe('token-2');
  });

  it.each([
    { why: 'a refusal', reply: () => refusal(401, 'access_denied'), status: 401 },
    { why: 'a wait that is too long', reply: () => refusal(429, 'too_many_requests', { 'Retry-After': '3600' }), status: 429 },
  ])('tells $why at once', async ({ reply, status }) => {
    wire.refusals = [reply()];
    await expect(orders().token()).rejects.toMatchObject({ status });
    expect(wire.asked).toHaveLength(1);
  });

  it.each(['null', '7', '"why"', '[]', '{"error":null}', '', '<html>'])(
    'a refusal whose body is %s is one, and is waited for',
    async (body) => {
      const headers = { 'Content-Type': 'application/json', 'Retry-After': '3' };
      wire.refusals = [429, 503].map((status) => new Response(body, { status, headers }));
      const token = orders().token();
      await vi.advanceTimersByTimeAsync(6_500);
      expect(await token).toBe('token-3');
      for (const status of [302, 400, 401, 500]) {
        wire.refusals = [new Response(body, { status, headers: { ...headers, 'Retry-After': '60' } })];
        const client = orders();
        for (let i = 0; i < 2; i++)
          await expect(client.token()).rejects.toMatchObject({ name: 'CredentialsError', status, retryAfter: 60 });
      }
    },
  );

  it.each([
    { told: '3600', headers: {}, seconds: 3600 },
    { told: 'more than an hour', headers: { 'Retry-After': '86400' }, seconds: 3600 },
    // Their clock is not ours.
    {
      told: 'a date',
      headers: { 'Retry-After': 'Sun, 06 Nov 1994 08:50:37 GMT', Date: 'Sun, 06 Nov 1994 08:49:37 GMT' },
      seconds: 60,
    },
  ])('leaves Postern alone as long as it asks for, whoever comes: $told', async ({ headers, seconds }) => {
    const client = orders();
    wire.refusals = [refusal(429, 'too_many_requests', { 'Retry-After': '3600', ...headers })];
    await expect(client.token()).rejects.toMatchObject({ status: 429, retryAfter: seconds });
    await vi.advanceTimersByTimeAsync(1_500);
    for (let i = 0; i < 100; i++) {
      await expect(client.token()).rejects.toMatchObject({
        name: 'CredentialsError',
        status: 429,
        error: 'too_many_requests',
        retryAfter: seconds - 1,
        message: `Postern answered 429 too_many_requests: why (it is asked again in ${seconds - 1} s)`,
      });
    }
    await vi.advanceTimersByTimeAsync((seconds - 2) * 1000);
    await expect(client.fetch('/v1')).rejects.toMatchObject({ status: 429, retryAfter: 1 });
    expect(wire.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(600);
    expect(await client.token()).toBe('token-2');
  });

  it('leaves Postern alone in the background, too, while the token at hand serves', async () => {
    wire.life = 1000;
    const client = orders();
    await client.token();
    wire.refusals = [refusal(503, 'temporarily_unavailable', { 'Retry-After': '120' })];
    await vi.advanceTimersByTimeAsync(801_000);
    for (let i = 0; i < 119; i++) {
      expect(await client.token()).toBe('token-1');
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(wire.asked).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(2_000);
    await client.token();
    await vi.waitFor(async () => expect(await client.token()).toBe('token-3'));
  });

  it('tells who comes a wait that is enough', async () => {
    vi.mocked(Math.random).mockReturnValue(0.5);
    wire.refusals = [refusal(429, 'too_many_requests', { 'Retry-After': '60' })];
    const client = orders();
    await expect(client.token()).rejects.toMatchObject({ retryAfter: 66 });
    await vi.advanceTimersByTimeAsync(65_900);
    await expect(client.token()).rejects.toMatchObject({ retryAfter: 1 });
    await vi.advanceTimersByTimeAsync(100);
    expect(await client.token()).toBe('token-2');
    const down = orders({ fetch: () => Promise.reject(new TypeError('fetch failed')) });
    await expect(down.token()).rejects.toMatchObject({ retryAfter: 1 });
  });

  it.each([
    { random: 0, first: 800, last: 24_000 },
    { random: 0.999999, first: 1200, last: 36_000 },
  ])('pauses longer with each failure where Postern tells nothing, up to 30 s, at random ($random)', async ({ random, first, last }) => {
    vi.mocked(Math.random).mockReturnValue(random);
    const times: number[] = [];
    const away = vi.fn<typeof fetch>(() => {
      times.push(performance.now());
      return Promise.reject(new TypeError('fetch failed'));
    });
    const client = orders({ fetch: away });
    for (let i = 0; i < 2_000; i++) {
      await client.token().catch(() => {});
      await vi.advanceTimersByTimeAsync(100);
    }
    const pauses = times.slice(1).map((time, i) => time - times[i]!);
    expect(pauses[0]! - first).toBeLessThanOrEqual(100);
    for (const [i, pause] of pauses.entries()) {
      const least = Math.min(first * 2 ** i, last);
      expect(pause).toBeGreaterThanOrEqual(least - 1);
      expect(pause).toBeLessThan(least + 200);
    }
    // It has ended: a failure after it pauses shortly again.
    away.mockImplementation(wire.fetch);
    await vi.advanceTimersByTimeAsync(36_000);
    expect(await client.token()).toBe('token-1');
    await vi.advanceTimersByTimeAsync(99_000);
    wire.refusals = [refusal(500, 'server_error')];
    await expect(client.token()).rejects.toMatchObject({ status: 500 });
    await vi.advanceTimersByTimeAsync(first + 100);
    expect(await client.token()).toBe('token-3');
  });

  it('spreads the refresh, and the end of a wait, by a fifth', async () => {
    vi.mocked(Math.random).mockReturnValue(0.999999);
    wire.refusals = [refusal(429, 'too_many_requests', { 'Retry-After': '5' })];
    const client = orders();
    const first = client.token();
    await vi.advanceTimersByTimeAsync(5_900);
    expect(wire.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(await first).toBe('token-2');
    await vi.advanceTimersByTimeAsync(63_000);
    await client.token();
    expect(wire.asked).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(1_500);
    await client.token();
    await vi.waitFor(() => expect(wire.asked).toHaveLength(3));
  });

  it('makes the life of a token no longer or shorter where the clock is set', async () => {
    const client = orders();
    await client.token();
    for (const days of [-400, 400]) {
      vi.spyOn(Date, 'now').mockReturnValue(new Date().getTime() + days * 86_400_000);
      expect(await client.token()).toBe('token-1');
    }
    expect(wire.asked).toHaveLength(1);
  });

  it.each([
    { expires_in: undefined, lives: 54, ends: 56 },
    { expires_in: 0, lives: 0.4, ends: 0.6 },
    { expires_in: '100', lives: 94, ends: 96 },
    { expires_in: 1e306, lives: 29 * 86_400, ends: 30 * 86_400 },
  ])('uses a token with expires_in $expires_in for a while', async ({ expires_in, lives, ends }) => {
    wire.more = { expires_in };
    const client = orders();
    await client.token();
    wire.refusals = Array.from({ length: 9 }, () => refusal(401, 'access_denied'));
    await vi.advanceTimersByTimeAsync(lives * 1000);
    expect(await client.token()).toBe('token-1');
    await vi.advanceTimersByTimeAsync((ends - lives) * 1000);
    await expect(client.token()).rejects.toMatchObject({ status: 401 });
  });

  it.each([
    { expires_in: -1 },
    { expires_in: null },
    { expires_in: 'soon' },
    { token_type: 'DPoP' },
    { token_type: 'N_A' },
    { token_type: undefined },
    { access_token: 'sesame\nopen' },
    { access_token: 'sésame' },
    { access_token: '' },
    { access_token: 7 },
  ])('takes no token from %j, and tells nothing of it', async (more) => {
    wire.more = more;
    const error = await orders()
      .fetch('/v1')
      .then(() => undefined)
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'CredentialsError', message: expect.stringContaining('no answer that can be used') });
    expect(String(error)).not.toMatch(/s.same|token-1/);
    expect(wire.sent).toHaveLength(0);
  });

  it('reads no more of a reply than 64 KiB', async () => {
    let pulled = 0;
    const endless = () =>
      new ReadableStream<Uint8Array>({
        pull(controller) {
          pulled += 16_384;
          controller.enqueue(new Uint8Array(16_384).fill(0x61));
        },
      });
    const json = { 'Content-Type': 'application/json' };
    wire.refusals = [new Response(endless(), { headers: json })];
    await expect(orders().token()).rejects.toMatchObject({
      name: 'CredentialsError',
      message: 'Postern gives no answer that can be used: a reply of more than 64 KiB',
    });
    expect(pulled).toBeLessThan(200_000);
    // A page of a proxy, say.
    wire.refusals = [new Response(endless(), { status: 503, headers: { 'Retry-After': '70' } })];
    await expect(orders().token()).rejects.toMatchObject({ status: 503, retryAfter: 70 });
  });

  it('tells what Postern says on one line', async () => {
    wire.refusals = [Response.json({ error: 'a\nb', error_description: 'x'.repeat(1000) }, { status: 400 })];
    const error = (await orders()
      .token()
      .catch((thrown: unknown) => thrown)) as Error;
    expect(error.message).toBe(`Postern answered 400 a?b: ${'x'.repeat(256)}`);
  });

  it('ends the wait of a caller who gives up, and of no other', async () => {
    let answer = () => {};
    const client = orders({
      fetch: async (input: string | Request, init: RequestInit) => {
        if (new Request(input).url === `${ISSUER}oauth/token`) await new Promise<void>((resolve) => (answer = resolve));
        return wire.fetch(input, init);
      },
    });
    const abort = new AbortController();
    const gone = client.fetch('/v1', { signal: abort.signal });
    const stays = client.fetch('/v1');
    await vi.advanceTimersByTimeAsync(10);
    abort.abort(new Error('enough'));
    await expect(gone).rejects.toThrow('enough');
    answer();
    expect((await stays).status).toBe(200);
    expect(wire.asked).toHaveLength(1);
    expect(wire.sent).toHaveLength(1);
    await expect(client.fetch('/v1', { signal: abort.signal })).rejects.toThrow('enough');
  });

  it('asks for a secret again where reading it never ended', async () => {
    const read = vi.fn<() => Promise<string>>(() => new Promise(() => {}));
    const client = orders({ clientSecret: read, timeout: 3 });
    const token = expect(client.token()).rejects.toThrow('the credential was not read within 3 s');
    await vi.advanceTimersByTimeAsync(3_000);
    await token;
    read.mockResolvedValue('secret');
    expect(await client.token()).toBe('token-1');
  });

  it('reads the secret anew for each token, and trims what a file adds', async () => {
    const secrets = ['one\n', 'two'];
    const client = orders({ clientSecret: () => Promise.resolve(secrets.shift() ?? '') });
    await client.token();
    vi.advanceTimersByTime(99_000);
    await client.token();
    expect(wire.asked.map(({ headers }) => Buffer.from(headers.get('authorization')!.slice(6), 'base64').toString())).toEqual([
      'id:one',
      'id:two',
    ]);
    vi.advanceTimersByTime(99_000);
    await expect(client.token()).rejects.toThrow('the credential is empty');
  });

  it('tells an outage as an error of its own, and a secret that cannot be read as what it is', async () => {
    const down = orders({ fetch: () => Promise.reject(new TypeError('fetch failed')) });
    await expect(down.token()).rejects.toMatchObject({ name: 'CredentialsError', status: undefined });
    const unreadable = orders({ clientSecret: () => Promise.reject(Object.assign(new Error('ENOENT: /run/secret'), { code: 'ENOENT' })) });
    await expect(unreadable.token()).rejects.toMatchObject({ code: 'ENOENT' });
    const broken = orders({
      clientSecret: () => {
        throw new Error('no secret');
      },
    });
    // Who asks again is not kept off: the file may be there by now.
    for (let i = 0; i < 3; i++) await expect(broken.token()).rejects.toThrow('no secret');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('sends a request once more with a new token after a 401, with its body', async () => {
    wire.service = (token) => new Response('', { status: token === 'token-1' ? 401 : 200 });
    const response = await orders().fetch('/v1', { method: 'POST', body: 'hello' });
    expect(response.status).toBe(200);
    expect(wire.sent.map(({ token, body, method }) => `${method} ${token} ${body}`)).toEqual(['POST token-1 hello', 'POST token-2 hello']);
  });

  it('gives up after the second 401, and at the first where the body is a stream', async () => {
    wire.service = () => new Response('', { status: 401 });
    expect((await orders().fetch('/v1')).status).toBe(401);
    expect(wire.sent).toHaveLength(2);
    const body = new Blob(['x']).stream();
    expect((await orders().fetch('/v1', { method: 'POST', body, duplex: 'half' } as RequestInit)).status).toBe(401);
    expect(wire.sent).toHaveLength(3);
  });

  it('sends nothing twice with the token that was refused, which Postern may still have', async () => {
    wire.more = { access_token: 'the-same' };
    wire.service = () => new Response('why', { status: 401 });
    const client = orders();
    const denied = await client.fetch('/v1', { method: 'POST', body: 'pay' });
    expect([denied.status, await denied.text(), wire.sent.length, wire.asked.length]).toEqual([401, 'why', 1, 2]);
    for (let i = 0; i < 20; i++) await client.fetch('/v1');
    expect(wire.asked).toHaveLength(2);
  });

  it('sends a request once more though the body of the 401 breaks off', async () => {
    const broken = (): ReadableStream => new ReadableStream({ start: (body) => body.error(new TypeError('terminated')) });
    wire.service = (token) => (token === 'token-1' ? new Response(broken(), { status: 401 }) : new Response('ok'));
    expect(await (await orders().fetch('/v1')).text()).toBe('ok');
  });

  it.each([
    { why: 'Postern is away', reply: () => refusal(503, 'temporarily_unavailable', { 'Retry-After': '60' }) },
    { why: 'Postern refuses', reply: () => refusal(403, 'unauthorized_client') },
  ])('answers a 401 as it is where $why, and keeps the token', async ({ reply }) => {
    const client = orders();
    await client.token();
    wire.refusals = Array.from({ length: 50 }, reply);
    wire.service = () => new Response('why', { status: 401 });
    const denied = await client.fetch('/v1');
    expect([denied.status, await denied.text()]).toEqual([401, 'why']);
    expect(wire.asked).toHaveLength(2);
    expect((await client.fetch('/v1')).status).toBe(401);
    expect(wire.asked).toHaveLength(2);
    wire.service = () => new Response('ok');
    for (let i = 0; i < 5; i++) expect((await client.fetch('/v1')).status).toBe(200);
    expect(new Set(wire.sent.map(({ token }) => token))).toEqual(new Set(['token-1']));
    expect(wire.asked).toHaveLength(2);
  });

  it('keeps the token where the secret for another cannot be read', async () => {
    const secrets = ['one'];
    const client = orders({ clientSecret: () => secrets.shift() ?? '' });
    await client.token();
    wire.service = () => new Response('', { status: 401 });
    expect((await client.fetch('/v1')).status).toBe(401);
    wire.service = () => new Response('ok');
    expect(await bearer(client)).toBe('token-1');
  });

  it('makes one exchange in 30 s for a service that refuses every token', async () => {
    wire.life = 3600;
    wire.service = () => new Response('', { status: 401 });
    const client = orders();
    for (let i = 0; i < 100; i++) expect((await client.fetch('/v1')).status).toBe(401);
    expect(wire.asked).toHaveLength(2);
    expect(wire.sent).toHaveLength(101);
    await vi.advanceTimersByTimeAsync(29_900);
    await client.fetch('/v1');
    expect(wire.asked).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(200);
    for (let i = 0; i < 10; i++) await client.fetch('/v1');
    expect(wire.asked).toHaveLength(3);
  });

  it('makes one exchange for all requests that are refused at the same time, and sends each again', async () => {
    const client = orders();
    await client.token();
    wire.service = (token) => new Response('', { status: token === 'token-1' ? 401 : 200 });
    const answers = await Promise.all(Array.from({ length: 20 }, () => client.fetch('/v1')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(wire.asked).toHaveLength(2);
    expect(wire.sent).toHaveLength(40);
  });

  it('has another token after a 401 to a stream, for the next request', async () => {
    const client = orders();
    wire.service = (token) => new Response('', { status: token === 'token-1' ? 401 : 200 });
    const stream = () => ({ method: 'POST', body: new Blob(['x']).stream(), duplex: 'half' }) as RequestInit;
    expect((await client.fetch('/v1', stream())).status).toBe(401);
    await vi.waitFor(async () => expect(await client.token()).toBe('token-2'));
    expect((await client.fetch('/v1', stream())).status).toBe(200);
    expect(wire.asked).toHaveLength(2);
  });

  it.each([
    'https://evil.example.com/',
    '//evil.example.com/',
    'http://orders.example.com/',
    'https://orders.example.com:444/',
    'https://orders.example.com@evil.example.com/',
  ])('sends no token to %s', async (url) => {
    await expect(orders().fetch(url)).rejects.toThrow(TypeError);
    await expect(orders().fetch(new Request(new URL(url, SERVICE).href.replace('@', '.')))).rejects.toThrow(TypeError);
    expect(wire.sent).toHaveLength(0);
    expect(wire.asked).toHaveLength(0);
  });

  it.each(['http://tokens.example.com', 'ftp://tokens.example.com'])('refuses an issuer in the clear: %s', (issuer) => {
    expect(() => orders({ issuer })).toThrow(TypeError);
  });

  it('exchanges a Vault token without any client authentication', async () => {
    const client = credentials({ issuer: ISSUER, service: SERVICE, audience: SERVICE, vaultToken: () => 'hvb.x', fetch: wire.fetch });
    expect(await client.token()).toBe('token-1');
    expect(wire.asked[0]!.headers.has('authorization')).toBe(false);
    expect(Object.fromEntries(wire.asked[0]!.form)).toEqual({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      audience: SERVICE,
      subject_token: 'hvb.x',
      subject_token_type: 'urn:postern:params:oauth:token-type:vault-token',
    });
  });

  it('signs an assertion where it has a key', async () => {
    const { privateKey } = await generateKeyPair('RS256');
    const client = credentials({ issuer: ISSUER, service: SERVICE, clientId: 'id', privateKey, kid: 'k1', fetch: wire.fetch });
    expect(await client.token()).toBe('token-1');
    const form = wire.asked[0]!.form;
    expect(form.get('client_assertion_type')).toBe('urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
    const [header, payload] = form
      .get('client_assertion')!
      .split('.', 2)
      .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>);
    expect(header).toMatchObject({ alg: 'RS256', kid: 'k1' });
    expect(payload).toMatchObject({ iss: 'id', sub: 'id', aud: ISSUER, jti: expect.any(String) });
  });
});

describe('over real connections', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close().closeAllConnections();
  });
  async function listen(answer: Parameters<typeof createServer>[1]): Promise<string> {
    const server = createServer(answer).listen(0, '127.0.0.1');
    servers.push(server);
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  it('takes neither the secret nor the token to where a redirect leads', async () => {
    vi.useRealTimers();
    const seen: (string | undefined)[] = [];
    const stranger = await listen((request, response) => {
      seen.push(request.headers.authorization);
      response.end('{}');
    });
    const redirecting = { discovery: false, token: true };
    const postern = await listen((request, response) => {
      const issuer = `http://${request.headers.host}`;
      const discovery = request.url?.startsWith('/.well-known') === true;
      if (discovery ? redirecting.discovery : redirecting.token) return response.writeHead(307, { Location: stranger }).end();
      response.setHeader('Content-Type', 'application/json');
      return response.end(
        JSON.stringify(
          discovery
            ? { issuer: `${issuer}/`, token_endpoint: `${issuer}/oauth/token` }
            : { access_token: 'good', token_type: 'Bearer', expires_in: 60 },
        ),
      );
    });
    const service = await listen((_request, response) => response.writeHead(307, { Location: stranger }).end());
    const client = () => credentials({ issuer: postern, service, clientId: 'id', clientSecret: 'secret' });
    await expect(client().token()).rejects.toMatchObject({ name: 'CredentialsError', status: 307 });
    redirecting.discovery = true;
    await expect(client().token()).rejects.toMatchObject({ name: 'CredentialsError', status: 307 });
    expect(seen).toEqual([]);
    redirecting.discovery = redirecting.token = false;
    expect((await client().fetch('/v1')).status).toBe(200);
    expect(seen).toEqual([undefined]);
  });
});
