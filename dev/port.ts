import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

/**
 * A TCP port on 127.0.0.1 that is free now: the wished one if it is, else any. For programs that
 * can't be told "any port" and then asked which: somebody may take it first, so whoever starts one
 * tries again with another.
 */
export async function freePort(wish = 0): Promise<number> {
  const server = createServer().listen(wish, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    if (wish !== 0 && (error as NodeJS.ErrnoException).code === 'EADDRINUSE') return freePort();
    throw error;
  }
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
