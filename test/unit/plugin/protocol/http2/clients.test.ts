import { once } from 'node:events';
import { connect as connectHttp2, constants } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { connect } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '#broker/plugin/backend.ts';
import { HandleRequestArgs, HandleRequestReply } from '#broker/plugin/proto/generated/backend.ts';
import { Host, ask, idMetadata, requestOf, until } from '#test/unit/plugin/protocol/host.ts';

/** The plugin as its two kinds of clients see it: by Node's HTTP/2 with windows of our choice, and by grpc-js. */
let host: Host;
let asked = 0;
const release = Promise.withResolvers<void>();
const echo: Backend = {
  version: 'v1.0.0',
  specialPaths: {},
  async initialize() {},
  async handleRequest({ path, data }) {
    asked += 1;
    if (path === 'slow') await release.promise;
    return { data: { path, length: JSON.stringify(data).length, text: 'x'.repeat(Number(data['wanted'] ?? 0)) } };
  },
  async handleExistenceCheck() {
    return undefined;
  },
  invalidateKey() {},
  async cleanup() {},
};
const sessions: ClientHttp2Session[] = [];
beforeAll(async () => {
  host = await Host.start(() => echo);
  await host.mount('one');
});
afterAll(async () => {
  for (const session of sessions) session.destroy();
  release.resolve();
  await host.stop();
});

function client(initialWindowSize: number): ClientHttp2Session {
  const session = connectHttp2('http://localhost', {
    settings: { initialWindowSize },
    createConnection: () =>
      connect({ path: host.socket, rejectUnauthorized: false, ALPNProtocols: ['h2'], cert: host.vault.pem, key: host.vault.keyPem }),
  });
  sessions.push(session);
  return session;
}

function send(session: ClientHttp2Session, path: string, data: object): ClientHttp2Stream {
  const message = HandleRequestArgs.encode({ request: requestOf({ path, data: JSON.stringify(data) }) }).finish();
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  const stream = session.request({ ':method': 'POST', ':path': '/pb.Backend/HandleRequest', te: 'trailers', multiplex_id: 'one' });
  stream.on('error', () => {});
  stream.end(Buffer.concat([head, message]));
  return stream;
}

interface Told {
  readonly path: string;
  readonly length: number;
  readonly text: string;
}

async function answer(stream: ClientHttp2Stream): Promise<Told> {
  const chunks: Buffer[] = [];
  let code: unknown;
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('trailers', (trailers) => (code = trailers['grpc-status']));
  await once(stream, 'close');
  expect(code).toBe('0');
  const bytes = Buffer.concat(chunks);
  expect(bytes.readUInt32BE(1)).toBe(bytes.length - 5);
  return JSON.parse(HandleRequestReply.decode(bytes.subarray(5)).response!.data) as Told;
}

describe.each([1, 1_000, 65_535, 10_000_000])("Node's client with windows of %i bytes", (windowSize) => {
  it('gets all answers, and each its own, of any size both ways', async () => {
    const session = client(windowSize);
    const sizes = windowSize === 1 ? [0, 1, 40, 300] : [0, 1, 900, 16_300, 16_384, 65_600, 250_000];
    const told = await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        const wanted = sizes[index % sizes.length]!;
        const pad = 'y'.repeat(sizes[(index * 3) % sizes.length]!);
        const { path, length, text } = await answer(send(session, `call/${index}`, { wanted, pad }));
        return path === `call/${index}` && length === JSON.stringify({ wanted, pad }).length && text === 'x'.repeat(wanted);
      }),
    );
    expect(told).toEqual(Array.from({ length: 60 }, () => true));
  });
});

describe("Node's client", () => {
  it('takes calls back while their answers wait for a window, and others go on', async () => {
    const session = client(1_000);
    const taken = Array.from({ length: 50 }, () => send(session, 'taken', { wanted: 200_000 }));
    await Promise.all(taken.map((stream) => once(stream, 'response')));
    for (const stream of taken) stream.close(constants.NGHTTP2_CANCEL);
    expect((await answer(send(session, 'kept', { wanted: 100_000 }))).text).toHaveLength(100_000);
  });

  it('pings, changes its windows, and says goodbye before its last answers are there', async () => {
    const session = client(10);
    await once(session, 'connect');
    const ping = promisify((done: (error: Error | null, took: number) => void) => void session.ping(done));
    const slow = answer(send(session, 'late', { wanted: 50_000 }));
    expect(await ping()).toBeGreaterThan(0);
    session.settings({ initialWindowSize: 5, headerTableSize: 0 });
    session.settings({ initialWindowSize: 100_000 });
    await ping();
    session.close();
    expect((await slow).text).toHaveLength(50_000);
    await until(() => session.destroyed);
  });

  it('goes on while another connection ends for breaking the protocol', async () => {
    const session = client(65_535);
    await once(session, 'connect');
    // Nothing that a client may send: it goes past Node's HTTP/2, straight to its socket.
    const socket = connect({
      path: host.socket,
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
      cert: host.vault.pem,
      key: host.vault.keyPem,
    });
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x06\0\0\0\0\0');
    let said = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => (said = Buffer.concat([said, chunk])));
    await once(socket, 'close');
    expect(said.subarray(-17).toString('hex')).toBe('0000080700000000000000000000000001');
    expect((await answer(send(session, 'after', {}))).path).toBe('after');
  });
});

describe('the client of grpc-js', () => {
  it('gets hundreds of answers at once while others are taken back', async () => {
    const before = asked;
    const taken = Array.from({ length: 200 }, () =>
      host.backend.handleRequest({ request: requestOf({ path: 'slow' }) }, idMetadata('one'), () => {}),
    );
    await until(() => asked === before + 200);
    const wanted = (index: number): number => (index * 997) % 40_000;
    const replies = Promise.all(
      Array.from({ length: 300 }, (_, index) =>
        host.request('one', { path: `call/${index}`, data: JSON.stringify({ wanted: wanted(index) }) }),
      ),
    );
    for (const call of taken) call.cancel();
    for (const [index, { response }] of (await replies).entries())
      expect(JSON.parse(response!.data)).toMatchObject({ path: `call/${index}`, text: 'x'.repeat(wanted(index)) });
    release.resolve();
    await sleep(20);
    expect((await host.request('one', { path: 'still' })).response!.data).toContain('still');
  });

  it('reads why it is refused', async () => {
    const refused = ask((done) => host.backend.handleRequest({ request: undefined }, idMetadata('one'), done));
    await expect(refused).rejects.toMatchObject({ code: status.INVALID_ARGUMENT, details: 'no request in it' });
    const nowhere = ask((done) => host.backend.handleRequest({ request: requestOf({}) }, idMetadata('two'), done));
    await expect(nowhere).rejects.toMatchObject({ code: status.NOT_FOUND, details: 'no such mount' });
  });
});
