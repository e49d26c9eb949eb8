import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { SyslogDestination, frameOf } from '#broker/syslog.ts';
import type { SyslogOptions } from '#broker/syslog.ts';
import { syslogTarget } from '#broker/syslog-target.ts';
import { until } from '#test/fixture/until.ts';

const LINE = '{"time":"2026-11-29T08:00:00.000Z","event":"token.exchange","outcome":"granted","text":"ü\\n12 x"}';
const ended: (() => unknown)[] = [];
afterEach(() => Promise.all(ended.splice(0).map((end) => end())));

/** Reads frames as RFC 6587 §3.4.1 has them: no line end decides anything. */
function messagesIn(bytes: Buffer): string[] {
  const found: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(bytes.subarray(at, space).toString());
    if (space < 0 || !Number.isInteger(length)) throw new Error(`no length at ${at}`);
    if (space + 1 + length > bytes.length) break;
    found.push(bytes.subarray(space + 1, space + 1 + length).toString());
    at = space + 1 + length;
  }
  return found;
}

/** A receiver; each connection's bytes apart. @param reads whether it reads at all */
async function receiver(at: { port?: number; path?: string } = {}, reads = true) {
  const connections: { socket: Socket; bytes: Buffer }[] = [];
  const server: Server = createServer((socket) => {
    const connection = { socket, bytes: Buffer.alloc(0) };
    connections.push(connection);
    socket.on('error', () => {});
    if (reads) socket.on('data', (data: Buffer) => (connection.bytes = Buffer.concat([connection.bytes, data])));
    else socket.pause();
  });
  await new Promise<void>((resolve) =>
    at.path === undefined ? server.listen(at.port ?? 0, '127.0.0.1', resolve) : server.listen(at.path, resolve),
  );
  const close = () =>
    new Promise<void>((resolve) => {
      for (const { socket } of connections) socket.destroy();
      server.close(() => resolve());
    });
  ended.push(close);
  const port = at.path === undefined ? (server.address() as AddressInfo).port : 0;
  return { port, close, connections, messages: () => connections.flatMap(({ bytes }) => messagesIn(bytes)) };
}

function sender(target: string, options: SyslogOptions = {}) {
  const told: unknown[] = [];
  const recovered: number[] = [];
  const syslog = new SyslogDestination(syslogTarget(target)!, {
    retryMs: 20,
    onError: (error) => told.push(error),
    onRecovery: (lost) => recovered.push(lost),
    ...options,
  });
  ended.push(() => syslog.flushSync());
  return { syslog, told, recovered };
}

const bodies = (messages: readonly string[]) => messages.map((message) => message.slice(message.indexOf('{')));
const soon = (is: () => boolean) => until(async () => is(), 10_000);
const numbered = (n: number) => `{"n":${n}}`;

describe('a message', () => {
  test('has the header of RFC 5424 and its length in bytes before it', () => {
    const frame = frameOf(LINE, 'broker-1', 42);
    const message = `<110>1 2026-11-29T08:00:00.000Z broker-1 postern 42 token.exchange - ${LINE}`;
    expect(frame.toString()).toBe(`${Buffer.byteLength(message)} ${message}`);
    expect(messagesIn(frame)).toEqual([message]);
  });

  test('of a host without a printable name, or of an unknown form, has nil values', () => {
    expect(frameOf('{}', 'ü', 1).toString()).toBe(`${Buffer.byteLength('<110>1 - - postern 1 - - {}')} <110>1 - - postern 1 - - {}`);
  });
});

describe('a target', () => {
  test.each([
    ['tcp://syslog.example.com', { kind: 'tcp', host: 'syslog.example.com', port: 601 }],
    ['tcp://127.0.0.1:5140', { kind: 'tcp', host: '127.0.0.1', port: 5140 }],
    ['tls://[::1]', { kind: 'tls', host: '::1', port: 6514 }],
    ['unix:///run/syslog%20audit', { kind: 'unix', path: '/run/syslog audit' }],
  ])('%s', (text, target) => expect(syslogTarget(text)).toEqual({ ...target, name: text }));

  test.each([
    '',
    'syslog',
    'udp://x:514',
    'http://x',
    'tcp://',
    'tcp://u:p@x',
    'tcp://x/path',
    'tcp://x?y',
    'unix://host/path',
    'unix://',
    'unix:///',
  ])('%s is none', (text) => expect(syslogTarget(text)).toBeUndefined());
});

