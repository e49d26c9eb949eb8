import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { Listener } from '#broker/listener/listener.ts';
import type { ListenerOptions } from '#broker/listener/listener.ts';
import type { WholeRequest } from '#broker/listener/whole-request.ts';
import type { Answer } from '#broker/listener/whole-response.ts';
import { makeCertificates } from '#test/conformance/certificate.ts';

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.close();
});

type Handle = (request: IncomingMessage, response: ServerResponse) => void;
const HELLO: Handle = (_request, response) => void response.end('hello');

async function stage(handle: Handle = HELLO, options: Partial<ListenerOptions> = {}) {
  let begun = 0;
  const listener = new Listener({
    handle: (request, response) => {
      begun++;
      handle(request, response);
    },
    refuse: (why, _request, response) => void response.writeHead(400).end(why),
    refuseUnparsable: (why) => ({ status: why === 'connect' ? 405 : 400, type: 'text/plain', body: why }),
    maxHeaderSize: 8192,
    maxConnections: 1000,
    ...options,
  });
  const port = await listener.listen('127.0.0.1', 0);
  open.push({ close: () => listener.close(0) });
  return { listener, port, begun: () => begun };
}

interface Client {
  readonly socket: Socket;
  said: string;
  closed: boolean;
}

async function client(port: number, options: { reads?: boolean; from?: string; tls?: string } = {}): Promise<Client> {
  const { reads = true, from = '127.0.0.1', tls } = options;
  const raw = connect({ host: '127.0.0.1', port, localAddress: from, allowHalfOpen: true });
  const socket = tls === undefined ? raw : connectTls({ socket: raw, ca: tls, servername: 'localhost' });
  const made: Client = { socket, said: '', closed: false };
  socket.on('error', () => {});
  for (const end of ['end', 'close']) socket.on(end, () => (made.closed = true));
  if (reads) socket.on('data', (chunk: Buffer) => (made.said += chunk.toString()));
  await new Promise((resolve) => socket.once(tls === undefined ? 'connect' : 'secureConnect', resolve).once('close', resolve));
  open.push({ close: () => socket.destroy() });
  return made;
}

const GET = 'GET /x HTTP/1.1\r\nHost: x\r\n\r\n';
const answersOf = ({ said }: Client): number => said.split('HTTP/1.1 200').length - 1;

