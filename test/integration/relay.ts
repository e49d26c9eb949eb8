import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** Chooses requests by their method and path. */
type Match = Pick<RegExp, 'test'>;

/** Stands between the CLI and Vault. */
export interface Relay {
  address: string;
  /** Requests whose method and path match are held up until they are let go. */
  hold: Match | undefined;
  /** Answers of matching requests are lost: the connection breaks once Vault has done its work. */
  lose: Match | undefined;
  /** Matching requests don't reach Vault, and are answered so: the whole text of an HTTP response. */
  answer: { readonly match: Match; readonly says: string } | undefined;
  /** Resolves with the next request that is held up. */
  held(): Promise<string>;
  letGo(): void;
  stop(): Promise<void>;
}

/** Relays bytes, since Vault's method LIST is not taken by Node's own HTTP server. */
export async function startRelay(target: string): Promise<Relay> {
  let waiting: ((line: string) => void)[] = [];
  let gates: (() => void)[] = [];
  const sockets = new Set<Socket>();
  const { hostname, port } = new URL(target);
  const gate = async (line: string): Promise<void> => {
    if (!made.hold?.test(line)) return;
    for (const tell of waiting) tell(line);
    waiting = [];
    await new Promise<void>((resolve) => gates.push(resolve));
  };
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    for (const socket of [near, far]) sockets.add(socket.on('error', () => {}));
    let [losing, answering] = [false, false];
    let before: Promise<void> = Promise.resolve();
    near.on('data', (bytes) => {
      // One request at a time goes over a connection: what does not begin one is the rest of a body.
      const line = /^([A-Z]+ \S+) HTTP/.exec(bytes.toString('latin1'))?.[1];
      before = before.then(async () => {
        if (line !== undefined) {
          losing = made.lose?.test(line) === true;
          answering = made.answer?.match.test(line) === true;
          if (answering) near.write(made.answer!.says);
          await gate(line);
        }
        if (!answering) far.write(bytes);
      });
    });
    far.on('data', (bytes) => (losing ? near.destroy() : near.write(bytes)));
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const made: Relay = {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold: undefined,
    lose: undefined,
    answer: undefined,
    held: () => new Promise((resolve) => waiting.push(resolve)),
    letGo() {
      made.hold = undefined;
      for (const open of gates) open();
      gates = [];
    },
    async stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  return made;
}
