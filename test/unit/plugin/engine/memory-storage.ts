import { ReadOnly } from '#broker/plugin/backend.ts';
import type { Entity, ReplicationState, Storage, SystemView } from '#broker/plugin/backend.ts';

/** Vault's storage of a mount as the plugin sees it, with all that may go wrong with it. */
export class MemoryStorage implements Storage {
  readonly entries = new Map<string, { readonly value: Uint8Array; readonly sealWrap: boolean }>();
  /** Each call, e.g. `get config`. */
  readonly calls: string[] = [];
  readOnly = false;
  /** Calls that begin so fail. */
  failing: RegExp | undefined;
  delayMs = 0;

  async list(prefix: string): Promise<readonly string[]> {
    await this.#called(`list ${prefix}`);
    const below = [...this.entries.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
    return [...new Set(below.map((name) => (name.includes('/') ? name.slice(0, name.indexOf('/') + 1) : name)))];
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    await this.#called(`get ${key}`);
    return this.entries.get(key)?.value;
  }

  async put(key: string, value: Uint8Array, sealWrap = false): Promise<void> {
    await this.#called(`put ${key}`);
    if (this.readOnly) throw new ReadOnly();
    this.entries.set(key, { value, sealWrap });
  }

  async delete(key: string): Promise<void> {
    await this.#called(`delete ${key}`);
    if (this.readOnly) throw new ReadOnly();
    this.entries.delete(key);
  }

  json(key: string): Record<string, unknown> {
    return JSON.parse(new TextDecoder().decode(this.entries.get(key)?.value)) as Record<string, unknown>;
  }

  async #called(call: string): Promise<void> {
    this.calls.push(call);
    await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    if (this.failing?.test(call)) throw new Error('the storage says canary-storage-detail');
  }
}

export class MemorySystem implements SystemView {
  state: ReplicationState = { performanceStandby: false, performanceSecondary: false, drSecondary: false };
  local = false;
  /** By id. */
  readonly entities = new Map<string, Entity>();
  entityCalls = 0;

  async defaultLeaseTtl(): Promise<number> {
    return 2_764_800;
  }

  async maxLeaseTtl(): Promise<number> {
    return 2_764_800;
  }

  async replicationState(): Promise<ReplicationState> {
    return this.state;
  }

  async localMount(): Promise<boolean> {
    return this.local;
  }

  async entity(id: string): Promise<Entity | undefined> {
    this.entityCalls++;
    return this.entities.get(id);
  }
}
