import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '#dev/port.ts';
import { exchange, startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, ProcessReplica } from '#test/fixture/broker.ts';
import { registeredSecrets } from '#test/fixture/ledger.ts';
import { startOtlpReceiver } from '#test/fixture/otlp-receiver.ts';
import type { OtlpReceiver, ReceivedSpan } from '#test/fixture/otlp-receiver.ts';
import { LeakSearch } from '#test/leaks/search.ts';

/* What a real broker sends to an OTLP receiver, of real exchanges. */

const ORDERS = { audience: 'https://orders.example.com' };
const THEIRS = '4bf92f3577b34da6a3ce929d0e0e4736';
const TRACEPARENT = `00-${THEIRS}-00f067aa0ba902b7-01`;

let house: House;
let receiver: OtlpReceiver;
let replica: ProcessReplica;
let acme: Credential;
let metrics: string;

beforeAll(async () => {
  house = await startHouse();
  receiver = await startOtlpReceiver();
  const port = await freePort();
  metrics = `http://127.0.0.1:${port}/metrics`;
  replica = await house.startReplicaProcess({
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-team=blue',
      OTEL_SERVICE_NAME: 'tokens',
      OTEL_BSP_SCHEDULE_DELAY: '50',
      POSTERN_METRICS_LISTEN: `127.0.0.1:${port}`,
      POSTERN_TRUSTED_PROXIES: '127.0.0.2',
    },
  });
  acme = await house.issueSecret('acme');
}, 180_000);
afterAll(async () => {
  await receiver?.[Symbol.asyncDispose]();
  await house?.stop();
});

/** The spans of one request, by the id in its answer, once its own has come. */
async function traceOf(answer: Response): Promise<{ root: ReceivedSpan; spans: ReceivedSpan[]; childrenOf: (name: string) => string[] }> {
  const id = answer.headers.get('x-request-id');
  const rootOf = () => receiver.spans.find(({ attributes }) => attributes['postern.request_id'] === id);
  await expect.poll(rootOf, { timeout: 15_000 }).toBeDefined();
  const root = rootOf()!;
  const spans = receiver.spans.filter(({ traceId }) => traceId === root.traceId);
  return {
    root,
    spans,
    childrenOf: (name) => {
      const parents = spans.filter((span) => span.name === name).map(({ spanId }) => spanId);
      return spans.filter(({ parentSpanId }) => parents.includes(parentSpanId)).map((span) => span.name);
    },
  };
}

const post = (body: Record<string, string>, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(new URL('oauth/token', replica.issuer), { method: 'POST', body: new URLSearchParams(body), headers });
const ask = (more: Record<string, string> = {}, headers: Record<string, string> = {}): Promise<Response> =>
  post({ grant_type: 'client_credentials', ...acme, ...ORDERS, ...more }, headers);

describe('an exchange', () => {
  test('shows where a cold one went, down to Vault and Auth0, and whose it was', async () => {
    const answer = await ask();
    expect(answer.status).toBe(200);
    const { root, spans, childrenOf } = await traceOf(answer);
    expect(root).toMatchObject({
      name: 'POST /oauth/token',
      kind: 2,
      parentSpanId: '',
      status: 0,
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/oauth/token',
        'http.response.status_code': 200,
        'postern.door': 'token',
        'postern.outcome': 'granted',
        'postern.tenant': 'acme',
        'postern.api': 'orders',
        'postern.token.from': 'auth0',
      },
    });
    expect(childrenOf('POST /oauth/token')).toEqual(expect.arrayContaining(['verify', 'authorize', 'cache']));
    expect(childrenOf('verify')).toContain('vault');
    expect(childrenOf('cache')).toEqual(expect.arrayContaining(['lease', 'source', 'store write']));
    expect(childrenOf('lease')).toEqual(['vault']);
    expect(childrenOf('source')).toContain('auth0');
    const operations = spans
      .filter(({ name }) => name === 'vault')
      .map(({ kind, attributes }) => [kind, attributes['postern.vault.operation']]);
    expect(operations).toContainEqual([3, 'login']);
    for (const { start, end } of spans) expect(end).toBeGreaterThanOrEqual(start);
    expect(receiver.headers[0]?.['x-team']).toBe('blue');
    expect(receiver.bytes.some((one) => one.includes('tokens'))).toBe(true);
  });

  test('shows that a hit asked nobody', async () => {
    const { root, spans } = await traceOf(await ask());
    expect(root.attributes['postern.token.from']).toBe('memory');
    expect(spans.map(({ name }) => name).sort()).toEqual(['POST /oauth/token', 'authorize', 'cache', 'verify']);
  });

  test('that is refused tells why in a code, and is no error of ours', async () => {
    const { root, spans } = await traceOf(await ask({ client_secret: 'wrong' }));
    expect(root).toMatchObject({ status: 0, attributes: { 'postern.outcome': 'refused', 'postern.error': 'invalid_client' } });
    expect(spans.find(({ name }) => name === 'verify')).toMatchObject({ status: 2, attributes: { 'error.type': 'invalid_client' } });
  });

  test('of nobody who may is traced too, under its route alone', async () => {
    const { root } = await traceOf(await fetch(new URL(`${acme.client_secret}?x=1`, replica.issuer), { headers: { 'x-api-key': 'y' } }));
    expect(root).toMatchObject({ name: 'GET', attributes: { 'http.response.status_code': 404 } });
    expect(root.attributes).not.toHaveProperty('http.route');
  });
});