describe('lines', () => {
  test.each(['tcp', 'unix'])('arrive in order by %s, whatever is in them', async (kind) => {
    const path = join(mkdtempSync(join(tmpdir(), 's')), 's');
    const there = await receiver(kind === 'unix' ? { path } : {});
    const { syslog } = sender(kind === 'unix' ? `unix://${path}` : `tcp://127.0.0.1:${there.port}`);
    syslog.write(`${LINE}\n`);
    for (let n = 0; n < 5_000; n++) syslog.write(`${numbered(n)}\n`);
    await syslog.drained(5_000);
    await soon(() => there.messages().length === 5_001);
    expect(bodies(there.messages())).toEqual([LINE, ...Array.from({ length: 5_000 }, (_, n) => numbered(n))]);
    expect(syslog.backlog).toEqual({ bytes: 0, lost: 0 });
  });

  test('are held back while nobody is there, which is told, and sent when somebody is', async () => {
    const first = await receiver();
    await first.close();
    const { syslog, told, recovered } = sender(`tcp://127.0.0.1:${first.port}`);
    for (let n = 0; n < 100; n++) syslog.write(`${numbered(n)}\n`);
    await soon(() => told.length === 1);
    expect(told[0]).toMatchObject({ code: 'ECONNREFUSED' });
    await syslog.drained(10_000);
    const second = await receiver({ port: first.port });
    await soon(() => second.messages().length === 100);
    expect(bodies(second.messages())).toEqual(Array.from({ length: 100 }, (_, n) => numbered(n)));
    expect(recovered).toEqual([0]);
  });

  test('go to whoever takes connections after one that broke, none torn', async () => {
    const there = await receiver();
    const { syslog } = sender(`tcp://127.0.0.1:${there.port}`);
    let n = 0;
    for (let round = 0; round < 5; round++) {
      for (let more = 0; more < 50; more++) syslog.write(`${numbered(n++)}\n`);
      await soon(() => bodies(there.messages()).includes(numbered(n - 1)));
      there.connections.at(-1)?.socket.destroy();
      await soon(() => there.connections.at(-1)?.socket.destroyed === true);
      // From here on a new connection; what the system took for the old one would be lost.
      await soon(() => there.connections.length === round + 2);
    }
    expect([...new Set(bodies(there.messages()))]).toEqual(Array.from({ length: n }, (_, i) => numbered(i)));
  });

  test('of which more come than are held back are lost, counted and told; none waits, and memory has a bound', async () => {
    const there = await receiver({}, false);
    const { syslog, told, recovered } = sender(`tcp://127.0.0.1:${there.port}`, { maxHeld: 100_000 });
    await soon(() => there.connections.length === 1);
    const line = `{"text":"${'x'.repeat(1_000)}"}\n`;
    // The system's own buffers take some megabytes, when their turn comes.
    for (let n = 0; n < 40 && syslog.backlog.lost < 500; n++) {
      for (let more = 0; more < 500; more++) syslog.write(line);
      expect(syslog.backlog.bytes).toBeLessThanOrEqual(100_000);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const { lost } = syslog.backlog;
    expect(lost).toBeGreaterThan(0);
    expect(told).toEqual([expect.any(Error)]);
    const [connection] = there.connections;
    connection?.socket.on('data', (data: Buffer) => (connection.bytes = Buffer.concat([connection.bytes, data]))).resume();
    await soon(() => syslog.backlog.bytes === 0);
    expect(recovered.reduce((sum, count) => sum + count, 0)).toBe(lost);
  });
});
