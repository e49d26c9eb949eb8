/**
 * The seam of the plugin door: `protocol/` speaks go-plugin with Vault and knows nothing of Auth0; `engine/` is a
 * secrets engine and knows nothing of gRPC. These are the nouns of Vault's `sdk/logical`, as a backend sees them.
 */

/** `logical.Operation`. */
export type Operation =
  | 'create'
  | 'read'
  | 'update'
  | 'patch'
  | 'delete'
  | 'list'
  | 'help'
  | 'alias-lookahead'
  | 'resolve-role'
  | 'revoke'
  | 'renew'
  | 'rollback'
  | 'header';

/** The engine's own part of Vault's storage: below the mount, encrypted by Vault's barrier. */
export interface Storage {
  /** Names directly below `prefix`; a deeper level ends with `/`. */
  list(prefix: string): Promise<readonly string[]>;
  get(key: string): Promise<Uint8Array | undefined>;
  /** @throws {ReadOnly} on a node that may not write */
  put(key: string, value: Uint8Array, sealWrap?: boolean): Promise<void>;
  delete(key: string): Promise<void>;
}

/** Vault refuses a write on a standby or a secondary; answered so, it forwards the request to a node that may. */
export class ReadOnly extends Error {
  override readonly name = 'ReadOnly';

  constructor() {
    super('cannot write to readonly storage');
  }
}

/** `consts.ReplicationState`, as far as an engine acts on it. */
export interface ReplicationState {
  readonly performanceStandby: boolean;
  readonly performanceSecondary: boolean;
  readonly drSecondary: boolean;
}

export interface SystemView {
  /** Seconds. */
  defaultLeaseTtl(): Promise<number>;
  maxLeaseTtl(): Promise<number>;
  replicationState(): Promise<ReplicationState>;
  /** Whether the mount is local to this cluster, so that a secondary may write. */
  localMount(): Promise<boolean>;
  /** @returns undefined where there is no such entity. @throws {BackendError} 500 */
  entity(id: string): Promise<Entity | undefined>;
}

/** `logical.Entity`: a client as Vault's identity store knows it. */
export interface Entity {
  readonly aliases: readonly {
    /** Kind of the auth method: `approle`. */
    readonly mountType: string;
    /** The client's name there: the role_id with AppRole. */
    readonly name: string;
  }[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** One request of Vault's; Vault has already authenticated and authorized the caller. */
export interface BackendRequest {
  readonly id: string;
  readonly operation: Operation;
  /** Below the mount, without a slash at the beginning. */
  readonly path: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly mountPoint: string;
  readonly displayName: string;
  /** Empty where the caller's token has none, as a root token. */
  readonly entityId: string;
  readonly storage: Storage;
  readonly system: SystemView;
}

/** `logical.Response`. An error of Vault's kind is thrown as a {@link BackendError}. */
export interface BackendResponse {
  readonly data?: Readonly<Record<string, unknown>> | undefined;
  readonly warnings?: readonly string[] | undefined;
}

/** Vault answers with this status and `{"errors": [message]}`. Never a secret in it. */
export class BackendError extends Error {
  override readonly name = 'BackendError';
  readonly status: 400 | 403 | 404 | 405 | 409 | 412 | 429 | 500 | 503;

  constructor(status: BackendError['status'], message: string) {
    super(message);
    this.status = status;
  }
}

/** `logical.Paths`. */
export interface SpecialPaths {
  readonly root?: readonly string[];
  readonly unauthenticated?: readonly string[];
  readonly localStorage?: readonly string[];
  readonly sealWrapStorage?: readonly string[];
}

/** One mount's engine. `protocol/` makes one for each multiplex id. */
export interface Backend {
  readonly specialPaths: SpecialPaths;
  /** `v1.2.3`: what `vault plugin list` shows. */
  readonly version: string;
  /** Vault has unsealed or mounted it: storage may be used from here on. */
  initialize(storage: Storage, system: SystemView): Promise<void>;
  /** @returns undefined where there is nothing: Vault answers 404 on a read, 204 on a write */
  handleRequest(request: BackendRequest): Promise<BackendResponse | undefined>;
  /** Whether the path's entry exists (a write is then an update, else a create); undefined where the path does not ask. */
  handleExistenceCheck(request: BackendRequest): Promise<boolean | undefined>;
  /** Another node wrote this storage key. */
  invalidateKey(key: string): void;
  /** Stops timers; storage is not to be used afterwards. */
  cleanup(): Promise<void>;
}

export type BackendFactory = (options: {
  readonly config: Readonly<Record<string, string>>;
  readonly backendUuid: string;
  readonly log: PluginLog;
}) => Backend;

/** hclog's levels: Vault's log shows each line at its own. Fields are never secrets. */
export interface PluginLog {
  trace(message: string, fields?: Readonly<Record<string, unknown>>): void;
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}
