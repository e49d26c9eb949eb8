import type { Backend, BackendFactory, BackendRequest, BackendResponse, PluginLog } from '#broker/plugin/backend.ts';
import { BackendError } from '#broker/plugin/backend.ts';
import type {
  HandleExistenceCheckReply,
  HandleRequestReply,
  InitializeReply,
  Paths,
  Request,
  Response,
  SetupArgs,
} from '#broker/plugin/proto/generated/backend.ts';
import type { VaultConnection } from './dialback.ts';
import { foreseen, protoError, unsupportedOperation } from './proto-error.ts';
import { readOperation } from './operation.ts';
import { VaultStorage } from './storage.ts';
import { VaultSystemView } from './system.ts';

/** One mount of the engine: its backend, and the connection over which it reaches its own storage. */
export class Mount {
  readonly #backend: Backend;
  readonly #connection: VaultConnection;
  readonly #storage: VaultStorage;
  readonly #system: VaultSystemView;
  readonly #log: PluginLog;

  /** @throws whatever the factory throws; the connection is closed then */
  constructor(factory: BackendFactory, { Config, backendUUID }: SetupArgs, connection: VaultConnection, log: PluginLog) {
    this.#connection = connection;
    this.#log = log;
    this.#storage = new VaultStorage(connection.storage, log);
    this.#system = new VaultSystemView(connection.system);
    try {
      this.#backend = factory({ config: Config, backendUuid: backendUUID, log });
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  get version(): string {
    return this.#backend.version;
  }

  get specialPaths(): Paths {
    const { root = [], unauthenticated = [], localStorage = [], sealWrapStorage = [] } = this.#backend.specialPaths;
    return {
      root: [...root],
      unauthenticated: [...unauthenticated],
      localStorage: [...localStorage],
      sealWrapStorage: [...sealWrapStorage],
    };
  }

  async initialize(): Promise<InitializeReply> {
    try {
      await this.#backend.initialize(this.#storage, this.#system);
      return { err: undefined };
    } catch (error) {
      return { err: this.#errorOf('initialize', error) };
    }
  }

  async handleRequest(request: Request): Promise<HandleRequestReply> {
    try {
      return { response: responseOf(await this.#backend.handleRequest(this.#requestOf(request))), err: undefined };
    } catch (error) {
      // As Go's framework answers it: with an error in the answer Vault tells the message as it is.
      if (error instanceof BackendError && error.status === 400)
        return { response: { data: JSON.stringify({ error: error.message }), warnings: [] }, err: undefined };
      return { response: undefined, err: this.#errorOf('request', error, request) };
    }
  }

  async handleExistenceCheck(request: Request): Promise<HandleExistenceCheckReply> {
    try {
      const exists = await this.#backend.handleExistenceCheck(this.#requestOf(request));
      return { checkFound: exists !== undefined, exists: exists === true, err: undefined };
    } catch (error) {
      return { checkFound: false, exists: false, err: this.#errorOf('existence check', error, request) };
    }
  }

  invalidateKey(key: string): void {
    try {
      this.#backend.invalidateKey(key);
    } catch (error) {
      this.#errorOf('invalidate', error);
    }
  }

  /** Never throws: Vault goes on whatever comes of it. */
  async cleanup(): Promise<void> {
    try {
      await this.#backend.cleanup();
    } catch (error) {
      this.#errorOf('cleanup', error);
    }
    this.#storage.close();
    this.#connection.close();
  }

  #requestOf(request: Request): BackendRequest {
    const operation = readOperation(request.operation);
    if (operation === undefined) throw unsupportedOperation();
    return {
      id: request.id,
      operation,
      path: request.path,
      data: readData(request.data),
      mountPoint: request.mountPoint,
      displayName: request.displayName,
      entityId: request.entityId,
      storage: this.#storage,
      system: this.#system,
    };
  }

  #errorOf(what: string, error: unknown, request?: Request): ReturnType<typeof protoError> {
    if (!foreseen(error))
      this.#log.error(`${what} failed unforeseen`, {
        error,
        ...(request ? { request: request.id, operation: request.operation, path: request.path } : {}),
      });
    return protoError(error);
  }
}

function responseOf(response: BackendResponse | undefined): Response | undefined {
  if (response === undefined) return undefined;
  // Vault takes null for "no data"; an empty text would not be JSON.
  return {
    data: response.data === undefined ? 'null' : JSON.stringify(response.data),
    warnings: response.warnings === undefined ? [] : [...response.warnings],
  };
}

/** Vault sends a JSON object, or null where the request had no body. */
function readData(text: string): Readonly<Record<string, unknown>> {
  if (text === '' || text === 'null' || text === '{}') return {};
  const data: unknown = JSON.parse(text);
  if (typeof data !== 'object' || data === null || Array.isArray(data))
    throw new BackendError(400, 'the data of a request must be an object');
  return data as Record<string, unknown>;
}
