import http from 'node:http';
import { Agent } from 'node:http';
import { useProxies } from '#broker/proxy.ts';

/**
 * Lets this process talk to what it has started itself, whatever proxies its environment names: with NODE_USE_ENV_PROXY Node would send
 * even loopback's calls to them. What goes out still takes them.
 */
export function directLoopback(env: NodeJS.ProcessEnv = process.env): void {
  useProxies(env);
  http.globalAgent = new Agent({ keepAlive: true });
}
