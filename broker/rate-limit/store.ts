import { isIP } from 'node:net';
import { Redis } from 'ioredis';
import type { LimitsStore } from '#broker/limits-store.ts';

/** What isn't answered for so long, ms, never will be; nobody waits for it as long as that. */
const LOST = 2_000;
const CONNECT = 2_000;
/** Between attempts to connect, ms at most. */
const AGAIN = 1_000;

/**
 * Connects in the background, and again whenever the connection ends; commands fail at once where there is none.
 * @param onError what it is told is in the store's own words or Node's: no password is in it
 */
export function connectStore({ host, port, database, username, password, tls }: LimitsStore, onError: (err: Error) => void): Redis {
  const client = new Redis({
    host,
    port,
    db: database,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined
      ? {}
      : { tls: { ...(tls.ca === undefined ? {} : { ca: tls.ca }), ...(isIP(host) === 0 ? { servername: host } : {}) } }),
    connectionName: 'postern',
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    enableAutoPipelining: true,
    commandTimeout: LOST,
    connectTimeout: CONNECT,
    retryStrategy: (times) => Math.min(AGAIN, times * 100),
    reconnectOnError: () => false,
  });
  client.on('error', onError);
  return client;
}