describe('requests sent without waiting', () => {
  test('are begun one after the other, each when the answer before is sent', async () => {
    let atOnce = 0;
    let most = 0;
    const s = await stage((request, response) => {
      most = Math.max(most, ++atOnce);
      setTimeout(() => {
        atOnce--;
        response.end(request.url);
      }, 5);
    });
    const one = await client(s.port);
    one.socket.write(Array.from({ length: 8 }, (_, n) => GET.replace('/x', `/${n}`)).join(''));
    await expect.poll(() => answersOf(one)).toBe(8);
    expect(most).toBe(1);
    expect([...one.said.matchAll(/\r\n\r\n\/(\d)/g)].map(([, n]) => n).join('')).toBe('01234567');
    one.socket.write(GET);
    await expect.poll(() => answersOf(one)).toBe(9);
  });

  test('with bodies that come later are answered in their order', async () => {
    const s = await stage((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString())).on('end', () => setTimeout(() => response.end(`<${body}>`), 5));
    });
    const one = await client(s.port);
    const post = 'POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n';
    one.socket.write(`${post}abc${post}de`);
    await sleep(20);
    one.socket.write(`f${GET}`);
    await expect.poll(() => answersOf(one)).toBe(3);
    expect(one.said.match(/<.*?>/g)).toEqual(['<abc>', '<def>', '<>']);
  });

  test('500 in one piece are all answered, again and again', async () => {
    const s = await stage((_request, response) => setImmediate(() => response.end('x')));
    const one = await client(s.port);
    for (let round = 1; round <= 4; round++) {
      one.socket.write(GET.repeat(500));
      await expect.poll(() => answersOf(one), { timeout: 10_000 }).toBe(500 * round);
    }
  }, 40_000);

  test('thousands from each of many: more than a bound for all are cut off, and few of theirs begun', async () => {
    const s = await stage((_request, response) => void setTimeout(() => response.end('x'), 500));
    const all = await Promise.all(Array.from({ length: 20 }, () => client(s.port)));
    for (const { socket } of all) socket.write(GET.repeat(2000));
    await expect.poll(() => all.filter(({ closed }) => closed).length).toBeGreaterThanOrEqual(1);
    expect(s.begun()).toBeLessThanOrEqual(60);
    // And the bound is there for others when they have gone.
    for (const { socket } of all) socket.destroy();
    await expect.poll(() => s.listener.connections, { timeout: 10_000 }).toBe(0);
    const next = await client(s.port);
    next.socket.write(GET.repeat(10));
    await expect.poll(() => answersOf(next), { timeout: 10_000 }).toBe(10);
  }, 30_000);

  test('answers of 64 KiB that nobody reads: no more than a few are made, and the connection ends after a time', async () => {
    const body = Buffer.alloc(64 * 1024, 'x');
    const s = await stage((_request, response) => void response.end(body), {
      timeouts: { unreadTimeout: 500, connectionsCheckingInterval: 100 },
    });
    const one = await client(s.port, { reads: false });
    const writing = setInterval(() => one.socket.write(GET), 1);
    await expect.poll(() => s.listener.connections, { timeout: 15_000 }).toBe(0);
    clearInterval(writing);
    // What the kernel's buffers on both sides take, and one more.
    const made = s.begun();
    expect(made).toBeLessThan(200);
    await sleep(300);
    expect(s.begun()).toBe(made);
  }, 20_000);
});