describe('whose trace it is', () => {
  test("a stranger's traceparent begins no trace of theirs", async () => {
    const { root } = await traceOf(await ask({}, { traceparent: TRACEPARENT }));
    expect(root.traceId).not.toBe(THEIRS);
  });

  test("a gateway's goes on, to Auth0 and by /verify to the service behind", async () => {
    // Its own broker: from here all of loopback is a trusted proxy.
    const behind = await house.startReplicaProcess({
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY: '50', POSTERN_TRUSTED_PROXIES: '127.0.0.1' },
    });
    const basic = Buffer.from(`${acme.client_id}:${acme.client_secret}`).toString('base64');
    const answer = await fetch(new URL('verify?audience=https://reports.example.com', behind.issuer), {
      headers: { authorization: `Basic ${basic}`, traceparent: TRACEPARENT, tracestate: 'vendor=a' },
    });
    expect(answer.status).toBe(200);
    const { root, spans } = await traceOf(answer);
    expect(root).toMatchObject({ traceId: THEIRS, parentSpanId: '00f067aa0ba902b7', name: 'GET /verify' });
    expect(answer.headers.get('traceparent')).toBe(`00-${THEIRS}-${root.spanId}-01`);
    expect(answer.headers.get('tracestate')).toBe('vendor=a');
    expect(spans.length).toBeGreaterThan(3);
    await behind.stop();
  });
});

test('a histogram leads to a trace, for whoever takes OpenMetrics', async () => {
  const look = async (accept: string): Promise<string> => (await fetch(metrics, { headers: { accept } })).text();
  const [, id] =
    /postern_exchange_duration_seconds_bucket\{[^}]*\} \d+ # \{trace_id="([0-9a-f]{32})"\}/.exec(
      await look('application/openmetrics-text'),
    ) ?? [];
  expect(receiver.spans.map(({ traceId }) => traceId)).toContain(id);
  expect(await look('text/plain')).not.toContain('trace_id');
});

test('a receiver that is away or refuses costs no exchange, and one line in the log', async () => {
  receiver.status = 400;
  for (let i = 0; i < 20; i++) expect((await exchange(replica, acme, ORDERS)).status).toBe(200);
  await expect.poll(async () => (await replica.log()).includes('traces cannot be sent'), { timeout: 10_000 }).toBe(true);
  for (let i = 0; i < 20; i++) expect((await exchange(replica, acme, ORDERS)).status).toBe(200);
  expect((await replica.log()).split('traces cannot be sent')).toHaveLength(2);
  receiver.status = 200;
});

test('what waits is sent when the broker ends; and nothing that was sent holds a secret', async () => {
  const answer = await ask();
  await replica.stop();
  const { root } = await traceOf(answer);
  expect(root.attributes['postern.outcome']).toBe('granted');
  expect(receiver.bytes.length).toBeGreaterThan(3);
  expect(new LeakSearch(registeredSecrets()).in(Buffer.concat(receiver.bytes).toString('latin1'))).toEqual([]);
});
