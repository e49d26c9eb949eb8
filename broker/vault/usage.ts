import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { LastUse, UsageStore } from '#broker/credential/usage.ts';
import { NAME } from '#broker/credential/identity.ts';
import { VaultFault, lostRace } from '#broker/vault-fault.ts';
import { KEY_ID } from './key-metadata.ts';
import type { Kv } from './kv.ts';
import type { VaultSession } from './session.ts';

/** What is used: it has documents of its own, each with minutes since 1970 by name. */
export type Used = 'key' | 'tenant';

const minutes = z.number().int().nonnegative();
/** `state/usage/<00..ff>` by key id; `state/usage/tenants-<00..ff>` by tenant. */
export const usageDocument: Readonly<Record<Used, z.ZodType<{ used: Record<string, number> }>>> = {
  key: z.object({ used: z.record(z.string().regex(KEY_ID), minutes) }),
  tenant: z.object({ used: z.record(z.string().regex(NAME), minutes) }),
};

/** What is unused for longer is left out at the next writing: brokers can't see which keys are gone. */
export const USAGE_KEPT_DAYS = 400;
const KEPT_MINUTES = USAGE_KEPT_DAYS * 24 * 60;
/** Names in one document: some 450 kB, below Vault's 1 MiB for an entry. 256 documents hold 2.5 million. */
const MAX_NAMES = 10_000;
/** Each lost race means that another replica wrote. */
const ATTEMPTS = 5;

export function usagePath(used: Used, name: string): string {
  return `state/usage/${used === 'tenant' ? 'tenants-' : ''}${createHash('sha256').update(name).digest('hex').slice(0, 2)}`;
}

export interface VaultUsageOptions {
  of: Used;
  kv: Kv;
  session: VaultSession;
  now?: () => number;
  onError?: (error: unknown) => void;
}

/** Keeps the last uses in KV v2 with the broker's own token; replicas write beside each other by check-and-set. */
export class VaultUsage implements UsageStore {
  readonly #options: VaultUsageOptions;

  constructor(options: VaultUsageOptions) {
    this.#options = options;
  }

  async merge(used: LastUse): Promise<ReadonlySet<string>> {
    const shards = new Map<string, [name: string, minute: number][]>();
    for (const entry of used) {
      const path = usagePath(this.#options.of, entry[0]);
      const shard = shards.get(path);
      if (shard === undefined) shards.set(path, [entry]);
      else shard.push(entry);
    }
    const left = new Set(used.keys());
    // One after another: there is time, and what customers wait for goes first.
    for (const [path, entries] of shards) {
      try {
        await this.#mergeShard(path, entries);
        for (const [name] of entries) left.delete(name);
      } catch (error) {
        this.#options.onError?.(error);
        // Vault is away: the other documents would fail alike.
        if (error instanceof VaultFault && error.transient) return left;
      }
    }
    return left;
  }

  /** At most one write that succeeds, and none where others have written the same. @throws {VaultFault} */
  async #mergeShard(path: string, entries: readonly (readonly [name: string, minute: number])[]): Promise<void> {
    const { kv, session } = this.#options;
    for (let attempt = 1; ; attempt++) {
      const { data, version } = await session.use((token) => kv.read(path, { token }));
      // What is not valid is nothing that anybody could use: it is written anew.
      const stored = usageDocument[this.#options.of].safeParse(data).data?.used ?? {};
      const merged = this.#merged(stored, entries);
      if (merged === undefined) return;
      try {
        await session.use((token) => kv.write(path, { used: merged }, version, { token }));
        return;
      } catch (error) {
        if (!lostRace(error) || attempt === ATTEMPTS) throw error;
      }
    }
  }

  /** @returns undefined where nothing would change */
  #merged(
    stored: Readonly<Record<string, number>>,
    entries: readonly (readonly [name: string, minute: number])[],
  ): Record<string, number> | undefined {
    const all = new Map(Object.entries(stored));
    let changed = false;
    for (const [name, minute] of entries) {
      if ((all.get(name) ?? -1) >= minute) continue;
      all.set(name, minute);
      changed = true;
    }
    if (!changed) return undefined;
    const oldest = Math.floor((this.#options.now ?? Date.now)() / 60_000) - KEPT_MINUTES;
    const kept = [...all].filter(([, minute]) => minute >= oldest);
    return Object.fromEntries(kept.length > MAX_NAMES ? kept.sort(([, a], [, b]) => b - a).slice(0, MAX_NAMES) : kept);
  }
}
