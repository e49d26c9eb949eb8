import { Metadata } from '@grpc/grpc-js';
import type { CallOptions, ServiceError } from '@grpc/grpc-js';
import { BackendError, ReadOnly } from '#broker/plugin/backend.ts';
import type { PluginLog, Storage } from '#broker/plugin/backend.ts';
import type { StorageClient } from '#broker/plugin/proto/generated/storage.ts';

/** Vault's storage says so on a node that may not write: the wire has no code for it. */
const READ_ONLY = new ReadOnly().message;

/** ms. A call that never ended would hold up whoever waits for its token for ever. Vault's own limit for a request is 90 s. */
const PATIENCE = 60_000;

const NO_METADATA = new Metadata();

type Callback<Reply> = (error: ServiceError | null, reply: Reply) => void;

/** A mount's storage, reached through Vault. Closed with its mount: nothing is written for one that is gone. */
export class VaultStorage implements Storage {
  readonly #client: StorageClient;
  readonly #log: PluginLog;
  #closed = false;

  constructor(client: StorageClient, log: PluginLog) {
    this.#client = client;
    this.#log = log;
  }

  async list(prefix: string): Promise<readonly string[]> {
    return (
      await this.#call<{ keys: string[]; err: string }>('list', (options, done) =>
        this.#client.list({ prefix }, NO_METADATA, options, done),
      )
    ).keys;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    return (
      await this.#call<{ entry?: { value: Buffer } | undefined; err: string }>('get', (options, done) =>
        this.#client.get({ key }, NO_METADATA, options, done),
      )
    ).entry?.value;
  }

  async put(key: string, value: Uint8Array, sealWrap = false): Promise<void> {
    const entry = { key, value: Buffer.from(value.buffer, value.byteOffset, value.byteLength), sealWrap };
    await this.#call<{ err: string }>('put', (options, done) => this.#client.put({ entry }, NO_METADATA, options, done));
  }

  async delete(key: string): Promise<void> {
    await this.#call<{ err: string }>('delete', (options, done) => this.#client.delete({ key }, NO_METADATA, options, done));
  }

  close(): void {
    this.#closed = true;
  }

  #call<Reply extends { err: string }>(operation: string, send: (options: CallOptions, done: Callback<Reply>) => void): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(failure());
        return;
      }
      send({ deadline: Date.now() + PATIENCE }, (error, reply) => {
        if (error === null && reply.err === '') resolve(reply);
        else if (error === null && reply.err.includes(READ_ONLY)) reject(new ReadOnly());
        else {
          // Vault's own text names the key, never the value.
          this.#log.error('storage failed', { operation, reason: error === null ? reply.err : `grpc status ${error.code}` });
          reject(failure());
        }
      });
    });
  }
}

function failure(): BackendError {
  return new BackendError(500, 'the storage of Vault failed');
}
