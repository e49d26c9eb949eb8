import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { Problem } from './problem.ts';

/**
 * As the IETF draft "The Idempotency-Key HTTP Header Field" has it; so long that it can't be guessed, since answers are encrypted under it.
 */
export const IDEMPOTENCY_KEY = /^[\x21-\x7e]{20,255}$/;

/** What a request asked for; the answer belongs to exactly this. */
export interface RepeatableRequest {
  readonly caller: string;
  readonly operation: string;
  readonly key: string;
  /** Below which path the records lie. Default `state/idempotency`. */
  readonly place?: string;
  /** Everything else that the answer depends on. */
  readonly input: unknown;
}

export interface RepeatableAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

export interface Work {
  /**
   * Does it.
   * @param marker names this request, and is the same for each attempt at it
   * @param keep notes what the answer will be, before the last step that can't be taken back
   */
  run(marker: string, keep: (draft: RepeatableAnswer) => Promise<void>): Promise<RepeatableAnswer>;
  /**
   * Before each further attempt: earlier ones ended without an answer.
   * @param draft what the last of them has kept
   * @returns the answer where they had done it all; else undefined, after what they left behind was taken back
   */
  recover?(marker: string, draft: RepeatableAnswer | undefined): Promise<RepeatableAnswer | undefined>;
  /** Takes back what this answer gave: another attempt was faster, and its answer counts. */
  undo?(answer: RepeatableAnswer): Promise<void>;
}

export interface IdempotencyOptions {
  /** How long an answer is kept, ms. Default 24 h. */
  keepMs?: number;
  /** After how long without an end an attempt counts as dead, ms. Default 20,000: longer than any request may take. */
  leaseMs?: number;
  /** How long a repeated request waits for the first one, ms. Default 5000. */
  patienceMs?: number;
  now?: () => number;
}

const DAY = 86_400_000;
/** Requests that one of the 256 documents holds; Vault's own limit is about 1 MB a document. */
const MAX_ENTRIES = 200;
/** Each lost race means that somebody else's request went through. */
const ATTEMPTS = 60;

const entrySchema = z.strictObject({
  /** HMAC of the request, under a key derived from the Idempotency-Key. */
  print: z.string(),
  /** ms since 1970: begun, or answered. */
  at: z.number(),
  /** The attempt broke: the next one need not wait. */
  broken: z.boolean().optional(),
  /** Of the attempt under way. */
  owner: z.string(),
  /** Encrypted; absent while the attempt is under way. */
  answer: z.string().optional(),
  /** What the answer will be where the attempt ends well; encrypted. */
  draft: z.string().optional(),
});
const documentSchema = z.object({ entries: z.record(z.string(), entrySchema).default({}) });

type Entry = z.infer<typeof entrySchema>;
interface Shard {
  entries: Record<string, Entry>;
  version: number;
}

/**
 * Makes a request that creates something repeatable: the same Idempotency-Key and the same request within 24 h get the same answer, on
 * every
 * replica. Records lie in Vault, written with the caller's own token by check-and-set. Answers hold secrets, so each is encrypted under a
 * key
 * that only the Idempotency-Key yields (HKDF, RFC 5869), and of that key only a hash is kept: who reads the storage reads nothing.
 * A document is pruned whenever it is written.
 */
export class Idempotency {
  readonly #keepMs: number;
  readonly #leaseMs: number;
  readonly #patienceMs: number;
  readonly #now: () => number;

  constructor(options: IdempotencyOptions = {}) {
    this.#keepMs = options.keepMs ?? DAY;
    this.#leaseMs = options.leaseMs ?? 20_000;
    this.#patienceMs = options.patienceMs ?? 5000;
    this.#now = options.now ?? Date.now;
  }

  /** @throws {Problem} idempotency-key-reused, idempotency-in-progress; whatever the work throws */
  async run(access: VaultAccess, request: RepeatableRequest, work: Work): Promise<{ answer: RepeatableAnswer; replayed: boolean }> {
    const keys = new DerivedKeys(request);
    const begun = await this.#begin(access, keys);
    if ('answer' in begun) return { answer: keys.decrypt(begun.answer), replayed: true };
    const { owner, before } = begun;
    const record = (more: Partial<Entry>): Promise<boolean> =>
      this.#change(access, keys, owner, (entry) => ({ ...entry, at: this.#now(), ...more }));
    let answer: RepeatableAnswer | undefined;
    try {
      if (before !== undefined)
        answer = await work.recover?.(keys.marker, before.draft === undefined ? undefined : keys.decrypt(before.draft));
      answer ??= await work.run(keys.marker, async (draft) => {
        if (!(await record({ draft: keys.encrypt(draft) }))) throw inProgress();
      });
      if (await record({ answer: keys.encrypt(answer) })) return { answer, replayed: false };
    } catch (error) {
      await this.#giveUp(access, keys, owner, isRefusal(error)).catch(() => {});
      throw error;
    }
    // It took so long that another attempt took over.
    await work.undo?.(answer);
    throw inProgress();
  }

