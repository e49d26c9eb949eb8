import { Option } from 'commander';
import type { Command } from 'commander';
import type { VaultToken } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import { MOUNT_PATH, MOUNTS, mountsFrom } from '#broker/mounts.ts';
import type { Mounts } from '#broker/mounts.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { VaultClient } from '#broker/vault/client.ts';
import type { Terminal } from '#cli/output.ts';
import { checkedToken, readTokenFile } from './token-file.ts';
import { vaultTls } from './vault-tls.ts';

/** Deadline of one call to Vault, ms: a person waits, not a request. */
const TIMEOUT_MS = 10_000;

export interface GlobalOptions {
  json?: boolean;
  vaultAddr: string;
  namespace?: string;
  cacert?: string;
  vaultProxy?: string;
}

/** POSTERN_KV_MOUNT -> --kv-mount */
function flagOf(variable: string): string {
  return `--${variable
    .replace(/^POSTERN_/, '')
    .toLowerCase()
    .replaceAll('_', '-')}`;
}

/** The options that every command knows; each can also be set in the environment, under the name that vault or the broker reads. */
export function addGlobalOptions(program: Command, env: Terminal['env']): void {
  const option = (flags: string, variable: string, description: string, fallback?: string): void => {
    const made = new Option(flags, `${description} [$${variable}]`);
    // Not commander's own `env()`, which reads the whole process's.
    const value = env[variable] || fallback;
    if (value !== undefined) made.default(value, fallback === undefined ? 'none' : fallback);
    program.addOption(made);
  };
  program.option('--json', 'one JSON document on stdout, and nothing else there');
  option('--vault-addr <url>', 'VAULT_ADDR', 'address of Vault', 'http://127.0.0.1:8200');
  option('--namespace <name>', 'VAULT_NAMESPACE', 'namespace of Vault Enterprise or HCP');
  option('--cacert <file>', 'VAULT_CACERT', "PEM file of the CA that signed Vault's certificate; believed for the broker's too");
  option('--vault-proxy <url>', 'POSTERN_VAULT_PROXY', 'proxy in front of Vault; one with a password only by the variable');
  for (const { variable, fallback, holds } of Object.values(MOUNTS))
    if (variable !== undefined) option(`${flagOf(variable)} <${holds.startsWith('mount') ? 'path' : 'name'}>`, variable, holds, fallback);
}

/** Without a token: for unwrapping, which needs none, and for the look at Vault's health. @throws {PosternError} invalid_request */
export function vaultClient(options: GlobalOptions, env: Terminal['env']): VaultClient {
  const url = URL.parse(options.vaultAddr);
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.username !== '') {
    throw new PosternError('invalid_request', 'The address of Vault must be an http or https URL', {
      detail: 'Set VAULT_ADDR or --vault-addr, e.g. https://vault.example.com:8200',
    });
  }
  const proxy = options.vaultProxy === undefined ? undefined : URL.parse(options.vaultProxy);
  if (proxy === null || (proxy !== undefined && !['http:', 'https:'].includes(proxy.protocol)))
    throw new PosternError('invalid_request', 'The proxy in front of Vault must be an http or https URL', {
      detail: 'Set POSTERN_VAULT_PROXY or --vault-proxy, e.g. http://proxy.example.com:3128',
    });
  return new VaultClient({
    address: options.vaultAddr.replace(/\/+$/, ''),
    namespace: options.namespace,
    tls: vaultTls(env, options.cacert),
    proxy: proxy?.href,
    timeoutMs: TIMEOUT_MS,
  });
}

/**
 * The broker stands behind the company's own CA as often as Vault does: from here on this process believes that CA for the broker, too.
 * Not called by `serve`, for which VAULT_CACERT is about Vault alone.
 * @returns PEM of that CA; undefined: none is named
 * @throws {PosternError} invalid_request
 */
export async function trustForBroker(options: GlobalOptions, { env }: Pick<Terminal, 'env'>): Promise<string | undefined> {
  const { authorities } = vaultTls(env, options.cacert);
  if (authorities !== undefined) (await import('#broker/proxy.ts')).useProxies(env, authorities);
  return authorities;
}

/** Each name in Vault as its option says. @throws {PosternError} invalid_request */
export function mountsOf(options: GlobalOptions): Mounts {
  const given: Readonly<Record<string, unknown>> = { ...options };
  const mounts = mountsFrom((variable) => given[new Option(flagOf(variable)).attributeName()]);
  const wrong = Object.entries(mounts).find(([, path]) => !MOUNT_PATH.test(path));
  if (wrong !== undefined)
    throw new PosternError('invalid_request', `"${wrong[1]}" is not a mount path or name`, {
      detail: 'Letters, digits, _ and -, parts separated by /, no slash at either end.',
    });
  return mounts;
}

/** The operator's way into Vault, until it is closed. @throws {PosternError} access_denied without a token */
export function vaultAccess(options: GlobalOptions, terminal: Terminal): { access: VaultAccess; close: () => Promise<void> } {
  const mounts = mountsOf(options);
  const clients = [vaultClient(options, terminal.env)];
  // A standby that doesn't forward sends a request to the active node; so does vault's own CLI follow it, with the token.
  const activeNode = (vaultAddr: string): VaultClient => {
    const client = vaultClient({ ...options, vaultAddr }, terminal.env);
    clients.push(client);
    return client;
  };
  const access = new VaultAccess({ client: clients[0]!, token: vaultToken(terminal.env), mounts, activeNode });
  return { access, close: async () => void (await Promise.all(clients.map((client) => client.close()))) };
}

/** As vault's own CLI does: VAULT_TOKEN, else the file that a login wrote. Never an option: everybody sees a command line. */
function vaultToken(env: Terminal['env']): VaultToken {
  const given = (env['VAULT_TOKEN'] ?? '').trim() || readTokenFile(env);
  if (given === undefined || given === '') {
    throw new PosternError('access_denied', 'There is no Vault token', {
      detail: 'Log in with `postern login`, or set VAULT_TOKEN.',
    });
  }
  return checkedToken(given);
}
