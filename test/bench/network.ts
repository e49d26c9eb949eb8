import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A network of a millisecond there and back, in a process of its own: what is sent arrives that late, its answer as it comes. */
const [host = '', port = ''] = (process.env['NETWORK_TO'] ?? '').split(':');
/** ms; a timer of Node's takes a whole one at least. */
const LATE = 1;

/** In order, each piece so late. */
function late(from: Socket, to: Socket): void {
  let before: Promise<unknown> = Promise.resolve();
  from.on('data', (bytes) => {
    const due = sleep(LATE);
    before = before.then(() => due).then(() => to.write(bytes));
  });
}

const server = createServer({ noDelay: true }, (near) => {
  const far = connect({ host, port: Number(port), noDelay: true });
  late(near, far);
  far.pipe(near);
  for (const [one, other] of [
    [near, far],
    [far, near],
  ] as const)
    one.on('error', () => {}).on('close', () => other.destroy());
});
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