describe('whole requests', () => {
  type Asking = WholeRequest | IncomingMessage;
  type Answering = (response: Answer, request: Asking) => void;

  /** Who answered, in order: Node's parser or we. */
  async function wholeStage(answer: Answering = (response) => response.end('hello'), options: Partial<ListenerOptions> = {}) {
    const by: ('node' | 'whole')[] = [];
    const s = await stage(
      (request, response) => {
        by.push('node');
        answer(response, request);
      },
      {
        whole: {
          takes: (target) => target.startsWith('/x'),
          handle: (request, response) => {
            by.push('whole');
            answer(response, request);
          },
        },
        ...options,
      },
    );
    return { ...s, by };
  }

  const POST = 'POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc';
  async function answered(one: Client, text: string): Promise<string> {
    const before = one.said.length;
    const count = answersOf(one);
    one.socket.write(text);
    await expect.poll(() => answersOf(one)).toBe(count + 1);
    return one.said.slice(before);
  }

  test.each<[string, Answering]>([
    ['a body that is measured', (response) => response.end('hello')],
    ['no body', (response) => response.end()],
    ['a body of bytes', (response) => response.end(Buffer.from('h\u00e4llo'))],
    ['text of UTF-8', (response) => (response.writeHead(200, ['Content-Length', '6']), response.end('h\u00e4llo'))],
    ['text of latin1', (response) => (response.writeHead(200, ['Content-Length', '5']), response.end('h\u00e4llo', 'latin1'))],
    [
      'headers of both kinds',
      (response) => (response.setHeader('A', 'b'), response.writeHead(200, ['C', 'd', 'C', 'e', 'Content-Length', '1']), response.end('x')),
    ],
    [
      'a header that is written again',
      (response) => {
        response.setHeader('Retry-After', '1');
        response.setHeader('B', '2');
        response.writeHead(200, ['retry-after', '3', 'Content-Length', '1']);
        response.end('x');
      },
    ],
    ['another status', (response) => (response.writeHead(503, ['Content-Length', '2']), response.end('{}'))],
    ['204, which has no body', (response) => (response.writeHead(204, ['A', 'b']), response.end('x'))],
  ])('are answered by the bytes that Node would write: %s', async (_, answer) => {
    const s = await wholeStage(answer);
    const one = await client(s.port);
    const said: string[] = [];
    for (let turn = 0; turn < 3; turn++) {
      const before = one.said.length;
      one.socket.write(POST);
      await expect.poll(() => s.by.length).toBe(turn + 1);
      await expect.poll(() => one.said.slice(before)).toMatch(/\r\n\r\n/);
      await sleep(10);
      said.push(one.said.slice(before).replace(/^Date: .*$/m, 'Date: now'));
    }
    expect(s.by).toEqual(['node', 'whole', 'whole']);
    expect(said[1]).toBe(said[0]);
    expect(said[2]).toBe(said[0]);
  });

  test('tell the date of the second', async () => {
    const s = await wholeStage();
    const one = await client(s.port);
    await answered(one, GET);
    for (let turn = 0; turn < 2; turn++) {
      const date = Date.parse(/^Date: (.*)$/m.exec(await answered(one, GET))?.[1] ?? '');
      expect(Math.abs(Date.now() - date)).toBeLessThan(2_000);
      await sleep(1_000);
    }
  });

  test("are Node's where their target is another, and from the first unusual one on", async () => {
    const s = await wholeStage();
    const one = await client(s.port);
    await answered(one, GET);
    await answered(one, GET);
    await answered(one, GET.replace('Host', 'Connection: keep-alive\r\nAccept: a\r\naccept: b\r\nHost'));
    await answered(one, GET);
    const other = await client(s.port);
    for (const target of ['/y', '/x', '/y', '/y', '/x']) await answered(other, GET.replace('/x', target));
    expect(s.by.splice(0)).toEqual(['node', 'whole', 'node', 'node', 'node', 'whole', 'node', 'node', 'whole']);
  });

  test('one in two pieces, and one with the half of the next, are put together', async () => {
    const s = await wholeStage((response, request) => response.end(`${request.method} ${request.headers['content-length'] ?? 0}`));
    const one = await client(s.port);
    await answered(one, POST);
    await answered(one, POST);
    one.socket.write(POST.slice(0, 20));
    await sleep(20);
    one.socket.write(POST.slice(20) + GET.slice(0, 9));
    await sleep(20);
    one.socket.write(GET.slice(9));
    await expect.poll(() => answersOf(one)).toBe(4);
    expect([...one.said.matchAll(/\r\n\r\n(\w+ \d)/g)].map(([, said]) => said)).toEqual(['POST 3', 'POST 3', 'POST 3', 'GET 0']);
    expect(s.by).toEqual(['node', 'whole', 'node', 'node']);
  });

  test('the next, sent before the answer, waits for it', async () => {
    const open: (() => void)[] = [];
    const s = await wholeStage((response) => void open.push(() => response.end(`${open.length}`)));
    const one = await client(s.port);
    one.socket.write(GET);
    await expect.poll(() => open.length).toBe(1);
    open[0]!();
    await expect.poll(() => answersOf(one)).toBe(1);
    one.socket.write(GET);
    await expect.poll(() => open.length).toBe(2);
    one.socket.write(GET);
    await sleep(30);
    expect(open).toHaveLength(2);
    open[1]!();
    await expect.poll(() => open.length).toBe(3);
    open[2]!();
    await expect.poll(() => answersOf(one)).toBe(3);
    expect(s.by).toEqual(['node', 'whole', 'node']);
  });

  test('a client that goes meanwhile: the answer is told, and its end throws nothing', async () => {
    const closed: boolean[] = [];
    const answers: Answer[] = [];
    const s = await wholeStage((response) => {
      if (answers.push(response) === 1) response.end();
      else response.once('close', () => closed.push(response.destroyed && !response.writableFinished));
    });
    const one = await client(s.port);
    await answered(one, GET);
    one.socket.write(GET);
    await expect.poll(() => answers.length).toBe(2);
    one.socket.destroy();
    await expect.poll(() => closed).toEqual([true]);
    answers[1]!.end('late');
    await sleep(20);
    expect(closed).toEqual([true]);
    await expect.poll(() => s.listener.connections).toBe(0);
  });

  test('`close` comes once the answer is sent', async () => {
    const closed: boolean[] = [];
    const s = await wholeStage((response) => {
      response.once('close', () => closed.push(response.writableFinished));
      response.end();
    });
    const one = await client(s.port);
    await answered(one, GET);
    await answered(one, GET);
    expect(s.by).toEqual(['node', 'whole']);
    expect(closed).toEqual([true, true]);
  });

  test('an answer that is broken off ends the connection', async () => {
    const s = await wholeStage((response) => (s.by.length > 1 ? response.destroy() : response.end()));
    const one = await client(s.port);
    await answered(one, GET);
    one.socket.write(GET);
    await expect.poll(() => one.closed).toBe(true);
    expect(answersOf(one)).toBe(1);
  });

  test('a value that would write headers of its own is refused', async () => {
    let thrown: unknown;
    const s = await wholeStage((response) => {
      try {
        response.writeHead(200, ['A', 'b\r\nC: d']);
      } catch (error) {
        thrown = error;
      }
      response.end();
    });
    const one = await client(s.port);
    await answered(one, GET);
    thrown = undefined;
    expect(await answered(one, GET)).not.toContain('C: d');
    expect(s.by).toEqual(['node', 'whole']);
    expect(thrown).toMatchObject({ code: 'ERR_INVALID_CHAR' });
  });

  test('an answer of 10 MiB that nobody reads ends the connection after a time', async () => {
    const body = Buffer.alloc(10 * 1024 * 1024, 'x');
    const s = await wholeStage((response) => void response.end(s.by.length > 1 ? body : 'x'), {
      timeouts: { unreadTimeout: 500, connectionsCheckingInterval: 100 },
    });
    const one = await client(s.port);
    await answered(one, GET);
    one.socket.pause().write(GET);
    await expect.poll(() => s.listener.connections, { timeout: 10_000 }).toBe(0);
    expect(s.by).toEqual(['node', 'whole']);
  }, 15_000);

  test("outlast Node's time for a request and for its headers: they are not late", async () => {
    const s = await wholeStage((response) => (s.by.length > 1 ? void setTimeout(() => response.end(), 1_000) : response.end()), {
      timeouts: { headersTimeout: 200, requestTimeout: 400, connectionsCheckingInterval: 50 },
    });
    const one = await client(s.port);
    await answered(one, GET);
    await sleep(500);
    expect(await answered(one, GET)).toMatch(/^HTTP\/1.1 200/);
    expect(s.by).toEqual(['node', 'whole']);
  });

  test('a connection that says nothing at first, or half a request, is in time like any other', async () => {
    const s = await wholeStage(undefined, { timeouts: { headersTimeout: 200, requestTimeout: 400, connectionsCheckingInterval: 50 } });
    const [silent, half, later] = await Promise.all([client(s.port), client(s.port), client(s.port)]);
    half.socket.write(GET.slice(0, 9));
    await answered(later, GET);
    await answered(later, GET);
    later.socket.write(GET.slice(0, 9));
    for (const one of [silent, half, later]) await expect.poll(() => one.said, { timeout: 3_000 }).toMatch(/HTTP\/1.1 400 [^]*timeout$/);
    expect(s.by).toEqual(['node', 'whole']);
  });

  test('a connection that is idle after one is closed when its time is over, not before', async () => {
    const s = await wholeStage(undefined, { timeouts: { keepAliveTimeout: 1_000, connectionsCheckingInterval: 50 } });
    const one = await client(s.port);
    for (let turn = 0; turn < 2; turn++) await answered(one, GET);
    const begun = performance.now();
    await expect.poll(() => one.closed, { timeout: 5_000 }).toBe(true);
    expect(performance.now() - begun).toBeGreaterThan(900);
    expect(s.by).toEqual(['node', 'whole']);
  });

  test('TLS: they are taken there, too', async () => {
    await using certificates = await makeCertificates();
    const [cert, key, ca] = await Promise.all(
      [certificates.certFile, certificates.keyFile, certificates.caFile].map((file) => readFile(file, 'utf8')),
    );
    const s = await wholeStage(undefined, { tls: { cert: cert!, key: key! } });
    const one = await client(s.port, { tls: ca! });
    for (let turn = 0; turn < 3; turn++) await answered(one, GET);
    expect(s.by).toEqual(['node', 'whole', 'whole']);
  });

  test('a listener that is left: the answer ends its connection', async () => {
    const s = await wholeStage(undefined, { maxConnections: 10, maxPerAddress: 10 });
    const one = await client(s.port);
    await answered(one, GET);
    s.listener.leave(1_000);
    expect(await answered(one, GET)).toMatch(/\r\nConnection: close\r\n/);
    await expect.poll(() => one.closed).toBe(true);
    expect(s.by).toEqual(['node', 'whole']);
  });

  test('one under way when the listener stops is answered, others are closed then, and it ends', async () => {
    let finish: (() => void) | undefined;
    const s = await wholeStage((response) => {
      if (s.by.length < 3) response.end();
      else finish = () => response.end('late');
    });
    const [idle, one] = await Promise.all([client(s.port), client(s.port)]);
    await answered(idle, GET);
    await answered(one, GET);
    one.socket.write(GET);
    await expect.poll(() => finish).toBeDefined();
    expect(s.by).toEqual(['node', 'node', 'whole']);
    const closing = s.listener.close(5_000);
    const begun = performance.now();
    await sleep(500);
    expect(one.closed).toBe(false);
    finish?.();
    await closing;
    expect(performance.now() - begun).toBeLessThan(4_000);
    await expect.poll(() => [answersOf(one), one.closed, idle.closed]).toEqual([2, true, true]);
  });

  test('a listener that stops closes a connection that they came by, when there is none under way', async () => {
    const s = await wholeStage();
    const one = await client(s.port);
    await answered(one, GET);
    await answered(one, GET);
    const begun = performance.now();
    await s.listener.close(5_000);
    expect(performance.now() - begun).toBeLessThan(3_000);
    await expect.poll(() => one.closed).toBe(true);
  });

  test('while a connection rests after an answer, nothing is read from it', async () => {
    const s = await wholeStage((response, request) => {
      if (s.by.length === 2) s.listener.rest(request, response, 400);
      response.end();
    });
    const one = await client(s.port);
    await answered(one, GET);
    await answered(one, GET);
    const begun = performance.now();
    await answered(one, GET);
    expect(performance.now() - begun).toBeGreaterThan(300);
  });

  test('a connection that rests again and again is watched no more for it', async () => {
    let watched = 0;
    const s = await wholeStage((response, request) => {
      s.listener.rest(request, response, 5);
      watched = request.socket.listenerCount('close');
      response.end();
    });
    const one = await client(s.port);
    await answered(one, GET);
    await answered(one, GET);
    const before = watched;
    for (let n = 0; n < 12; n++) await answered(one, GET);
    expect(watched).toBe(before);
  });
});

