import type { Config } from '#broker/config.ts';
import type { Logger } from '#broker/log.ts';
import { SOURCE_NAMES } from '#broker/sources.ts';
import { VaultApis } from '#broker/vault/apis.ts';
import { VaultClient } from '#broker/vault/client.ts';
import { Kv } from '#broker/vault/kv.ts';
import { VaultSession } from '#broker/vault/session.ts';

/** Vault, and what the broker reads there with its own token, whoever asks. */
export interface ConnectedVault {
  readonly client: VaultClient;
  /** The broker's own login. */
  readonly session: VaultSession;
  readonly documents: Kv;
  readonly apis: VaultApis;
}

export function connectVault(config: Config, log: Logger): ConnectedVault {
  const client = vaultClient(config);
  const session = new VaultSession({
    client,
    mount: config.POSTERN_BROKER_APPROLE_MOUNT,
    roleId: config.POSTERN_ROLE_ID,
    secretId: config.secretId,
    onEvent: (event) =>
      event.event === 'failed' ? log.warn(event, 'the broker has no good Vault token') : log.info(event, 'vault session'),
  });
  const documents = new Kv(client, config.POSTERN_KV_MOUNT);
  const apis = new VaultApis({
    kv: documents,
    session,
    sources: SOURCE_NAMES,
    onError: (err) => log.warn({ err }, 'the APIs could not be read again'),
    onInvalid: (api, problem) => log.error({ api, problem }, 'this API is left out'),
  });
  return { client, session, documents, apis };
}

/** @param connections most sockets to Vault; default: as many as the client makes */
export function vaultClient(config: Config, connections?: number): VaultClient {
  return new VaultClient({
    address: config.VAULT_ADDR,
    namespace: config.VAULT_NAMESPACE,
    caFile: config.VAULT_CACERT,
    proxy: config.POSTERN_VAULT_PROXY,
    timeoutMs: config.POSTERN_VAULT_TIMEOUT * 1000,
    ...(connections === undefined ? {} : { connections }),
  });
}
