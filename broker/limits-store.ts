import { isIP } from 'node:net';

/** Valkey or Redis, where limits are counted for all brokers together, and how to log in there. */
export interface LimitsStore {
  readonly host: string;
  readonly port: number;
  readonly database: number;
  /** Of an ACL user; undefined: the default one. */
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** undefined: in the clear. `ca`: PEM; default: what Node trusts. */
  readonly tls: { readonly ca: string | undefined } | undefined;
}

const PORT = 6379;

/** @param text `redis://[user[:password]@]host[:port][/database]`, or `rediss://` over TLS @returns undefined where it is neither */
export function limitsStoreOf(text: string): LimitsStore | undefined {
  const url = URL.parse(text);
  if (url === null || !['redis:', 'rediss:'].includes(url.protocol) || url.search !== '' || url.hash !== '') return undefined;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (host === '' || (url.hostname.startsWith('[') && isIP(host) !== 6)) return undefined;
  const path = /^\/?(\d{0,5})$/.exec(url.pathname);
  if (path === null) return undefined;
  try {
    return {
      host,
      port: url.port === '' ? PORT : Number(url.port),
      database: Number(path[1]),
      username: url.username === '' ? undefined : decodeURIComponent(url.username),
      password: url.password === '' ? undefined : decodeURIComponent(url.password),
      tls: url.protocol === 'rediss:' ? { ca: undefined } : undefined,
    };
  } catch {
    return undefined;
  }
}
