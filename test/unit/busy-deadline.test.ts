import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { requestToken } from '#broker/auth0/client-credentials.ts';
import { VaultClient } from '#broker/vault/client.ts';

/*
 * A loop that was busy comes to its timers before it reads: the answer may lie there for long when the deadline strikes. Looked for since
 * in `make faults` 10,000 first requests at each of three brokers had Auth0 asked twice,
 * which has other reasons too.
 */

/** A server in a thread of its own, so that it answers while this one is busy. It says when it was asked, and answers a little later. */
const SERVER = `
  const { parentPort } = require('node:worker_threads');
  const server = require('node:http').createServer((request, response) => {
    request.resume().on('end', () => {
      parentPort.postMessage('asked');
      setTimeout(() => response.setHeader('content-type', 'application/json').end(request.url.startsWith('/v1/')
        ? '{"request_id":"1","data":{"keys":"some"}}' : '{"access_token":"token","token_type":"bearer","expires_in":60}'), 50);
    });
  });
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`;
/** ms */
const DEADLINE = 200;
const BUSY = 400;

let server: Worker;
let origin: string;
beforeEach(async () => {
  server = new Worker(SERVER, { eval: true });
  const [port] = await once(server, 'message');
  origin = `http://127.0.0.1:${port}`;
});
afterEach(() => void server.terminate());

/** Stands still from when the server is asked until the deadline is over. */
async function busy(): Promise<void> {
  await once(server, 'message');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BUSY);
}

it.each(Array.from({ length: 5 }, (_, n) => n))('an answer of Auth0 that came in time counts, however late it is read (%i)', async () => {
  const asking = requestToken({
    issuer: `${origin}/`,
    clientId: 'postern',
    clientSecret: 'a secret of a test',
    timeoutMs: DEADLINE,
    parameters: {},
  });
  await busy();
  await expect(asking).resolves.toBe('token');
});

it.each(Array.from({ length: 5 }, (_, n) => n))('so does one of Vault (%i)', async () => {
  const client = new VaultClient({ address: origin, timeoutMs: DEADLINE });
  try {
    const asking = client.read('postern/some', { token: 'token', attempts: 1 });
    await busy();
    await expect(asking).resolves.toMatchObject({ data: { keys: 'some' } });
  } finally {
    await client.close();
  }
});