describe('connections that are not used', () => {
  test('CONNECT, a bad request: one who does not close is cut off', async () => {
    const s = await stage(HELLO, { timeouts: { connectionsCheckingInterval: 100 } });
    const all = await Promise.all([client(s.port), client(s.port)]);
    all[0]!.socket.write('CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n');
    all[1]!.socket.write('GARBAGE\r\n\r\n');
    await expect.poll(() => all.map(({ said }) => said.slice(9, 12))).toEqual(['405', '400']);
    await expect.poll(() => s.listener.connections, { timeout: 10_000 }).toBe(0);
  }, 15_000);

  test('TLS: those that never shake hands are counted, and cut off', async () => {
    await using certificates = await makeCertificates();
    const [cert, key, ca] = await Promise.all(
      [certificates.certFile, certificates.keyFile, certificates.caFile].map((file) => readFile(file, 'utf8')),
    );
    const s = await stage(HELLO, {
      tls: { cert: cert!, key: key! },
      maxPerAddress: 5,
      timeouts: { headersTimeout: 700, connectionsCheckingInterval: 100 },
    });
    await Promise.all(Array.from({ length: 20 }, () => client(s.port, { from: '127.0.0.9' })));
    await expect.poll(() => s.listener.connections).toBe(5);
    const good = await client(s.port, { tls: ca! });
    good.socket.write(GET);
    await expect.poll(() => answersOf(good)).toBe(1);
    await expect.poll(() => s.listener.connections, { timeout: 5000 }).toBe(1);
    good.socket.end();
    await expect.poll(() => s.listener.connections).toBe(0);
  });

  test('one network fills its own places, and a good client of another is served', async () => {
    const s = await stage(HELLO, { maxConnections: 50, maxPerAddress: 20 });
    const crowd: Client[] = [];
    for (let n = 0; n < 60; n++) crowd.push(await client(s.port, { from: '127.0.0.7' }));
    await expect.poll(() => s.listener.connections).toBe(20);
    const good = await client(s.port);
    good.socket.write(GET);
    await expect.poll(() => answersOf(good)).toBe(1);
  });

  test('nine tenths full: an answer ends its connection', async () => {
    const s = await stage(HELLO, { maxConnections: 10, maxPerAddress: 10 });
    const all = await Promise.all(Array.from({ length: 9 }, () => client(s.port)));
    await expect.poll(() => s.listener.connections).toBe(9);
    all[0]!.socket.write(GET);
    await expect.poll(() => all[0]!.said).toMatch(/connection: close/i);
    all[0]!.socket.end();
    await expect.poll(() => s.listener.connections).toBe(8);
    all[1]!.socket.write(GET);
    await expect.poll(() => all[1]!.said).toMatch(/connection: keep-alive/i);
  });
});

