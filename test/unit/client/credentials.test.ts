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
        Response.json({ access_token: `token-${this.asked.length}`, token_type: 'Bearer', expires_in: this.life, scope: 'read:orders' })
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
  wire = new Wire();
});
afterEach(() => {
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
