import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { request as requestByTls } from 'node:https';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { compareVersions, versionIn, versions } from './version.ts';

export const PING_MS = 3_000;

/** The version of the engine, if one that is new enough answers at an address of `DOCKER_HOST`'s kinds. */
export async function answers(host: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const address = await endpoint(host, env).catch(() => undefined);
  if (!address) return undefined;
  return new Promise((resolve) => {
    const call = address.send({ ...address.options, path: '/_ping', timeout: PING_MS }, (answer) => {
      answer.resume();
      const api = String(answer.headers['api-version'] ?? '0');
      const fits = answer.statusCode === 200 && compareVersions(api, versions.docker.minimumApi) >= 0;
      resolve(fits ? (versionIn(String(answer.headers.server)) ?? `API ${api}`) : undefined);
    });
    call.on('timeout', () => call.destroy(new Error('no answer')));
    call.on('error', () => resolve(undefined));
    call.end();
  });
}

async function endpoint(host: string, env: NodeJS.ProcessEnv) {
  if (host.startsWith('unix://')) return { send: request, options: { socketPath: host.slice('unix://'.length) } };
  if (!/^(tcp|https?):\/\//.test(host)) return undefined;
  const url = new URL(host.replace(/^tcp:/, 'http:'));
  const options = { hostname: url.hostname, port: url.port };
  if (!env['DOCKER_TLS_VERIFY'] && url.protocol === 'http:') return { send: request, options };
  const folder = env['DOCKER_CERT_PATH'] ?? join(env['HOME'] ?? homedir(), '.docker');
  const [ca, cert, key] = await Promise.all(['ca.pem', 'cert.pem', 'key.pem'].map((file) => readFile(join(folder, file))));
  return { send: requestByTls, options: { ...options, ca, cert, key } };
}
