import { request as httpRequest, Agent } from 'node:http';
import { afterEach, expect, test, vi } from 'vitest';
import { RationedAudit } from '#broker/audit/rationed-audit.ts';
import { healthRoutes } from '#broker/http/health.ts';
import { HttpServer } from '#broker/http/http-server.ts';
import type { HttpServerOptions } from '#broker/http/http-server.ts';
import { tokenEndpoint } from '#broker/http/token-endpoint.ts';
import { verifyRoutes } from '#broker/http/verify.ts';
import type { Party } from '#broker/listener/turns.ts';
import { Overloaded } from '#broker/overloaded.ts';
import { TrustedProxies } from '#broker/trusted-proxies.ts';

const open: { close(): unknown }[] = [];
afterEach(() => Promise.all(open.splice(0).map((one) => one.close())));

interface Answer {
  status: number;
  headers: Readonly<Record<string, unknown>>;
  body: string;
}

/** A broker that is so full that nobody gets a turn, as long as `full` says. */
async function stage(options: Partial<HttpServerOptions> = {}) {
  const state = { full: true };
  const parties: Party[] = [];
  const lines: string[] = [];
  const run = vi.fn<() => never>(() => {
    throw new Overloaded('vault');
  });
  const take = (_reading: unknown, party: () => Party) => {
    parties.push(party());
    return state.full ? Promise.reject(new Overloaded('turn')) : undefined;
  };
  const turns = { take, waiting: 0, leaveUnread: () => {}, accepted: () => {} };
  const queueing = {
    turns,
    readingOf: () => undefined,
    isKnown: ({ clientId }: { clientId?: string | undefined }) => clientId === 'known',
  };
  const audit = new RationedAudit({ write: (line) => void lines.push(line) }, 2);
  const server = new HttpServer({
    routes: [
      tokenEndpoint({ exchange: { run }, audit, queueing }),
      ...verifyRoutes({ exchange: { run }, audit, queueing }),
      ...healthRoutes({ missing: () => [], degraded: () => [], warnings: () => [] }, { forwards: false, believes: () => false }),
    ],
    errors: 'auth0',
    ...options,
  });
  open.push({ close: () => server.close(0) });
  const port = await server.listen('127.0.0.1', 0);
  // One connection, which is kept.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  open.push({ close: () => agent.destroy() });
  const ask = (method: string, path: string, headers: Record<string, string> = {}, body = ''): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const sent = httpRequest({ port, method, path, headers, agent }, (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
      });
      sent.on('error', reject);
      sent.end(body);
    });
  const token = (client: string, headers: Record<string, string> = {}) =>
    ask(
      'POST',
      '/oauth/token',
      { 'Content-Type': 'application/x-www-form-urlencoded', ...headers },
      `grant_type=client_credentials&client_id=${client}&client_secret=canary`,
    );
  return { ask, token, state, parties, lines, run, audit };
}

const UNAVAILABLE = { error: 'temporarily_unavailable', error_description: 'Service temporarily unavailable' };

test('who is shed gets 503 with Retry-After, at no cost to what lies behind, and is counted in the audit beyond its ration', async () => {
  const s = await stage({ trustedProxies: new TrustedProxies(['127.0.0.1']) });
  for (let n = 0; n < 5; n++) {
    const { status, headers, body } = await s.token('known');
    expect([status, headers['retry-after'], JSON.parse(body)]).toEqual([503, '1', UNAVAILABLE]);
  }
  const verified = await s.ask('GET', '/verify?audience=https://orders.example.com', {
    Authorization: `Basic ${Buffer.from('known:canary').toString('base64')}`,
  });
  expect([verified.status, verified.headers['retry-after'], JSON.parse(verified.body)]).toEqual([503, '1', UNAVAILABLE]);
  expect(s.run).not.toHaveBeenCalled();
  expect(s.lines).toHaveLength(2);
  s.audit.end();
  expect(JSON.parse(s.lines[2]!)).toMatchObject({
    event: 'refusals.summary',
    refusals: { 'token temporarily_unavailable': 3, 'verify temporarily_unavailable': 1 },
  });
});

test('a client that was right before waits in its own line, anybody else in that of its network', async () => {
  const s = await stage({ trustedProxies: new TrustedProxies(['127.0.0.1']) });
  await s.token('known');
  await s.token('guessed');
  await s.token('guessed', { 'X-Forwarded-For': '2001:db8:1:2:3::4' });
  expect(s.parties).toEqual([
    { known: true, name: 'known' },
    { known: false, name: '127.0.0.1' },
    { known: false, name: '2001:db8:1::/48' },
  ]);
});

test('a connection that was shed is not read for the time that it was told; a proxy of ours is', async () => {
  const direct = await stage();
  await direct.token('known');
  direct.state.full = false;
  const begun = performance.now();
  expect((await direct.ask('GET', '/livez')).status).toBe(200);
  expect(performance.now() - begun).toBeGreaterThan(900);
  // And then it is as any other.
  expect((await direct.ask('GET', '/livez')).status).toBe(200);

  const proxied = await stage({ trustedProxies: new TrustedProxies(['127.0.0.1']) });
  const statuses: number[] = [];
  const since = performance.now();
  for (let n = 0; n < 40; n++) statuses.push((await proxied.token('known')).status);
  expect(new Set(statuses)).toEqual(new Set([503]));
  expect(performance.now() - since).toBeLessThan(30_000);
});

test('while the event loop is behind, requests are shed at their head, but for probes', async () => {
  const sheds = vi.fn<(network: string) => boolean>(() => true);
  const onShed = vi.fn<() => void>();
  const s = await stage({ lag: { stands: true, sheds }, onShed, trustedProxies: new TrustedProxies(['127.0.0.1']) });
  const { status, headers, body } = await s.token('known');
  expect([status, headers['retry-after'], JSON.parse(body)]).toEqual([503, '1', UNAVAILABLE]);
  expect([s.parties, onShed.mock.calls.length]).toEqual([[], 1]);
  expect((await s.ask('GET', '/livez')).status).toBe(200);
  expect((await s.ask('GET', '/readyz')).status).toBe(200);
  expect(sheds.mock.calls).toEqual([['127.0.0.1']]);
});
