import './without-axios.ts';
import nodeVault from 'node-vault';

/** What node-vault hands to its transport. */
export interface NodeVaultRequest {
  uri: string;
  method: string;
  json?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** A list by the deadline of other calls. */
  quick?: boolean;
}

/** What node-vault wants back from it. */
export interface NodeVaultResponse {
  statusCode: number;
  body: unknown;
  /** There was a body, and it isn't JSON. */
  garbled?: boolean;
  request: { path: string };
  retryAfter: string | undefined;
}

/** The one method of node-vault that is used. */
export interface NodeVault {
  request(options: NodeVaultRequest & { path: string }): Promise<unknown>;
}

/**
 * A node-vault without its HTTP client, its debug output and its readings of the environment.
 * @param endpoint address of Vault
 * @param send carries a request out
 */
export function nodeVaultOver(
  endpoint: string,
  namespace: string | undefined,
  send: (request: NodeVaultRequest) => Promise<NodeVaultResponse>,
): NodeVault {
  const client = nodeVault({
    endpoint,
    debug: () => {},
    // node-vault takes a request function in this place; it is how axios, its redirects and its errors stay out.
    'request-promise': { defaults: () => send },
  } as unknown as Parameters<typeof nodeVault>[0]);
  // node-vault falls back to VAULT_TOKEN, VAULT_NAMESPACE and VAULT_PREFIX for what is not given.
  Object.assign(client, { token: '', namespace: namespace ?? '', pathPrefix: '' });
  return client as unknown as NodeVault;
}
