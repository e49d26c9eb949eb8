import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { HttpServer } from '#broker/http/http-server.ts';
import { replyJson } from '#broker/http/reply.ts';
import { waitTurn } from '#broker/http/turn.ts';
import type { Queueing } from '#broker/http/turn.ts';
import type { Reading } from '#broker/listener/reading.ts';
import { Turns } from '#broker/listener/turns.ts';
import { TrustedProxies } from '#broker/trusted-proxies.ts';

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

/** A server each of whose answers is some work, and clients that ask again as soon as they have one. */
async function stage({ trustedProxies = new TrustedProxies(), workMs = 0.2 } = {}) {
  const turns = new Turns({ waitMs: 60_000, onShed: () => {} });
  const readings = new Set<Reading>();
  const queueing: Queueing = {
    turns,
    isKnown: () => false,
    readingOf: (socket) => {
      const reading = server.readingOf(socket);
      if (reading !== undefined) readings.add(reading);
      return reading;
    },
  };
  const work = (): void => {
    for (const until = performance.now() + workMs; performance.now() < until;);
  };
  const server = new HttpServer({
    routes: [
      {
        path: '/',
        method: 'GET',
        whole: true,
        handle: async (call) => {
          await waitTurn(queueing, call);
          work();
          replyJson(call, 200, '{}');
        },
      },
    ],
    errors: 'auth0',
    maxPerAddress: 1_000,
    trustedProxies,
  });
  const port = await server.listen('127.0.0.1', 0);
  open.push(() => server.close(0));
  let over = false;
  const client = async (from: string, pauseMs = 0) => {
    const socket: Socket = connect({ port, host: '127.0.0.1', localAddress: from, noDelay: true });
    open.push(() => socket.destroy());
    const seen = { socket, asked: 0, answered: 0, waits: [] as number[] };
    let at = 0;
    const ask = (): void => {
      seen.asked++;
      at = performance.now();
      socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    };
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      if (!chunk.toString('latin1').startsWith('HTTP/1.1 200')) return;
      seen.answered++;
      seen.waits.push(performance.now() - at);
      if (over || /\r\nConnection: close/i.test(chunk.toString('latin1'))) return;
      if (pauseMs === 0) ask();
      else setTimeout(ask, pauseMs);
    });
    await once(socket, 'connect');
    ask();
    return seen;
  };
  const clients = (count: number, from: string) => Promise.all(Array.from({ length: count }, () => client(from)));
  const left = (): number => [...readings].filter((reading) => reading.left).length;
  return { server, turns, client, clients, left, end: () => (over = true) };
}

test('of a flood most connections are left unread, all are served again and again, and who asks little waits for none', async () => {
  const s = await stage();
  const flood = await s.clients(300, '127.0.1.1');
  await expect.poll(s.left).toBeGreaterThan(200);
  const quiet = await s.client('127.0.1.2', 10);
  await sleep(500);
  for (const one of flood) one.answered = one.asked = 0;
  await sleep(1_500);
  const [least, most] = [Math.min(...flood.map(({ answered }) => answered)), Math.max(...flood.map(({ answered }) => answered))];
  expect(least).toBeGreaterThan(1);
  // In turn.
  expect(most - least).toBeLessThan(most / 2 + 3);
  const median = (waits: number[]): number => waits.toSorted((a, b) => a - b)[waits.length >> 1] ?? Infinity;
  expect(median(quiet.waits)).toBeLessThan(median(flood.flatMap(({ waits }) => waits)) / 4);
  s.end();
  await expect.poll(() => flood.filter(({ asked, answered }) => asked !== answered - 1)).toEqual([]);
  // Nothing waits, and nothing is left.
  await expect.poll(() => [s.turns.waiting, s.left()]).toEqual([0, 0]);
});

test('what the unread have asked is answered before the process ends', async () => {
  // Longer than connections that do nothing are left open for.
  const s = await stage({ workMs: 2 });
  const flood = await s.clients(300, '127.0.1.1');
  // Node takes one in each turn.
  await expect.poll(() => flood.filter(({ answered }) => answered === 0)).toEqual([]);
  await expect.poll(s.left).toBeGreaterThan(200);
  const answers = (): number => flood.reduce((sum, { answered }) => sum + answered, 0);
  const before = answers();
  await s.server.close(10_000);
  // Each with what it had asked, and with no more: it was told so.
  expect(answers() - before).toBeLessThan(flood.length + 10);
  await expect.poll(() => flood.filter(({ asked, answered, socket }) => asked !== answered || !socket.closed)).toEqual([]);
});

test('a trusted proxy is always read: others ask by it, too', async () => {
  const s = await stage({ trustedProxies: new TrustedProxies(['127.0.1.1']) });
  const flood = await s.clients(200, '127.0.1.1');
  await expect.poll(() => s.turns.waiting).toBeGreaterThan(50);
  await sleep(200);
  expect(s.left()).toBe(0);
  s.end();
  await expect.poll(() => flood.filter(({ asked, answered }) => asked !== answered)).toEqual([]);
});
