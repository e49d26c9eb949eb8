import { credentials } from '@grpc/grpc-js';
import type { ChannelOptions } from '@grpc/grpc-js';
import type { ConnInfo, GRPCBrokerService } from '#broker/plugin/proto/generated/process.ts';
import { StorageClient } from '#broker/plugin/proto/generated/storage.ts';
import { SystemViewClient } from '#broker/plugin/proto/generated/system.ts';
import type { Certificate } from './certificate.ts';
import { MAX_MESSAGE } from './message.ts';
import type { Peer } from './peer.ts';
import type { Handlers } from './grpc-server.ts';

/** ms that Vault may take to say where it listens; go-plugin waits as long. */
const WAIT = 5_000;

const OPTIONS: ChannelOptions = {
  'grpc.ssl_target_name_override': 'localhost',
  'grpc.default_authority': 'localhost',
  'grpc.max_receive_message_length': MAX_MESSAGE,
  'grpc.max_send_message_length': MAX_MESSAGE,
  // A storage call that is sent twice may write what has changed meanwhile.
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  // Vault's own environment may name a proxy.
  'grpc.enable_http_proxy': 0,
  'grpc.enable_channelz': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  // Each mount has a connection of its own, to a socket of its own.
  'grpc.use_local_subchannel_pool': 1,
};

/** The clients of one mount, on one connection to Vault. */
export interface VaultConnection {
  readonly storage: StorageClient;
  readonly system: SystemViewClient;
  close(): void;
}

/**
 * go-plugin's broker: over one stream Vault says at which sockets it serves what we may ask. The stream lives as long
 * as Vault wants this process, so that its end tells that Vault is gone.
 */
export class DialBack {
  readonly #peer: Peer;
  readonly #certificate: Certificate;
  readonly #known = new Map<number, string>();
  readonly #waiting = new Map<number, (path: string) => void>();
  readonly #onStream: () => void;
  readonly #onGone: () => void;
  #streams = 0;

  /**
   * @param on.stream Vault is there
   * @param on.gone it was, and has closed its last stream
   */
  constructor(peer: Peer, certificate: Certificate, on: { readonly stream: () => void; readonly gone: () => void }) {
    this.#peer = peer;
    this.#certificate = certificate;
    this.#onStream = on.stream;
    this.#onGone = on.gone;
  }

  readonly service: Handlers<GRPCBrokerService> = {
    startStream: (stream) => {
      this.#streams += 1;
      this.#onStream();
      stream.onMessage((info) => this.#learn(info));
      stream.onEnd(() => {
        this.#streams -= 1;
        if (this.#streams === 0) this.#onGone();
      });
    },
  };

  /**
   * A connection to what Vault serves under that id.
   * @throws Error when Vault does not say where within 5 s
   */
  async dial(id: number): Promise<VaultConnection> {
    const target = `unix:${await this.#path(id)}`;
    const secure = credentials.createSsl(
      Buffer.from(this.#peer.pem),
      Buffer.from(this.#certificate.keyPem),
      Buffer.from(this.#certificate.pem),
      {
        checkServerIdentity: (_host, { raw }) => (this.#peer.is(raw) ? undefined : new Error('the certificate is not that of our Vault')),
      },
    );
    const storage = new StorageClient(target, secure, OPTIONS);
    const system = new SystemViewClient(target, secure, { ...OPTIONS, channelOverride: storage.getChannel() });
    return { storage, system, close: () => storage.close() };
  }

  #learn({ serviceId, network, address }: ConnInfo): void {
    // TCP is go-plugin's way on Windows only.
    if (network !== 'unix' || address === '') return;
    const waiting = this.#waiting.get(serviceId);
    if (waiting) waiting(address);
    else this.#known.set(serviceId, address);
  }

  #path(id: number): Promise<string> {
    const known = this.#known.get(id);
    this.#known.delete(id);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`Vault did not say where service ${id} is`));
      }, WAIT);
      this.#waiting.set(id, (path) => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve(path);
      });
    });
  }
}
