import { get } from 'node:http';
import { get as getOverTls } from 'node:https';
import { getCACertificates } from 'node:tls';
import type { Command } from 'commander';
import { PosternError } from '#broker/error.ts';
import { silenceOf } from '#broker/silence.ts';
import type { Context } from './context.ts';
import { trustForBroker } from './vault-access.ts';

interface HealthOptions {
  url?: string;
  live?: boolean;
  timeout: string;
}

/** What the broker itself takes where it isn't told another address. */
const DEFAULT_LISTEN = '127.0.0.1:8080';

/** For a container's HEALTHCHECK, which has no curl. */
export function healthCommand(context: Context): Command {
  return context
    .command('health', 'ask the broker of this environment whether it is ready; exit code 5 where it is not', [
      ['postern health', "by POSTERN_LISTEN and POSTERN_ISSUER, as the broker's own environment has them"],
      ['postern health --live', 'whether it is alive, Vault or not'],
      ['postern health --url https://tokens.example.com/', 'of another one'],
    ])
    .option('--url <address>', "the broker's address (default: that of this environment, on loopback)")
    .option('--live', 'ask /livez in place of /readyz')
    .option('--timeout <seconds>', 'wait for so long', '5')
    .action(
      context.action<HealthOptions>(async ({ options, output, terminal }) => {
        const seconds = Number(options.timeout);
        if (!(seconds > 0 && seconds <= 600)) throw new PosternError('invalid_request', '--timeout is a number of seconds up to 600');
        const url = new URL(options.live === true ? 'livez' : 'readyz', addressOf(options.url, terminal.env));
        const { status, body } = await ask(url, {
          timeoutMs: seconds * 1000,
          loopback: options.url === undefined,
          ca: options.url === undefined ? undefined : await trustForBroker(options, terminal),
        }).catch((error: unknown) => {
          const { why, remedy } = silenceOf(error);
          throw new PosternError(
            'temporarily_unavailable',
            `${url.href} does not answer: ${why}`,
            remedy === undefined ? {} : { detail: remedy },
          );
        });
        const fields = fieldsOf(body);
        if (status !== 200) {
          const missing = Array.isArray(fields['missing']) ? `: it lacks ${fields['missing'].join(', ')}` : '';
          throw new PosternError('temporarily_unavailable', `The broker at ${url.origin} is not ready${missing}`);
        }
        output.result({ url: url.href, status, ...fields }, `${url.origin} is ${options.live === true ? 'alive' : 'ready'}`);
      }),
    );
}

/** @throws {PosternError} invalid_request */
function addressOf(given: string | undefined, env: Readonly<Record<string, string | undefined>>): URL {
  const listen = env['POSTERN_LISTEN'] || DEFAULT_LISTEN;
  const port = listen.slice(listen.lastIndexOf(':') + 1);
  const path = URL.parse(env['POSTERN_ISSUER'] ?? '')?.pathname ?? '/';
  const text = given ?? `${env['POSTERN_TLS_CERT_FILE'] ? 'https' : 'http'}://127.0.0.1:${port}${path}`;
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new PosternError('invalid_request', 'That is not an http or https address');
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

interface Asking {
  timeoutMs: number;
  /** On this machine, where a certificate for another name is no sign of another server. */
  loopback: boolean;
  /** PEM of a CA that is believed beside the system's. */
  ca: string | undefined;
}

function ask(url: URL, { timeoutMs, loopback, ca }: Asking): Promise<{ status: number; body: string }> {
  const signal = AbortSignal.timeout(timeoutMs);
  const tls = { rejectUnauthorized: !loopback, ...(ca === undefined ? {} : { ca: [...getCACertificates('default'), ca] }) };
  return new Promise((resolve, reject) => {
    const request = url.protocol === 'https:' ? getOverTls(url, { signal, ...tls }) : get(url, { signal });
    request.on('error', reject).on('response', (response) => {
      let body = '';
      response
        .setEncoding('utf8')
        .on('data', (text: string) => {
          body += text;
          if (body.length > 65_536) request.destroy(new Error('the answer is too long'));
        })
        .on('error', reject)
        .on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
  });
}

function fieldsOf(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
