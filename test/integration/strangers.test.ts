import { readFile, readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startHouse } from '#test/fixture/broker.ts';
import type { Credential, House, ProcessReplica } from '#test/fixture/broker.ts';

/** Connections that one address tries to open, of each kind a quarter. */
const CONNECTIONS = 10_000;
const STRANGER = '127.66.0.1';

let house: House;
let replica: ProcessReplica;
let good: Credential;
const sockets = new Set<Socket>();
beforeAll(async () => {
  house = await startHouse();
  replica = await house.startReplicaProcess();
  good = await house.issueSecret('acme');
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await house.stop();
});

const OPENAPI = 'GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n';
/** What each kind of client sends, and never reads. */
const KINDS: readonly ((socket: Socket) => void)[] = [
  (socket) => socket.write(OPENAPI.repeat(60)),
  (socket) => socket.write(OPENAPI),
  () => {},
  (socket) => {
    socket.write('POST /oauth/token HTTP/1.1\r\nHost: x\r\n');
    const drip = setInterval(() => socket.write('X: 1\r\n'), 1000);
    socket.on('close', () => clearInterval(drip));
  },
];

function open(kind: (socket: Socket) => void, port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, localAddress: STRANGER });
    socket.pause();
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      resolve();
    });
    socket.on('connect', () => {
      kind(socket);
      resolve();
    });
  });
}

/** Resident memory of the broker, MB. */
async function memory(): Promise<number> {
  const status = await readFile(`/proc/${replica.child.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

/** Open files of the broker, which are its connections but for some ten. */
const openFiles = async (): Promise<number> => (await readdir(`/proc/${replica.child.pid}/fd`)).length;

async function exchange(): Promise<{ status: number; ms: number }> {
  const begun = performance.now();
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: good.client_id,
    client_secret: good.client_secret,
    audience: 'https://reports.example.com',
  });
  const response = await fetch(`${replica.issuer}oauth/token`, { method: 'POST', body, headers: { connection: 'close' } });
  await response.arrayBuffer();
  return { status: response.status, ms: performance.now() - begun };
}

test.runIf(process.platform === 'linux')(
  `${CONNECTIONS.toLocaleString('en')} pipelining, unread, idle and slow connections of one address: a ` +
    'good client is served, and memory stays',
  async () => {
    const port = Number(new URL(replica.issuer).port);
    for (let n = 0; n < 200; n++) await exchange();
    const before = await memory();
    let most = before;
    let going = true;
    const answers: { status: number; ms: number }[] = [];
    const serving = (async () => {
      while (going) {
        answers.push(await exchange());
        most = Math.max(most, await memory());
        await sleep(50);
      }
    })();
    for (let n = 0; n < CONNECTIONS; n += 50)
      await Promise.all(Array.from({ length: 50 }, (_, i) => open(KINDS[(n + i) % KINDS.length]!, port)));
    const held = await openFiles();
    await sleep(12_000);
    going = false;
    await serving;
    const slowest = Math.max(...answers.map(({ ms }) => ms));
    process.stdout.write(
      `${CONNECTIONS} connections of one address: at most ${held} held; a good client: ${answers.length} of ${answers.length} served, ` +
        `slowest ${Math.round(slowest)} ms; memory ${Math.round(before)} -> ${Math.round(most)} MB (${(most / before).toFixed(2)} times)\n`,
    );
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(held).toBeLessThan(3000);
    // Those that don't read, or never finish a request, are cut off; the idle ones last, since there is room.
    await expect.poll(openFiles, { timeout: 60_000 }).toBeLessThan(held / 2);
  },
  180_000,
);
