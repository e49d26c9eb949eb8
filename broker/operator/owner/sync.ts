import type { Directory, Standing } from '#broker/credential/directory.ts';
import type { Departure } from '#broker/credential/owner.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { announceDepartures } from '#broker/operator/departure.ts';
import { listKeys } from '#broker/operator/key/list.ts';
import type { KeyView } from '#broker/operator/key/list.ts';
import { revokeKeys } from '#broker/operator/key/revoke.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import type { Progress } from '#broker/operator/secret/secret-id.ts';
import { unfitOwner } from './standing.ts';

export interface SyncOptions {
  directory: Directory;
  /** In the order in which they are done. */
  tenants: readonly string[];
  /** Only looks. */
  dryRun?: boolean;
  /** Whoever belongs to an organization that Auth0 doesn't know has left it. Default: their keys stay, and it is told. */
  missingOrganizationsLeft?: boolean;
  /** People asked about at once. Default 4. */
  width?: number;
  now?: () => number;
  onProgress?: Progress;
  signal?: AbortSignal;
}

/** Somebody whose keys end, or some of them. */
export interface Gone {
  tenant: string;
  owner: string;
  organization: string;
  /** `left`: the organization · `permissions`: they lost some that these keys have */
  why: 'deleted' | 'blocked' | 'left' | 'permissions';
  lost: string[];
  /** Key ids. */
  keys: string[];
}

export interface SyncResult {
  tenants: number;
  owners: number;
  /** Keys with an owner that were looked at. */
  keys: number;
  gone: Gone[];
  /** Organizations of keys that Auth0 doesn't know. */
  unknown_organizations: string[];
}

/**
 * Ends the keys of people who went or may do less, tenant after tenant: first every broker is told, then the keys are destroyed. A run that
 * broke off is simply run again: what it ended is not found any more.
 * @throws {PosternError}
 */
export async function syncOwners(access: VaultAccess, options: SyncOptions): Promise<SyncResult> {
  const { tenants, signal, onProgress, dryRun = false, now = Date.now } = options;
  const look = new Look(options);
  const result: SyncResult = { tenants: 0, owners: 0, keys: 0, gone: [], unknown_organizations: [] };
  for (const [done, tenant] of tenants.entries()) {
    signal?.throwIfAborted();
    const owned = (await listKeys(access, tenant, signal === undefined ? {} : { signal })).filter(isOwned);
    const groups = [...Map.groupBy(owned, ({ owner, organization }) => JSON.stringify([owner, organization])).values()];
    const found = await inParallel(groups, options.width ?? 4, (keys) => look.at(tenant, keys));
    const gone = found.filter((one) => one !== undefined);
    if (!dryRun && gone.length > 0) await end(access, tenant, gone, Math.floor(now() / 1000));
    result.tenants += 1;
    result.owners += groups.length;
    result.keys += owned.length;
    result.gone.push(...gone);
    onProgress?.(done + 1, tenants.length);
  }
  return { ...result, unknown_organizations: [...look.unknown].sort() };
}

async function end(access: VaultAccess, tenant: string, gone: readonly Gone[], at: number): Promise<void> {
  // Nothing is known as announced: an announcement that is made twice does no harm.
  await announceDepartures(
    access,
    { knownAt: () => undefined },
    gone.map((one) => departureOf(one, at)),
  );
  await revokeKeys(access, { tenant, keys: gone.flatMap(({ keys }) => keys) });
}

/** Access tokens that they hold make no new keys either. */
function departureOf({ owner, organization, why }: Gone, at: number): Departure {
  if (why === 'deleted' || why === 'blocked') return { owner, at };
  return why === 'left' ? { owner, organization, at } : { owner, organization, at, only: 'sessions' };
}

type OwnedKey = KeyView & { readonly owner: string; readonly organization: string };

function isOwned(key: KeyView): key is OwnedKey {
  return key.owner !== null && key.organization !== null && key.state !== 'ended';
}

/** One run's questions to the directory: nobody, and no organization, is asked about twice. */
class Look {
  readonly unknown = new Set<string>();
  readonly #options: SyncOptions;
  readonly #directory: Directory;

  constructor(options: SyncOptions) {
    this.#options = options;
    const { directory } = options;
    const standings = new Map<string, Promise<Standing>>();
    const members = new Map<string, ReturnType<Directory['membersOf']>>();
    this.#directory = {
      standingOf: (person) => once(standings, person, () => directory.standingOf(person)),
      membersOf: (organization) => once(members, organization, () => directory.membersOf(organization)),
      lost: (...who) => directory.lost(...who),
    };
  }

  /** @param keys all of one person in one organization */
  async at(tenant: string, keys: readonly OwnedKey[]): Promise<Gone | undefined> {
    const { missingOrganizationsLeft = false, signal } = this.#options;
    signal?.throwIfAborted();
    const { owner, organization } = keys[0]!;
    const gone = (why: Gone['why'], of = keys, lost: string[] = []): Gone => ({
      tenant,
      owner,
      organization,
      why,
      lost,
      keys: of.map(({ key_id: keyId }) => keyId),
    });
    const scopes = [...new Set(keys.flatMap((key) => key.scopes ?? []))].sort();
    const unfit = await unfitOwner(this.#directory, { id: owner, organization }, scopes);
    if (unfit === undefined) return undefined;
    const { why, lost } = unfit;
    if (why === 'unknown_organization') {
      this.unknown.add(organization);
      return missingOrganizationsLeft ? gone('left') : undefined;
    }
    if (why !== 'permissions') return gone(why);
    return gone(
      why,
      keys.filter((key) => key.scopes?.some((scope) => lost.includes(scope)) ?? true),
      lost,
    );
  }
}

function once<T>(known: Map<string, Promise<T>>, name: string, ask: () => Promise<T>): Promise<T> {
  const answer = known.get(name) ?? ask();
  known.set(name, answer);
  return answer;
}
