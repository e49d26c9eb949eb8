import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { PosternError } from '#broker/error.ts';
import type { DurableFile } from '#broker/operator/bulk/durable-file.ts';
import { Issuances, issuanceLines, openLocked } from '#broker/operator/bulk/issuances.ts';
import type { Lock } from '#broker/operator/bulk/lock.ts';

const at = z.iso.datetime();
const observation = z.strictObject({
  /** When Auth0's log was asked, and how far back it reached then. */
  at,
  since: at,
  /** The last token that the application got in between, and what it did last there at all. null: nothing. */
  used: at.nullable(),
  tried: at.nullable(),
});

/** What an application did, as far as Auth0's log told at one time. */
export type Observation = z.infer<typeof observation>;

const head = z.strictObject({ migration: z.literal(1), vault: z.string(), domain: z.string() });

/** Facts about one application, each one line; what is about to be done stands before what is done. */
const fact = z.union([
  z.strictObject({ applied: z.string(), tenant: z.string(), at }),
  z.strictObject({ verified: z.string(), at, noticed: z.array(z.string()), changed: z.array(z.string()) }),
  /** By whose name Auth0 made the tenant's token: the application that all tenants share. */
  z.strictObject({ shared: z.string(), at }),
  z.strictObject({ observed: z.string(), ...observation.shape }),
  z.strictObject({ disabling: z.string(), at, grant_types: z.array(z.string()) }),
  z.strictObject({ disabled: z.string(), at }),
  z.strictObject({ restored: z.string(), at }),
  z.strictObject({ deleting: z.string(), at }),
  z.strictObject({ deleted: z.string(), at }),
]);

const line = z.union([head, ...issuanceLines, fact]);

export type Fact = z.infer<typeof fact>;

/** What the journal knows of one application. Times are ISO 8601. */
export interface Migrated {
  tenant?: string;
  appliedAt?: string;
  /** Of the last comparison: claims by which services notice, and those that always change. */
  verified?: { at: string; noticed: readonly string[]; changed: readonly string[] };
  observations: Observation[];
  /** Its grant types before it was disabled. */
  grantTypes?: readonly string[];
  state: 'planned' | 'applied' | 'disabling' | 'disabled' | 'deleting' | 'deleted';
}

/** Of a migration, from the first tenant to the last application that is deleted; holds no secret. Runs go on where one was killed. */
export class MigrationJournal extends Issuances {
  readonly #applications: Map<string, Migrated>;
  readonly #shared: Set<string>;

  private constructor(file: DurableFile, lock: Lock, lines: readonly z.infer<typeof line>[]) {
    super(file, lock, lines);
    this.#applications = gathered(lines);
    this.#shared = new Set(lines.flatMap((one) => ('shared' in one ? one.shared : [])));
  }

  /**
   * @param of the Vault's address and the Auth0 tenant's domain
   * @throws {PosternError} conflict where it is in use or another migration's; invalid_request
   */
  static open(path: string, of: { vault: string; domain: string }): Promise<MigrationJournal> {
    return openLocked(path, async (file, lock) => {
      const lines = file.lines.map((one, index) => parsed(path, one, index + 1));
      const [first] = lines;
      if (first === undefined) await file.append({ migration: 1, ...of });
      else if (!('migration' in first) || first.vault !== of.vault || first.domain !== of.domain)
        throw new PosternError('conflict', `${path} is the journal of another migration${whose(first)}`, {
          detail: 'Set VAULT_ADDR and AUTH0_DOMAIN as they were, or name another file with --journal.',
        });
      return new MigrationJournal(file, lock, lines);
    });
  }

  /** What stands there now, read beside whoever writes. @returns empty where there is no journal yet. @throws {PosternError} */
  static async read(path: string): Promise<ReadonlyMap<string, Migrated>> {
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return '';
      throw new PosternError('invalid_request', `${path} can't be read (${code})`);
    });
    // The last line may be on its way.
    const lines = text.split('\n').slice(0, -1);
    return gathered(lines.map((one, index) => parsed(path, one, index + 1)));
  }

  /** client_ids by which tenants' tokens came from Auth0. */
  get shared(): ReadonlySet<string> {
    return this.#shared;
  }

  of(clientId: string): Migrated {
    return this.#applications.get(clientId) ?? { observations: [], state: 'planned' };
  }

  /** On the disk when it resolves; {@link of} knows it from then on. */
  async note(one: Fact): Promise<void> {
    await this.append(one);
    if ('shared' in one) this.#shared.add(one.shared);
    else take(this.#applications, one);
  }
}

function parsed(path: string, one: unknown, number: number): z.infer<typeof line> {
  let value = one;
  try {
    if (typeof one === 'string') value = JSON.parse(one);
  } catch {
    value = undefined;
  }
  const result = line.safeParse(value);
  if (result.success) return result.data;
  throw new PosternError('invalid_request', `Line ${number} of ${path} is none of a migration's journal`, {
    detail: 'Name another file with --journal.',
  });
}

function whose(first: z.infer<typeof line>): string {
  return 'migration' in first ? ` (${first.vault}, ${first.domain})` : '';
}

function gathered(lines: readonly z.infer<typeof line>[]): Map<string, Migrated> {
  const applications = new Map<string, Migrated>();
  for (const one of lines) if (!('migration' in one || 'intended' in one || 'done' in one || 'shared' in one)) take(applications, one);
  return applications;
}

function take(applications: Map<string, Migrated>, one: Exclude<Fact, { shared: string }>): void {
  const clientId = Object.values(one)[0] as string;
  const now = applications.get(clientId) ?? { observations: [], state: 'planned' };
  applications.set(clientId, now);
  if ('applied' in one) {
    Object.assign(now, { tenant: one.tenant, appliedAt: one.at });
    if (now.state === 'planned') now.state = 'applied';
  } else if ('verified' in one) now.verified = { at: one.at, noticed: one.noticed, changed: one.changed };
  else if ('observed' in one) {
    const { observed: _, ...seen } = one;
    now.observations.push(seen);
  } else if ('disabling' in one) Object.assign(now, { state: 'disabling', grantTypes: one.grant_types });
  else if ('disabled' in one) now.state = 'disabled';
  else if ('restored' in one) now.state = now.tenant === undefined ? 'planned' : 'applied';
  else if ('deleting' in one) now.state = 'deleting';
  else now.state = 'deleted';
}
