import { Auth0Source } from '#broker/auth0/source.ts';
import type { BackendRequest, BackendResponse, Operation, PluginLog } from '#broker/plugin/backend.ts';
import { BackendError } from '#broker/plugin/backend.ts';
import { Engine } from '#broker/plugin/engine/engine.ts';
import type { EngineOptions } from '#broker/plugin/engine/engine.ts';
import type { SourceSettings } from '#broker/plugin/engine/issuance.ts';
import { CLIENT, FakeAuth0, SECRET } from '#test/unit/auth0/fake-auth0.ts';
import type { KeyPair } from '#test/unit/auth0/fake-auth0.ts';
import { MemoryStorage, MemorySystem } from './memory-storage.ts';

/** What was logged, at any level. */
export class Lines implements PluginLog {
  readonly lines: string[] = [];
  trace = this.#at('trace');
  debug = this.#at('debug');
  info = this.#at('info');
  warn = this.#at('warn');
  error = this.#at('error');

  get text(): string {
    return this.lines.join('\n');
  }

  #at(level: string) {
    return (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
      void this.lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  }
}

export interface Stage extends AsyncDisposable {
  engine: Engine;
  storage: MemoryStorage;
  system: MemorySystem;
  auth0: FakeAuth0;
  log: Lines;
  /** Moves the engine's clock, ms. */
  clock: { offset: number };
  /** Whose Vault token the requests come with. */
  entityId: string;
  call(operation: Operation, path: string, data?: Record<string, unknown>): Promise<BackendResponse | undefined>;
  read(path: string, data?: Record<string, unknown>): Promise<Record<string, any>>;
  /** As Vault does it: asks for existence, and then creates or updates. */
  write(path: string, data?: Record<string, unknown>): Promise<BackendResponse | undefined>;
  /** config, the API orders and the roles acme and globex. */
  setUp(): Promise<void>;
  /** The plugin process ends and another comes: memory is gone, storage is not. */
  restart(): Promise<void>;
}

export const ORDERS = 'https://orders.example.com';

export async function stage(key: KeyPair, options: Partial<EngineOptions> = {}): Promise<Stage> {
  const auth0 = await FakeAuth0.start(key);
  const storage = new MemoryStorage();
  const system = new MemorySystem();
  const log = new Lines();
  const clock = { offset: 0 };
  const now = () => Date.now() + clock.offset;
  const start = async (): Promise<Engine> => {
    const engine = new Engine({
      sourceName: 'auth0',
      version: 'v1.2.3',
      log,
      now,
      upkeepMs: 3_600_000,
      source: (settings: SourceSettings) => new Auth0Source({ ...settings, now }),
      rotate: () => Promise.reject(new Error('nobody rotates here')),
      ...options,
    });
    await engine.initialize(storage, system);
    return engine;
  };
  const requestOf = (operation: Operation, path: string, data: Record<string, unknown>): BackendRequest => ({
    id: 'r',
    operation,
    path,
    data,
    mountPoint: 'auth0/',
    displayName: 'test',
    entityId: made.entityId,
    storage,
    system,
  });
  const made: Stage = {
    engine: await start(),
    storage,
    system,
    auth0,
    log,
    clock,
    entityId: '',
    call: (operation, path, data = {}) => made.engine.handleRequest(requestOf(operation, path, data)),
    async read(path, data) {
      const answer = await made.call('read', path, data);
      if (answer?.data === undefined) throw new Error(`nothing at ${path}`);
      return answer.data as Record<string, any>;
    },
    async write(path, data = {}) {
      const exists = await made.engine.handleExistenceCheck(requestOf('update', path, data));
      return made.call(exists === false ? 'create' : 'update', path, data);
    },
    async setUp() {
      await made.write('config', { issuer: auth0.issuer, client_id: CLIENT, client_secret: SECRET });
      await made.write('apis/orders', { audience: ORDERS, scopes: 'read:orders,write:orders' });
      await made.write('roles/acme', { grants: { orders: ['read:orders', 'write:orders'] } });
      await made.write('roles/globex', { grants: { orders: ['read:orders'] } });
    },
    async restart() {
      await made.engine.cleanup();
      made.engine = await start();
    },
    async [Symbol.asyncDispose]() {
      await made.engine.cleanup();
      await auth0[Symbol.asyncDispose]();
    },
  };
  return made;
}

/** What Vault would answer; anything else that is thrown is a fault of the test. */
export async function refusal(run: () => Promise<unknown>): Promise<{ status: number; message: string }> {
  const error: unknown = await run().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof BackendError)) throw error instanceof Error ? error : new Error('it was not refused');
  if (/canary|eyJ/.test(`${error.message}${error.stack}`)) throw new Error('the refusal tells a secret');
  return { status: error.status, message: error.message };
}

export function subjectOf(accessToken: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;
}
