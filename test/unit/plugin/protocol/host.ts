import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { credentials, Metadata, Server, ServerCredentials } from '@grpc/grpc-js';
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import type { BackendFactory, Entity } from '#broker/plugin/backend.ts';
import { createCertificate } from '#broker/plugin/protocol/certificate.ts';
import type { Certificate } from '#broker/plugin/protocol/certificate.ts';
import { servePlugin } from '#broker/plugin/protocol/serve.ts';
import { BackendClient } from '#broker/plugin/proto/generated/backend.ts';
import type { HandleRequestReply, InitializeReply, Request, SetupReply } from '#broker/plugin/proto/generated/backend.ts';
import { HealthClient } from '#broker/plugin/proto/generated/health.ts';
import { PluginMultiplexingClient } from '#broker/plugin/proto/generated/multiplexing.ts';
import { GRPCBrokerClient, GRPCControllerClient, GRPCStdioClient } from '#broker/plugin/proto/generated/process.ts';
import type { ConnInfo } from '#broker/plugin/proto/generated/process.ts';
import { StorageService } from '#broker/plugin/proto/generated/storage.ts';
import type { StorageServer } from '#broker/plugin/proto/generated/storage.ts';
import { SystemViewService } from '#broker/plugin/proto/generated/system.ts';
import type { SystemViewServer } from '#broker/plugin/proto/generated/system.ts';
import { PluginVersionClient } from '#broker/plugin/proto/generated/version.ts';

export const COOKIE = { VAULT_BACKEND_PLUGIN: '6669da05-b1c8-4f49-97d9-c8e5bed98e20' };

/** What a plugin has printed, and how it ended. */
export interface Played {
  stdout: string;
  /** Log lines, parsed. */
  log: Record<string, unknown>[];
  stderr: string;
  code: Promise<number>;
}

/** Runs the plugin's entry in this process. */
export function play(factory: BackendFactory, env: Record<string, string>): Played {
  const played: Played = { stdout: '', stderr: '', log: [], code: Promise.resolve(0) };
  const stdout = new PassThrough().setEncoding('utf8').on('data', (text: string) => (played.stdout += text));
  const stderr = new PassThrough().setEncoding('utf8').on('data', (text: string) => {
    played.stderr += text;
    for (const line of text.split('\n')) if (line.startsWith('{')) played.log.push(JSON.parse(line) as Record<string, unknown>);
  });
  played.code = servePlugin({ factory, env, version: 'v9.9.9', stdout, stderr });
  return played;
}

export interface HostOptions {
  env?: Record<string, string>;
  /** Where storage calls fail with this text; '' or absent: they succeed. */
  storageError?: () => string;
  /** Bits of `consts.ReplicationState`. */
  replication?: number;
}

/** go-plugin's side, as Vault plays it: it starts the plugin, dials it with its certificate, and serves storage back. */
export class Host {
  readonly vault: Certificate;
  readonly played: Played;
  readonly stored = new Map<string, Buffer>();
  /** What Vault's identity store knows, by id. */
  readonly entities = new Map<string, Entity>();
  readonly sealed = new Set<string>();
  socket = '';
  pluginCertificate = Buffer.alloc(0);
  backend!: BackendClient;
  health!: HealthClient;
  multiplexing!: PluginMultiplexingClient;
  controller!: GRPCControllerClient;
  version!: PluginVersionClient;
  stdio!: GRPCStdioClient;
  stream!: ClientDuplexStream<ConnInfo, ConnInfo>;
  readonly #options: HostOptions;
  readonly #servers: Server[] = [];
  #folder = '';
  #next = 1;
  #stopped: Promise<void> | undefined;

  private constructor(vault: Certificate, factory: BackendFactory, options: HostOptions) {
    this.vault = vault;
    this.#options = options;
    this.played = play(factory, { ...COOKIE, PLUGIN_CLIENT_CERT: this.vault.pem, PLUGIN_PROTOCOL_VERSIONS: '3,4,5', ...options.env });
  }

  static async start(factory: BackendFactory, options: HostOptions = {}): Promise<Host> {
    const host = new Host(await createCertificate(), factory, options);
    await until(() => host.played.stdout.endsWith('\n'));
    const [, , , socket = '', , certificate = ''] = host.played.stdout.trim().split('|');
    host.socket = socket;
    host.pluginCertificate = Buffer.from(certificate, 'base64');
    host.#folder = await mkdtemp(join(tmpdir(), 'host-'));
    const pem = `-----BEGIN CERTIFICATE-----\n${host.pluginCertificate.toString('base64')}\n-----END CERTIFICATE-----\n`;
    const secure = credentials.createSsl(Buffer.from(pem), Buffer.from(host.vault.keyPem), Buffer.from(host.vault.pem));
    const options_ = {
      'grpc.ssl_target_name_override': 'localhost',
      'grpc.default_authority': 'localhost',
      'grpc.max_receive_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
    };
    host.backend = new BackendClient(`unix:${socket}`, secure, options_);
    const shared = { ...options_, channelOverride: host.backend.getChannel() };
    host.health = new HealthClient('', secure, shared);
    host.multiplexing = new PluginMultiplexingClient('', secure, shared);
    host.controller = new GRPCControllerClient('', secure, shared);
    host.version = new PluginVersionClient('', secure, shared);
    host.stdio = new GRPCStdioClient('', secure, shared);
    host.stream = new GRPCBrokerClient('', secure, shared).startStream();
    host.stream.on('error', () => {});
    return host;
  }

