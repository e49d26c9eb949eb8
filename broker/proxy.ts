import { getCACertificates } from 'node:tls';
import { EnvHttpProxyAgent, setGlobalDispatcher } from 'undici';
import { PosternError } from './error.ts';

/** What stays on this machine never goes through a proxy. */
const LOOPBACK = 'localhost,127.0.0.1,::1,[::1]';

/**
 * Sends what goes out by `fetch`, which is all that goes to Auth0, through the proxy that HTTPS_PROXY and HTTP_PROXY name, except to NO_PROXY.
 * Lower-case names go first, as everywhere. Vault has a setting of its own, POSTERN_VAULT_PROXY.
 * @param authorities PEM of CAs that are believed beside the system's
 * @returns the proxies' origins, without credentials, for the log; undefined where none is named
 * @throws {PosternError} misconfigured where one isn't an http or https URL
 */
export function useProxies(env: Readonly<Record<string, string | undefined>>, authorities?: string): readonly string[] | undefined {
  const named = (name: string): string => env[name.toLowerCase()] || env[name] || '';
  const httpsProxy = named('HTTPS_PROXY');
  const httpProxy = named('HTTP_PROXY');
  if (httpsProxy === '' && httpProxy === '' && authorities === undefined) return undefined;
  const noProxy = named('NO_PROXY').trim();
  const origins = [httpsProxy, httpProxy].filter((url) => url !== '').map(originOf);
  const tls = authorities === undefined ? {} : { ca: [...getCACertificates('default'), authorities] };
  setGlobalDispatcher(
    new EnvHttpProxyAgent({
      httpsProxy,
      httpProxy,
      noProxy: noProxy === '*' ? '*' : `${noProxy},${LOOPBACK}`,
      connect: tls,
      requestTls: tls,
    }),
  );
  return [...new Set(origins)];
}

function originOf(text: string): string {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new PosternError('misconfigured', 'HTTPS_PROXY or HTTP_PROXY is not an http or https URL');
  return url.origin;
}
