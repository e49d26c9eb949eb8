import { isIP } from 'node:net';

/** A syslog receiver: a Unix stream socket, TCP, or TLS. */
export type SyslogTarget =
  | { readonly kind: 'unix'; readonly path: string; readonly name: string }
  | { readonly kind: 'tcp' | 'tls'; readonly host: string; readonly port: number; readonly name: string };

/** RFC 5425 §4.1, and what receivers take for plain TCP. */
const PORTS = { tcp: 601, tls: 6514 };

/** @param text `unix:///path`, `tcp://host:port` or `tls://host:port` @returns undefined where it is none of them */
export function syslogTarget(text: string): SyslogTarget | undefined {
  const url = URL.parse(text);
  if (url === null || url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') return undefined;
  const kind = url.protocol.slice(0, -1);
  if (kind === 'unix')
    return url.host === '' && url.pathname.length > 1 ? { kind, path: decodeURIComponent(url.pathname), name: text } : undefined;
  if ((kind !== 'tcp' && kind !== 'tls') || url.hostname === '' || !['', '/'].includes(url.pathname)) return undefined;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (url.hostname.startsWith('[') && isIP(host) !== 6) return undefined;
  return { kind, host, port: url.port === '' ? PORTS[kind] : Number(url.port), name: text };
}
