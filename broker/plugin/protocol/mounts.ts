import { status } from '@grpc/grpc-js';
import type { Metadata, sendUnaryData, ServerUnaryCall, ServiceError } from '@grpc/grpc-js';
import type { BackendFactory, PluginLog } from '#broker/plugin/backend.ts';
import type { BackendServer, Empty, SetupArgs, SetupReply } from '#broker/plugin/proto/generated/backend.ts';
import type { PluginVersionServer } from '#broker/plugin/proto/generated/version.ts';
import type { DialBack } from './dialback.ts';
import { Mount } from './mount.ts';

/** Vault's name for the mount that a call is for; https://developer.hashicorp.com/vault/docs/plugins/plugin-architecture */
const MULTIPLEX_ID = 'multiplex_id';

/** `logical.TypeLogical`: a secrets engine. */
const SECRETS_ENGINE = 1;

export interface MountsOptions {
  readonly factory: BackendFactory;
  readonly dialBack: DialBack;
  readonly log: PluginLog;
  /** `v1.2.3`, said where no mount is asked. */
  readonly version: string;
  /** Vault only wants to know what this is; no request is answered. */
  readonly metadataMode: boolean;
}

/** All mounts that this process serves, one a multiplex id; a call for one never reaches another. */
export class Mounts {
  readonly #options: MountsOptions;
  readonly #mounts = new Map<string, Mount>();

  constructor(options: MountsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#mounts.size;
  }

  readonly backend: BackendServer = {
    handleRequest: (call, reply) => this.#ask(call, reply, (mount, { request }) => (request ? mount.handleRequest(request) : undefined)),
    handleExistenceCheck: (call, reply) => this.#ask(call, reply, (mount, { request }) => (request ? mount.handleExistenceCheck(request) : undefined)),
    initialize: (call, reply) => this.#ask(call, reply, (mount) => mount.initialize()),
    invalidateKey: (call, reply) =>
      this.#ask(call, reply, (mount, { key }) => {
        mount.invalidateKey(key);
        return {};
      }),
    specialPaths: (call, reply) => this.#know(call, reply, (mount) => ({ paths: mount.specialPaths })),
    type: (call, reply) => this.#know(call, reply, () => ({ type: SECRETS_ENGINE })),
    setup: (call, reply) => void this.#setup(call.metadata, call.request).then((done) => reply(null, done)),
    cleanup: (call, reply) => void this.#cleanup(call.metadata).then((done) => reply(null, done)),
  };

  readonly pluginVersion: PluginVersionServer = {
    version: (call, reply) => reply(null, { pluginVersion: this.#mounts.get(idOf(call.metadata))?.version ?? this.#options.version }),
  };

  /** The process ends. Never throws. */
  async close(): Promise<void> {
    const mounts = [...this.#mounts.values()];
    this.#mounts.clear();
    await Promise.all(mounts.map((mount) => mount.cleanup()));
  }

  /** A call that needs no storage. */
  #know<Args, Reply>(call: ServerUnaryCall<Args, Reply>, reply: sendUnaryData<Reply>, answer: (mount: Mount) => Reply): void {
    const mount = this.#mounts.get(idOf(call.metadata));
    if (mount === undefined) reply(fault(status.NOT_FOUND, 'no such mount'));
    else reply(null, answer(mount));
  }

  /** A call that may need storage, and so is refused where there is none. */
  #ask<Args, Reply>(call: ServerUnaryCall<Args, Reply>, reply: sendUnaryData<Reply>, answer: (mount: Mount, args: Args) => Promise<Reply> | Reply | undefined): void {
    const mount = this.#mounts.get(idOf(call.metadata));
    if (this.#options.metadataMode) {
      reply(fault(status.FAILED_PRECONDITION, 'only asked what it is, the plugin serves no request'));
      return;
    }
    if (mount === undefined) {
      reply(fault(status.NOT_FOUND, 'no such mount'));
      return;
    }
    const answered = answer(mount, call.request);
    if (answered === undefined) reply(fault(status.INVALID_ARGUMENT, 'no request in it'));
    else if (answered instanceof Promise) {
      // A mount never throws: what goes wrong in an engine is an answer.
      void answered.then((value) => reply(null, value), () => reply(fault(status.INTERNAL, 'internal error')));
    } else reply(null, answered);
  }

  async #setup(metadata: Metadata, args: SetupArgs): Promise<SetupReply> {
    const id = idOf(metadata);
    const { dialBack, factory, log } = this.#options;
    try {
      const mount = new Mount(factory, args, await dialBack.dial(args.brokerId), log);
      // Vault may set a mount up anew without having cleaned up what was there.
      const before = this.#mounts.get(id);
      this.#mounts.set(id, mount);
      await before?.cleanup();
      return { err: '' };
    } catch (error) {
      log.error('setup failed', { error });
      return { err: 'the plugin could not set the mount up; its log says why' };
    }
  }

  async #cleanup(metadata: Metadata): Promise<Empty> {
    const id = idOf(metadata);
    const mount = this.#mounts.get(id);
    this.#mounts.delete(id);
    await mount?.cleanup();
    return {};
  }
}

/** Empty where Vault has multiplexing switched off for this plugin: the process has one mount then. */
function idOf(metadata: Metadata): string {
  return String(metadata.get(MULTIPLEX_ID)[0] ?? '');
}

function fault(code: status, details: string): Partial<ServiceError> {
  return { code, details };
}
