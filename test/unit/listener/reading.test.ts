import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:https';
import { connect as connectTls } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { Reading } from '#broker/listener/reading.ts';
import { makeCertificates } from '#test/conformance/certificate.ts';

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

async function pair(): Promise<{ cert: string; key: string }> {
  await using made = await makeCertificates();
  const [cert, key] = await Promise.all([made.certFile, made.keyFile].map((file) => readFile(file, 'utf8')));
  return { cert: cert!, key: key! };
}

/** A connection to an HTTP server of Node's, whose data somebody else reads. */
async function stage(tls: boolean) {
  const server = tls ? createTlsServer(await pair()) : createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  open.push(() => server.close());
  const arrived = once(server, tls ? 'secureConnection' : 'connection') as Promise<[Socket]>;
  const client = tls ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }) : connect(port, '127.0.0.1');
  open.push(() => client.destroy());
  const [socket] = await arrived;
  let heard = '';
  socket.removeAllListeners('data');
  socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
  const reading = new Reading(socket, () => true);
  return { client, socket, reading, heard: () => heard };
}

test.each([false, true])('of a connection that is left unread nothing is read, and nothing is lost (TLS: %s)', async (tls) => {
  const s = await stage(tls);
  s.client.write('one');
  await expect.poll(s.heard).toBe('one');
  expect([s.reading.leave(), s.reading.left]).toEqual([true, true]);
  const before = s.socket.bytesRead;
  s.client.write('two');
  await sleep(100);
  expect([s.heard(), s.socket.readableLength, s.socket.bytesRead]).toEqual(['one', 0, before]);
  // Once is enough.
  expect(s.reading.leave()).toBe(false);
  s.reading.start();
  await expect.poll(s.heard).toBe('onetwo');
  expect(s.reading.left).toBe(false);
  s.client.write('three');
  await expect.poll(s.heard).toBe('onetwothree');
  // And again.
  expect(s.reading.leave()).toBe(true);
  s.client.write('four');
  s.reading.start();
  await expect.poll(s.heard).toBe('onetwothreefour');
});

test('one that is read for its own sake, or that ends, is not left', async () => {
  const s = await stage(false);
  expect(new Reading(s.socket, () => false).leave()).toBe(false);
  s.socket.end();
  expect(s.reading.leave()).toBe(false);
  s.socket.destroy();
  expect(s.reading.leave()).toBe(false);
  // Whose turn comes later does no harm.
  s.reading.start();
});

test('one by which more than one client asks is always read: a proxy has it that nobody named', async () => {
  const s = await stage(false);
  s.reading.usedBy('acme');
  s.reading.usedBy('acme');
  expect(s.reading.leave()).toBe(true);
  s.reading.start();
  s.reading.usedBy('globex');
  s.reading.usedBy('acme');
  expect(s.reading.leave()).toBe(false);
});
