import { clockOf } from '#broker/clock.ts';
import type { Clock, Clocks } from '#broker/clock.ts';
import type { Config } from '#broker/config.ts';
import type { PosternError } from '#broker/error.ts';
import type { Logger } from '#broker/log.ts';
import { SOURCE_NAMES } from '#broker/sources.ts';
import { VaultApis } from '#broker/vault/apis.ts';
import { VaultClient } from '#broker/vault/client.ts';
import type { VaultClientOptions } from '#broker/vault/client.ts';
import { Kv } from '#broker/vault/kv.ts';
import { ownLogin } from '#broker/vault/own/own-login.ts';
import { VaultSession } from '#broker/vault/session.ts';
import type { SessionEvent } from '#broker/vault/session.ts';
import { Troubles } from './troubles.ts';
import { VaultErrors } from './vault-errors.ts';
import { VaultSilence } from './vault-silence.ts';

/** Vault, and what the broker reads there with its own token, whoever asks. */
export interface ConnectedVault {
  readonly client: VaultClient;
  readonly silence: VaultSilence;
  readonly errors: VaultErrors;
  /** The broker's own login. */
  readonly session: VaultSession;
  readonly documents: Kv;
  /** The same documents, for what the broker reads on its own account: it tries while nobody else does. */
  readonly watched: Kv;
  readonly apis: VaultApis;
  /** Tells of what fails while Vault is away. */
  readonly troubles: Troubles;
  /** What all rooms take time and chance from. */
  readonly clock: Clock;
  readonly fetch?: typeof fetch | undefined;
}

/** The world outside; default: the real one. */
export interface World {
  readonly clock?: Clocks;
  readonly transport?: VaultClientOptions['transport'];
  readonly fetch?: typeof fetch;
}

/** @param onEnd told once, when Vault has refused the broker's own login for POSTERN_VAULT_AUTH_GRACE */
export function connectVault(
  config: Config,
  log: Logger,
  onEnd?: (reason: PosternError) => void,
  onCall?: VaultClientOptions['onCall'],
  { clock: given = {}, transport, fetch: by }: World = {},
): ConnectedVault {
  const clock = clockOf(given);
  const silence = new VaultSilence();
  const errors = new VaultErrors(clock.monotonic);
  const client = vaultClient(config, {
    ...clock,
    transport,
    onCall: (operation, ms, error) => {
      silence.observe(error);
      errors.observe(operation, error);
      onCall?.(operation, ms, error);
    },
    onBreak: (open, part) => {
      if (part !== undefined) log.info({ part }, open ? 'this part of Vault does not answer in time' : 'this part of Vault answers again');
      else log.info(open ? 'Vault does not answer: until it does, only this broker itself asks it' : 'Vault answers again');
    },
  });
  const probing = client.probing();
  const troubles = new Troubles(log, clock.monotonic);
  const session = new VaultSession({
    ...clock,
    client: probing,
    login: ownLogin(probing, config.vaultAuth),
    graceMs: config.POSTERN_VAULT_AUTH_GRACE * 1000,
    onEnd,
    onEvent: (event) => tellSession(log, config, event),
  });
  const documents = new Kv(client, config.POSTERN_KV_MOUNT);
  const apis = new VaultApis({
    ...clock,
    kv: documents,
    session,
    sources: SOURCE_NAMES,
    onError: (err) => troubles.fails('the APIs could not be read again', err),
    onInvalid: (api, problem) => log.error({ api, problem }, 'this API is left out'),
  });
  return {
    client,
    silence,
    errors,
    session,
    documents,
    watched: new Kv(probing, config.POSTERN_KV_MOUNT),
    apis,
    troubles,
    clock,
    fetch: by,
  };
}

function tellSession(log: Logger, { vaultAuth: { method }, POSTERN_VAULT_AUTH_GRACE: grace }: Config, event: SessionEvent): void {
  if (event.event === 'recovered') return log.warn({ ...event, method }, 'the broker has a good Vault token again');
  if (event.event !== 'failed') return log.info({ ...event, method }, 'vault session');
  if (event.kind === 'away')
    return log.warn({ ...event, method }, 'Vault cannot be asked for a token of the broker; it is tried until it can');
  const ends = grace === 0 ? 'it is tried for ever' : `unless that is mended the broker ends in ${grace} s without a token`;
  log.error({ ...event, method }, `the broker has no way to a Vault token: ${ends}`);
}

/** Where somebody waits for a list of Vault's, as at the doors for people, it has so long, ms. */
export const LIST_PATIENCE = 10_000;

export function vaultClient(config: Config, more: Omit<VaultClientOptions, 'address'> = {}): VaultClient {
  return new VaultClient({
    address: config.VAULT_ADDR,
    namespace: config.VAULT_NAMESPACE,
    caFile: config.VAULT_CACERT,
    proxy: config.POSTERN_VAULT_PROXY,
    timeoutMs: config.POSTERN_VAULT_TIMEOUT * 1000,
    ...more,
  });
}
