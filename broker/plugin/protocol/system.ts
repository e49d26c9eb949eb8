import { Metadata } from '@grpc/grpc-js';
import type { CallOptions, ServiceError } from '@grpc/grpc-js';
import { BackendError } from '#broker/plugin/backend.ts';
import type { Entity, ReplicationState, SystemView } from '#broker/plugin/backend.ts';
import type { EntityInfoReply, SystemViewClient } from '#broker/plugin/proto/generated/system.ts';

const NANOSECONDS = 1_000_000_000n;

/** Bits of Vault's `consts.ReplicationState`. */
const REPLICATION = { performanceSecondary: 1 << 6, drSecondary: 1 << 9, performanceStandby: 1 << 14 } as const;

/** ms. Upkeep asks before each round, and the end of a mount waits for its round. */
const PATIENCE = 10_000;

const NO_METADATA = new Metadata();

/** What Vault says of the mount and the node. Asked each time: it changes by tuning and by promotion. */
export class VaultSystemView implements SystemView {
  readonly #client: SystemViewClient;

  constructor(client: SystemViewClient) {
    this.#client = client;
  }

  async defaultLeaseTtl(): Promise<number> {
    return seconds(await ask<{ TTL: bigint }>((options, done) => this.#client.defaultLeaseTtl({}, NO_METADATA, options, done)));
  }

  async maxLeaseTtl(): Promise<number> {
    return seconds(await ask<{ TTL: bigint }>((options, done) => this.#client.maxLeaseTtl({}, NO_METADATA, options, done)));
  }

  async replicationState(): Promise<ReplicationState> {
    const { state } = await ask<{ state: number }>((options, done) => this.#client.replicationState({}, NO_METADATA, options, done));
    return {
      performanceStandby: (state & REPLICATION.performanceStandby) !== 0,
      performanceSecondary: (state & REPLICATION.performanceSecondary) !== 0,
      drSecondary: (state & REPLICATION.drSecondary) !== 0,
    };
  }

  async localMount(): Promise<boolean> {
    return (await ask<{ local: boolean }>((options, done) => this.#client.localMount({}, NO_METADATA, options, done))).local;
  }

  async entity(id: string): Promise<Entity | undefined> {
    const { entity, err } = await ask<EntityInfoReply>((options, done) =>
      this.#client.entityInfo({ entityId: id }, NO_METADATA, options, done),
    );
    if (err !== '') throw new BackendError(500, 'Vault does not tell who the caller is');
    return entity;
  }
}

function seconds({ TTL }: { TTL: bigint }): number {
  return Number(TTL / NANOSECONDS);
}

function ask<Reply>(send: (options: CallOptions, done: (error: ServiceError | null, reply: Reply) => void) => void): Promise<Reply> {
  return new Promise((resolve, reject) => {
    send({ deadline: Date.now() + PATIENCE }, (error, reply) =>
      error === null ? resolve(reply) : reject(new BackendError(500, 'Vault does not tell about itself')),
    );
  });
}
