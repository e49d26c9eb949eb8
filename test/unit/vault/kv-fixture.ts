import type { CallOptions, VaultAnswer, VaultClient } from '#broker/vault/client.ts';
import { VaultFault } from '#broker/vault-fault.ts';
import { Kv } from '#broker/vault/kv.ts';
import type { VaultSession } from '#broker/vault/session.ts';

export interface KvCall {
  operation: 'read' | 'list' | 'write';
  path: string;
  token: string | undefined;
  forwardedFor: string | undefined;
  data?: unknown;
}

/** A KV v2 mount in memory, behind the client's own interface, that notes who asks for what. */
export class KvFixture {
  readonly documents = new Map<string, { data: unknown; version: number }>();
  readonly #before = new Map<string, unknown>();
  readonly calls: KvCall[] = [];
  fault: VaultFault | undefined;
  readonly kv: Kv;
  /** The broker's own session: its token is `own`. */
  readonly session = { use: <T>(call: (token: string) => Promise<T>) => call('own') } as unknown as VaultSession;

  constructor(mount: string) {
    const client = {
      read: async (path: string, options: CallOptions) => this.#read(path, options),
      list: async (path: string, options: CallOptions) => {
        this.#note('list', path, options);
        const prefix = `${path.replace('/metadata', '/data')}/`;
        return [...this.documents.keys()].filter((p) => p.startsWith(prefix)).map((p) => p.slice(prefix.length));
      },
      write: async (path: string, body: { data: unknown; options?: { cas?: number } }, options: CallOptions) =>
        this.#write(path, body, options),
    };
    this.kv = new Kv(client as unknown as VaultClient, mount);
  }

  set(path: string, data: unknown): void {
    const { data: old, version = 0 } = this.documents.get(path) ?? {};
    this.#before.set(`${path}@${version}`, old);
    this.documents.set(path, { data, version: (this.documents.get(path)?.version ?? 0) + 1 });
  }

  #note(operation: KvCall['operation'], path: string, options: CallOptions, data?: unknown): void {
    this.calls.push({ operation, path, token: options.token, forwardedFor: options.forwardedFor, ...(data === undefined ? {} : { data }) });
    if (this.fault) throw this.fault;
  }

  #read(path: string, options: CallOptions): VaultAnswer | undefined {
    this.#note('read', path, options);
    const { version } = options;
    const found =
      version === undefined || version === this.documents.get(path)?.version
        ? this.documents.get(path)
        : { data: this.#before.get(`${path}@${version}`) ?? null, version };
    return found && { data: { data: found.data, metadata: { version: found.version } } };
  }

  #write(path: string, body: { data: unknown; options?: { cas?: number } }, options: CallOptions): VaultAnswer {
    this.#note('write', path, options, body.data);
    const version = this.documents.get(path)?.version ?? 0;
    if (body.options?.cas !== undefined && body.options.cas !== version) throw new VaultFault('conflict', 'check-and-set');
    // As on the wire: only JSON arrives.
    this.set(path, JSON.parse(JSON.stringify(body.data)));
    return { data: { version: version + 1 } };
  }
}
