import type { VaultToken } from '#broker/credential/identity.ts';
import { PosternError } from '#broker/error.ts';
import { VaultAccess } from '#broker/operator/access.ts';
import { VaultClient } from '#broker/vault/client.ts';
import type { Terminal } from '#cli/output.ts';
import { mountsOf } from './settings.ts';
import type { GlobalOptions } from './settings.ts';
import { checkedToken, readTokenFile } from './token-file.ts';
import { vaultTls } from './vault-tls.ts';

/** Deadline of one call to Vault, ms: a person waits, not a request. */
const TIMEOUT_MS = 10_000;

/** Without a token: for unwrapping, which needs none, and for the look at Vault's health. @throws {PosternError} invalid_request */
export function vaultClient(options: GlobalOptions, env: Terminal['env']): VaultClient {
  const address = options.vaultAddr.trim();
  const url = URL.parse(address);
  // A password or a token in it would be told with every error.
  const more = url === null ? '' : `${url.username}${url.password}${url.search}${url.hash}`;
  if (url === null || !['http:', 'https:'].includes(url.protocol) || more !== '') {
    throw new PosternError('invalid_request', 'The address of Vault must be an http or https URL, without a user or a query', {
      detail: 'Set VAULT_ADDR or --vault-addr, e.g. https://vault.example.com:8200',
    });
  }
  const proxy = options.vaultProxy === undefined ? undefined : URL.parse(options.vaultProxy);
  if (proxy === null || (proxy !== undefined && !['http:', 'https:'].includes(proxy.protocol)))
    throw new PosternError('invalid_request', 'The proxy in front of Vault must be an http or https URL', {
      detail: 'Set POSTERN_VAULT_PROXY or --vault-proxy, e.g. http://proxy.example.com:3128',
    });
  return new VaultClient({
    address: address.replace(/\/+$/, ''),
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