  /**
   * Serves storage and system view on a socket of their own.
   * @param as what the server shows: Vault's certificate unless a test wants another
   * @returns the id, and what says where it is
   */
  async serveBack(
    as: { readonly pem: string; readonly keyPem: string } = this.vault,
  ): Promise<{ id: number; announce: () => void; stop: () => void; calls: string[] }> {
    const id = this.#next++;
    const address = join(this.#folder, `${id}.sock`);
    const calls: string[] = [];
    const fault = (operation: string, key: string): string => {
      calls.push(`${operation} ${key}`);
      return this.#options.storageError?.() ?? '';
    };
    const storage: StorageServer = {
      list: ({ request }, reply) =>
        reply(null, {
          err: fault('list', request.prefix),
          keys: [...this.stored.keys()].filter((key) => key.startsWith(request.prefix)).map((key) => key.slice(request.prefix.length)),
        }),
      get: ({ request }, reply) => {
        const err = fault('get', request.key);
        const value = this.stored.get(request.key);
        reply(null, { err, entry: err === '' && value ? { key: request.key, value, sealWrap: this.sealed.has(request.key) } : undefined });
      },
      put: ({ request }, reply) => {
        const err = fault('put', request.entry!.key);
        if (err === '') this.stored.set(request.entry!.key, request.entry!.value);
        if (request.entry!.sealWrap) this.sealed.add(request.entry!.key);
        reply(null, { err });
      },
      delete: ({ request }, reply) => {
        const err = fault('delete', request.key);
        if (err === '') this.stored.delete(request.key);
        reply(null, { err });
      },
    };
    const system: SystemViewServer = {
      defaultLeaseTtl: (_call, reply) => reply(null, { TTL: 3_600_000_000_000n }),
      maxLeaseTtl: (_call, reply) => reply(null, { TTL: 9_223_372_036_000_000_000n }),
      replicationState: (_call, reply) => reply(null, { state: this.#options.replication ?? 0 }),
      localMount: (_call, reply) => reply(null, { local: true }),
      entityInfo: ({ request }, reply) => {
        const entity = this.entities.get(request.entityId);
        reply(null, {
          entity: entity && { aliases: [...entity.aliases], metadata: entity.metadata },
          err: request.entityId === 'broken' ? 'canary-vault-detail' : '',
        });
      },
    };
    const server = new Server();
    server.addService(StorageService, storage);
    server.addService(SystemViewService, system);
    const pem = `-----BEGIN CERTIFICATE-----\n${this.pluginCertificate.toString('base64')}\n-----END CERTIFICATE-----\n`;
    const secure = ServerCredentials.createSsl(
      Buffer.from(pem),
      [{ private_key: Buffer.from(as.keyPem), cert_chain: Buffer.from(as.pem) }],
      true,
    );
    await new Promise<void>((resolve, reject) =>
      server.bindAsync(`unix:${address}`, secure, (error) => (error ? reject(error) : resolve())),
    );
    this.#servers.push(server);
    return {
      id,
      calls,
      announce: () => void this.stream.write({ serviceId: id, network: 'unix', address }),
      stop: () => server.forceShutdown(),
    };
  }

  /** Setup and Initialize, as Vault mounts an engine. */
  async mount(multiplexId: string, uuid = multiplexId): Promise<{ calls: string[]; stop: () => void }> {
    const back = await this.serveBack();
    back.announce();
    const { err } = await this.setup(multiplexId, back.id, uuid);
    if (err !== '') throw new Error(err);
    const { err: fault } = await ask<InitializeReply>((done) => this.backend.initialize({}, idMetadata(multiplexId), done));
    if (fault) throw new Error(fault.errMsg);
    return back;
  }

  setup(multiplexId: string, brokerId: number, backendUUID = ''): Promise<SetupReply> {
    return ask((done) => this.backend.setup({ brokerId, Config: { plugin_name: 'test' }, backendUUID }, idMetadata(multiplexId), done));
  }

  request(multiplexId: string, request: Partial<Request>): Promise<HandleRequestReply> {
    return ask((done) => this.backend.handleRequest({ request: requestOf(request) }, idMetadata(multiplexId), done));
  }

  /** Shutdown, as Vault ends a plugin, unless the plugin has ended; once. */
  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  async #stop(): Promise<void> {
    this.controller.shutdown({}, () => {});
    await this.played.code;
    this.backend.close();
    for (const server of this.#servers) server.forceShutdown();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

export function idMetadata(multiplexId: string): Metadata {
  const metadata = new Metadata();
  if (multiplexId !== '') metadata.set('multiplex_id', multiplexId);
  return metadata;
}

export function requestOf(request: Partial<Request>): Request {
  return { id: 'request-1', operation: 'read', path: '', data: '{}', displayName: '', mountPoint: 'test/', entityId: '', ...request };
}

export function ask<Reply>(send: (done: (error: ServiceError | null, reply: Reply) => void) => unknown): Promise<Reply> {
  return new Promise((resolve, reject) => send((error, reply) => (error ? reject(error) : resolve(reply))));
}

export async function until(done: () => boolean, ms = 5_000): Promise<void> {
  for (const end = Date.now() + ms; !done(); await sleep(5)) if (Date.now() > end) throw new Error('it does not come about');
}
