import { status } from '@grpc/grpc-js';
import type { BackendFactory, PluginLog } from '#broker/plugin/backend.ts';
import type { BackendService, Empty, Request, SetupArgs, SetupReply } from '#broker/plugin/proto/generated/backend.ts';
import type { PluginVersionService } from '#broker/plugin/proto/generated/version.ts';
import type { DialBack } from './dialback.ts';
import type { Headers } from './http2/header.ts';
import { Mount } from './mount.ts';
import { GrpcFault } from './grpc-server.ts';
import type { Handlers } from './grpc-server.ts';

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

  readonly backend: Handlers<BackendService> = {
    handleRequest: ({ request }, headers) => this.#serving(headers).handleRequest(given(request)),
    handleExistenceCheck: ({ request }, headers) => this.#serving(headers).handleExistenceCheck(given(request)),
    initialize: (_args, headers) => this.#serving(headers).initialize(),
    invalidateKey: ({ key }, headers) => {
      this.#serving(headers).invalidateKey(key);
      return {};
    },
    specialPaths: (_args, headers) => ({ paths: this.#known(headers).specialPaths }),
    type: (_args, headers) => {
      this.#known(headers);
      return { type: SECRETS_ENGINE };
    },
    setup: (args, headers) => this.#setup(idOf(headers), args),
    cleanup: (_args, headers) => this.#cleanup(idOf(headers)),
  };

  readonly pluginVersion: Handlers<PluginVersionService> = {
    version: (_args, headers) => ({ pluginVersion: this.#mounts.get(idOf(headers))?.version ?? this.#options.version }),
  };

  /** The process ends. Never throws. */
  async close(): Promise<void> {
    const mounts = [...this.#mounts.values()];
    this.#mounts.clear();
    await Promise.all(mounts.map((mount) => mount.cleanup()));
  }

  /** @throws {GrpcFault} when the call is for no mount of ours */
  #known(headers: Headers): Mount {
    const mount = this.#mounts.get(idOf(headers));
    if (mount === undefined) throw new GrpcFault(status.NOT_FOUND, 'no such mount');
    return mount;
  }

  /** The same, for a call that may need storage. */
  #serving(headers: Headers): Mount {
    if (this.#options.metadataMode) throw new GrpcFault(status.FAILED_PRECONDITION, 'only asked what it is, the plugin serves no request');
    return this.#known(headers);
  }

  async #setup(id: string, args: SetupArgs): Promise<SetupReply> {
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

  async #cleanup(id: string): Promise<Empty> {
    const mount = this.#mounts.get(id);
    this.#mounts.delete(id);
    await mount?.cleanup();
    return {};
  }
}

/** Empty where Vault has multiplexing switched off for this plugin: the process has one mount then. */
function idOf(headers: Headers): string {
  return headers.get(MULTIPLEX_ID) ?? '';
}

function given(request: Request | undefined): Request {
  if (request === undefined) throw new GrpcFault(status.INVALID_ARGUMENT, 'no request in it');
  return request;
}