test('a request without Host, with two, or of HTTP/1.2 is refused', async () => {
  const s = await stage();
  for (const bad of ['GET / HTTP/1.1\r\n\r\n', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n']) {
    const one = await client(s.port);
    one.socket.write(bad);
    await expect.poll(() => one.said).toMatch(/^HTTP\/1\.1 400 [^]*rules/);
  }
  expect(s.begun()).toBe(0);
});

describe('a listener that is left', () => {
  const isKept = async (one: Client): Promise<boolean> => {
    const before = answersOf(one);
    one.socket.write(GET);
    await expect.poll(() => answersOf(one)).toBe(before + 1);
    return !/connection: close/i.test(one.said);
  };

  test('sends away who was there, and keeps who comes back until shortly before the end: nobody connects for each request', async () => {
    const s = await stage();
    const early = await client(s.port);
    expect(await isKept(early)).toBe(true);
    s.listener.leave(1_000);
    expect(await isKept(early)).toBe(false);
    await expect.poll(() => early.closed).toBe(true);
    const back = await client(s.port);
    for (let turn = 0; turn < 3; turn++) expect(await isKept(back)).toBe(true);
    await sleep(600);
    expect(await isKept(back)).toBe(false);
  });

  test('that stops answers a request which is on its way by a connection that is open', async () => {
    const s = await stage();
    const one = await client(s.port);
    const closing = s.listener.close(5_000);
    await sleep(30);
    one.socket.write(GET);
    await expect.poll(() => [answersOf(one), one.closed]).toEqual([1, true]);
    const idle = await client(s.port);
    await closing;
    await expect.poll(() => idle.closed).toBe(true);
  });
});
