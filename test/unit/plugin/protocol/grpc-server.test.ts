import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import { setImmediate as turn } from 'node:timers/promises';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HealthCheckRequest } from '#broker/plugin/proto/generated/health.ts';
import { ask, Host } from './host.ts';

/** What no gRPC library would send, byte by byte. */
let host: Host;
let session: ClientHttp2Session;
beforeAll(async () => {
  host = await Host.start(() => {
    throw new Error('no mount here');
  });
  session = connectHttp2('http://localhost', {
    createConnection: () =>
      connect({ path: host.socket, rejectUnauthorized: false, ALPNProtocols: ['h2'], cert: host.vault.pem, key: host.vault.keyPem }),
  });
});
afterAll(async () => {
  session.destroy();
  await host.stop();
});

const CHECK = '/grpc.health.v1.Health/Check';

function frame(message: Uint8Array, compressed = 0, length = message.length): Buffer {
  const head = Buffer.alloc(5);
  head[0] = compressed;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}
const asked = frame(HealthCheckRequest.encode({ service: 'plugin' }).finish());

/** @returns the status of gRPC, and how many bytes came with it */
async function call(path: string, pieces: Iterable<Uint8Array>): Promise<{ status: string; bytes: number }> {
  const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' });
  const done = Promise.withResolvers<{ status: string; bytes: number }>();
  let status = '';
  let bytes = 0;
  stream.on('response', (headers) => (status = String(headers['grpc-status'] ?? '')));
  stream.on('trailers', (headers) => (status = String(headers['grpc-status'] ?? '')));
  stream.on('data', (chunk: Buffer) => (bytes += chunk.length));
  stream.on('close', () => done.resolve({ status, bytes }));
  stream.on('error', done.reject);
  for (const piece of pieces) {
    stream.write(piece);
    await turn();
  }
  stream.end();
  return done.promise;
}

describe('a call', () => {
  it.each<[string, string, Uint8Array[], { status: string; bytes: number }]>([
    ['in one piece', CHECK, [asked], { status: '0', bytes: 7 }],
    ['in pieces of one byte', CHECK, [...asked].map((byte) => Uint8Array.of(byte)), { status: '0', bytes: 7 }],
    ['of an empty message', CHECK, [frame(Buffer.alloc(0))], { status: '0', bytes: 7 }],
    ['with a second message, which no such call has: the first is answered', CHECK, [asked, asked], { status: '0', bytes: 7 }],
    ['without a message', CHECK, [], { status: '3', bytes: 0 }],
    ['that ends in the middle', CHECK, [asked.subarray(0, 8)], { status: '3', bytes: 0 }],
    ['that ends in its head', CHECK, [asked.subarray(0, 3)], { status: '3', bytes: 0 }],
    ['that is not protobuf', CHECK, [frame(Buffer.from([0x0a, 0xff, 0xff]))], { status: '3', bytes: 0 }],
    ['that is compressed', CHECK, [frame(Buffer.from([1]), 1)], { status: '12', bytes: 0 }],
    ['longer than a message may be', CHECK, [frame(Buffer.from([1]), 0, 0xff_ff_ff_ff)], { status: '8', bytes: 0 }],
    ['of an unknown procedure', '/grpc.health.v1.Health/Watch', [asked], { status: '12', bytes: 0 }],
    ['of an unknown service', '/pb.Nobody/Check', [asked], { status: '12', bytes: 0 }],
    ['of a name that every object has', '/constructor', [asked], { status: '12', bytes: 0 }],
    ['for no mount', '/pb.Backend/Type', [frame(Buffer.alloc(0))], { status: '5', bytes: 0 }],
  ])('%s', async (_case, path, pieces, expected) => {
    expect(await call(path, pieces)).toEqual(expected);
    expect(await ask((done) => host.health.check({ service: 'plugin' }, done))).toEqual({ status: 1 });
  });

  it('taken back in the middle is forgotten', async () => {
    const stream = session.request({ ':method': 'POST', ':path': CHECK, 'content-type': 'application/grpc' });
    stream.on('error', () => {});
    stream.write(asked.subarray(0, 6));
    await turn();
    stream.close(8);
    expect(await call(CHECK, [asked])).toEqual({ status: '0', bytes: 7 });
  });
});