  async #begin(access: VaultAccess, keys: DerivedKeys): Promise<{ answer: string } | { owner: string; before: Entry | undefined }> {
    const owner = randomUUID();
    const deadline = performance.now() + this.#patienceMs;
    for (let lost = 0; lost < ATTEMPTS;) {
      const shard = await this.#read(access, keys);
      const entry = shard.entries[keys.id];
      if (entry !== undefined && entry.print !== keys.print)
        throw new Problem('idempotency-key-reused', 'This Idempotency-Key was used for another request; each needs its own');
      if (entry?.answer !== undefined) return { answer: entry.answer };
      if (entry !== undefined && entry.broken !== true && entry.at + this.#leaseMs > this.#now()) {
        if (performance.now() > deadline) throw inProgress();
        await sleep(100 + Math.random() * 100);
        continue;
      }
      if (entry === undefined && Object.keys(shard.entries).length >= MAX_ENTRIES)
        throw new Problem('too-many-requests', 'Too many Idempotency-Keys were used within a day', { retryAfter: 3600 });
      // A draft stays until it is used: this attempt may break off as well.
      const begun = { print: keys.print, at: this.#now(), owner, ...(entry?.draft === undefined ? {} : { draft: entry.draft }) };
      if (await this.#write(access, keys, shard, begun)) return { owner, before: entry };
      lost += 1;
    }
    throw inProgress();
  }

  /** What was refused left nothing behind, so its key is free again; what broke may have, so the next attempt begins by undoing it. */
  async #giveUp(access: VaultAccess, keys: DerivedKeys, owner: string, refused: boolean): Promise<void> {
    await this.#change(access, keys, owner, (entry) =>
      refused && entry.draft === undefined ? undefined : { ...entry, at: this.#now(), broken: true },
    );
  }

  /** @returns false where another attempt has taken over */
  async #change(access: VaultAccess, keys: DerivedKeys, owner: string, edit: (entry: Entry) => Entry | undefined): Promise<boolean> {
    for (let lost = 0; lost < ATTEMPTS; lost += 1) {
      const shard = await this.#read(access, keys);
      const entry = shard.entries[keys.id];
      if (entry?.owner !== owner) return false;
      if (await this.#write(access, keys, shard, edit(entry))) return true;
    }
    throw new PosternError('temporarily_unavailable', 'The answer could not be recorded', {
      detail: 'Each write lost the race against another request',
    });
  }

  async #read(access: VaultAccess, { path }: DerivedKeys): Promise<Shard> {
    const { data, version } = await access.call('look up the Idempotency-Key', ({ documents, as }) => documents.read(path, as));
    const parsed = documentSchema.safeParse(data ?? {});
    if (!parsed.success)
      throw new PosternError('misconfigured', 'The record of Idempotency-Keys is not valid', {
        detail: `Delete ${access.mounts.kv}/${path} in Vault: requests made with a key before may then be carried out again`,
      });
    const oldest = this.#now() - this.#keepMs;
    const entries = Object.entries(parsed.data.entries).filter(([, { at }]) => at > oldest);
    return { entries: Object.fromEntries(entries), version };
  }

  /** @returns false where somebody else was faster */
  async #write(access: VaultAccess, { path, id }: DerivedKeys, { entries, version }: Shard, entry: Entry | undefined): Promise<boolean> {
    const { [id]: _, ...others } = entries;
    const data = { entries: entry === undefined ? others : { ...others, [id]: entry } };
    try {
      await access.call('record the Idempotency-Key', ({ documents, as }) => documents.write(path, data, version, as));
      return true;
    } catch (error) {
      if (!(error instanceof PosternError && error.code === 'conflict')) throw error;
      await sleep(Math.random() * 30);
      return false;
    }
  }
}

/** Everything that the Idempotency-Key yields. None of it leads back to the key, or from one to another. */
class DerivedKeys {
  readonly id: string;
  readonly path: string;
  readonly print: string;
  readonly marker: string;
  readonly #secret: Buffer;

  constructor({ caller, operation, key, input, place = 'state/idempotency' }: RepeatableRequest) {
    const derive = (use: string): Buffer => Buffer.from(hkdfSync('sha256', key, 'postern idempotency v1', `${use}\0${caller}`, 32));
    this.id = derive('id').toString('base64url');
    this.path = `${place}/${derive('shard').subarray(0, 1).toString('hex')}`;
    this.marker = derive('marker').toString('hex').slice(0, 24);
    this.print = createHmac('sha256', derive('print'))
      .update(`${operation}\0${canonical(input)}`)
      .digest('base64url');
    this.#secret = derive('answer');
  }

  encrypt(answer: RepeatableAnswer): string {
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#secret, iv).setAAD(Buffer.from(this.id));
    return Buffer.concat([iv, cipher.update(JSON.stringify(answer), 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64url');
  }

  /** @throws {PosternError} misconfigured where the record was changed by another hand */
  decrypt(text: string): RepeatableAnswer {
    try {
      const all = Buffer.from(text, 'base64url');
      const decipher = createDecipheriv('aes-256-gcm', this.#secret, all.subarray(0, 12))
        .setAAD(Buffer.from(this.id))
        .setAuthTag(all.subarray(-16));
      return JSON.parse(Buffer.concat([decipher.update(all.subarray(12, -16)), decipher.final()]).toString('utf8')) as RepeatableAnswer;
    } catch {
      throw new PosternError('misconfigured', 'The recorded answer cannot be read', {
        detail: 'A record of Idempotency-Keys in Vault was changed by something else',
      });
    }
  }
}

/** JSON with its names in order, so that the same request has the same text. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value)
    .filter(([, one]) => one !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, one]) => `${JSON.stringify(name)}:${canonical(one)}`).join(',')}}`;
}

/** Refused before anything was done: what Vault denies or a race loses may come half-way. */
function isRefusal(error: unknown): boolean {
  return error instanceof PosternError ? error.code === 'invalid_request' || error.code === 'not_found' : error instanceof Problem;
}

function inProgress(): Problem {
  return new Problem('idempotency-in-progress', 'A request with this Idempotency-Key is under way, or has just broken off; repeat it', {
    retryAfter: 2,
  });
}
