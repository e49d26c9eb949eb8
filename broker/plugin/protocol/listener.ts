import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import type { PluginLog } from '#broker/plugin/backend.ts';
import type { Certificate } from './certificate.ts';
import type { PluginEnv } from './handshake.ts';
import type { Peer } from './peer.ts';

/** Vault opens one for a process; a few more live for a moment while it starts anew. Whoever opens others gets no further. */
const MAX_CONNECTIONS = 64;
/** ms; Node's own is two minutes. */
const HANDSHAKE = 5_000;
/** What a Unix socket's address holds, on the narrowest system. Bytes. */
const MAX_PATH = 103;

export interface Listener {
  readonly path: string;
  close(): Promise<void>;
}

/**
 * A Unix socket in a folder that only this user may enter, and on it TLS that takes one client: our Vault. Whoever else
 * connects is cut off before a byte of HTTP/2.
 * @throws Error when the socket can't be made there
 */
export async function listen(
  peer: Peer,
  certificate: Certificate,
  env: PluginEnv,
  log: PluginLog,
  onVault: (socket: TLSSocket) => void,
): Promise<Listener> {
  const folder = await mkdtemp(join(env['PLUGIN_UNIX_SOCKET_DIR'] || tmpdir(), 'plugin-'));
  const path = join(folder, 'socket');
  const sockets = new Set<TLSSocket>();
  const server = createServer({
    cert: certificate.pem,
    key: certificate.keyPem,
    ca: peer.pem,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['h2'],
    handshakeTimeout: HANDSHAKE,
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.on('tlsClientError', () => log.warn('a connection was refused: it has not shown the certificate of our Vault'));
  server.on('secureConnection', (socket) => {
    socket.on('error', () => socket.destroy());
    if (!peer.holds(socket)) {
      log.warn('a connection was refused: it has shown another certificate than that of our Vault');
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    onVault(socket);
  });
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    if (Buffer.byteLength(path) > MAX_PATH) throw new Error('the path of the plugin socket is too long: set a shorter TMPDIR for Vault');
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  return { path, close };
}
