import { connect } from 'node:net';
import type { Socket } from 'node:net';

/** What one run of load is, by message of the parent. */
export interface LoadOrder {
  port: number;
  /** The whole request. */
  request: string;
  /** Requests a second, sent when they are due whatever the answers take; Infinity: each connection as soon as it has its answer. */
  rate: number;
  seconds: number;
  /** Before these, not counted: connections are made, and what stands begins to. */
  warmUp?: number;
  /** Local addresses, in turn, and connections of each. */
  from: readonly string[];
  connections: number;
}

export interface LoadResult {
  /** Due in this time. */
  offered: number;
  /** Of them, those for which there was no connection left. */
  unsent: number;
  ok: number;
  /** 503. */
  shed: number;
  /** Of those, without Retry-After. */
  silent: number;
  /** Any other answer, and connections that broke. */
  failed: number;
  /** ms, of the 200s. */
  p50: number;
  p99: number;
  /** Answers 200 within the time, a second. */
  goodput: number;
}

/** Load by raw sockets, which costs a sixth of what a client library does: a process of its own, with a core for it. */
async function run({ port, request, rate, seconds, warmUp = 0, from, connections }: LoadOrder): Promise<LoadResult> {
  const bytes = Buffer.from(request, 'latin1');
  const waits: number[] = [];
  const counts = { offered: 0, unsent: 0, ok: 0, shed: 0, silent: 0, failed: 0 };
  const free: Socket[] = [];
  const all = new Set<Socket>();
  let inTime = 0;
  let over = false;
  const begun = performance.now();
  const counted = begun + warmUp * 1000;

  const send = (socket: Socket): void => {
    (socket as Socket & { sentAt?: number }).sentAt = performance.now();
    socket.write(bytes);
  };
  const open = (address: string): void => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: address, noDelay: true });
    all.add(socket);
    let heard = '';
    socket.on('data', (data) => {
      heard += data.toString('latin1');
      const head = heard.indexOf('\r\n\r\n');
      if (head === -1) return;
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(heard)?.[1] ?? 0);
      if (heard.length < head + 4 + length) return;
      const status = heard.slice(9, 12);
      const now = performance.now();
      if (status === '200') {
        counts.ok++;
        if (!over && now >= counted) {
          inTime++;
          waits.push(now - (socket as Socket & { sentAt?: number }).sentAt!);
        }
      } else if (status === '503') {
        counts.shed++;
        if (!/\r\nretry-after: [1-9]/i.test(heard)) counts.silent++;
      } else counts.failed++;
      heard = '';
      if (over) socket.end();
      else if (rate === Infinity) send(socket);
      else free.push(socket);
    });
    socket.on('error', () => counts.failed++);
    socket.on('close', () => all.delete(socket));
    send(socket);
  };

  const most = connections * from.length;
  // A thousand connects in one tick would hold up this process for seconds, and Node takes one connection in each turn of its loop.
  const pace = 4;
  let opened = 0;
  while (performance.now() - counted < seconds * 1000) {
    const due = rate === Infinity ? most : Math.floor(((performance.now() - begun) * rate) / 1000);
    for (let connects = 0; counts.offered < due; counts.offered++) {
      const socket = free.pop();
      if (socket !== undefined && !socket.destroyed) send(socket);
      else if (opened < most && connects++ < pace) open(from[opened++ % from.length]!);
      else if (rate === Infinity) break;
      else counts.unsent++;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  over = true;
  for (const socket of free) socket.end();
  // What is under way may still be answered, but doesn't count as goodput.
  for (let waited = 0; all.size > 0 && waited < 3_000; waited += 50) await new Promise((resolve) => setTimeout(resolve, 50));
  for (const socket of all) socket.destroy();
  waits.sort((a, b) => a - b);
  const at = (q: number): number => waits[Math.floor((waits.length - 1) * q)] ?? Number.NaN;
  return { ...counts, p50: at(0.5), p99: at(0.99), goodput: inTime / seconds };
}

process.on('message', (order: LoadOrder & { rate: number | null }) => {
  // JSON has no Infinity.
  void run({ ...order, rate: order.rate ?? Infinity }).then((result) => process.send?.(result));
});
process.send?.('ready');
