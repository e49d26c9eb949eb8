import { connect as connectTcp } from 'node:net';
import { connect } from 'node:tls';

/*
 * Connections that send a byte a second, for ever: `node slow-clients.ts PORT COUNT`. They come from many addresses of loopback, as from
 * many machines. Says on standard output how many are open, a line a second.
 */

const [port = '', count = ''] = process.argv.slice(2);
const REQUEST =
  'POST /oauth/token HTTP/1.1\r\nHost: localhost\r\n' + 'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5000\r\n\r\n';
/** Handshakes at once. */
const AT_ONCE = 64;
let open = 0;
/** Of them, at once: the broker closes those that take too long. */
let most = 0;
let begun = 0;
let refused = 0;

function begin(): Promise<void> {
  const number = begun++;
  return new Promise((resolve) => {
    // Who can be reached is tried here, not who it is.
    const tcp = connectTcp({ port: Number(port), host: '127.0.0.1', localAddress: `127.0.1.${1 + (number % 250)}` });
    tcp.on('error', () => {});
    const socket = connect({ socket: tcp, rejectUnauthorized: false });
    let sent = 0;
    let timer: NodeJS.Timeout | undefined;
    socket.once('secureConnect', () => {
      open += 1;
      most = Math.max(most, open);
      timer = setInterval(() => socket.write(REQUEST[sent++] ?? 'x'), 1_000);
      socket.once('close', () => (open -= 1));
      resolve();
    });
    socket.on('error', () => {});
    socket.once('close', () => {
      clearInterval(timer);
      if (timer === undefined) refused += 1;
      resolve();
    });
  });
}

setInterval(() => process.stdout.write(`${JSON.stringify({ begun, open, most, refused })}\n`), 1_000);
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    while (begun < Number(count)) await begin();
  }),
);
