import type { Asked } from '#broker/listener/whole-request.ts';
import { WholeRequest } from '#broker/listener/whole-request.ts';

/** How long a client may go on writing once it is answered, ms. */
const LINGER = 5_000;

/**
 * Whether the client said that a body comes, and not all of it has. Node itself calls a request without a body incomplete
 * until the turn of its headers is over.
 */
export function bodyIsLeft({ complete, headers }: Asked): boolean {
  return !complete && (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0');
}

/**
 * For an answer with `Connection: close` to a request whose body nobody reads: Node closes the whole connection after it. To
 * close on a client that is still writing resets it, and the answer is lost with it; so only our side is closed, and what still
 * comes is thrown away.
 */
export function linger(request: Asked): void {
  if (request instanceof WholeRequest) return;
  const { socket } = request;
  const late = setTimeout(() => socket.destroy(), LINGER);
  socket.once('close', () => clearTimeout(late));
  socket.destroySoon = () => void socket.end();
  request.resume();
}
