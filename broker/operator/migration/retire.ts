import type { Migrated, MigrationJournal, Observation } from './journal.ts';
import { useOf } from './watch.ts';
import type { Use } from './watch.ts';
import type { Mapped } from './mapping.ts';

/** An application as it stands at Auth0 now. */
export interface Retirable {
  readonly clientId: string;
  readonly name: string;
  /** `non_interactive` for M2M applications. */
  readonly type: string | undefined;
  readonly grantTypes: readonly string[];
  /** Whether people come back to it after a login. */
  readonly hasCallbacks: boolean;
  /** Whether it carries the mark of the application that all tenants share. */
  readonly isShared: boolean;
}

/** Auth0's applications and its log, as far as retiring needs them. Each call throws a PosternError in an operator's words. */
export interface Applications {
  /** undefined: there is none. */
  find(clientId: string): Promise<Retirable | undefined>;
  /** What it may ask for. */
  grants(clientId: string): Promise<readonly { readonly audience: string; readonly scopes: readonly string[] | 'all' }[]>;
  setGrantTypes(clientId: string, grantTypes: readonly string[]): Promise<void>;
  remove(clientId: string): Promise<void>;
  /** What the log tells of it now. */
  observe(clientId: string): Promise<Observation>;
}

export const CLIENT_CREDENTIALS = 'client_credentials';

/** The tenant in an application's place. */
export interface Successor {
  readonly disabled: boolean;
  /** Scopes that it is granted, by audience, and all that the API has. */
  readonly grants: ReadonlyMap<string, { readonly granted: readonly string[]; readonly all: readonly string[] }>;
}

export interface Guard {
  readonly applications: Applications;
  /** client_ids that Postern itself works with, and why each: these stay whatever is forced. */
  readonly own: ReadonlyMap<string, string>;
  /** As Vault has it now; undefined: it is gone. */
  readonly stands: (tenant: string) => Promise<Successor | undefined>;
  /** When each tenant was last seen at a broker, ISO 8601. */
  readonly lastUse: ReadonlyMap<string, string>;
  /** Seconds without use. */
  readonly unusedFor: number;
  /** Also one that people log in to, or that may do more than its tenant. */
  readonly force: boolean;
  /** Also one that wasn't verified, or whose tenant was never used. */
  readonly unverified: boolean;
}

export type Action = 'delete' | 'disable';

export interface Verdict {
  readonly client_id: string;
  readonly name: string;
  readonly tenant: string;
  /** What is to be done, or was; `none`: there is nothing left to do; `wait`: not now, for these reasons. */
  readonly action: Action | 'none' | 'wait';
  readonly reasons: readonly string[];
  readonly last_use: string | null;
  readonly watched_since: string | null;
}

export interface Judged {
  readonly verdict: Verdict;
  /** undefined: Auth0 has none, or wasn't asked. */
  readonly found: Retirable | undefined;
}

/** Whether an application may be deleted or disabled now. Writes down what Auth0's log tells of it; changes nothing else. */
export async function judge(one: Mapped, action: Action, guard: Guard, journal: MigrationJournal): Promise<Judged> {
  const { client_id: clientId, name, tenant } = one;
  const told = (what: Verdict['action'], reasons: readonly string[], use?: Use): Verdict => ({
    client_id: clientId,
    name,
    tenant,
    action: what,
    reasons,
    last_use: iso(use?.tried),
    watched_since: iso(use?.since),
  });
  if (journal.of(clientId).state === 'deleted') return { verdict: told('none', ['it is deleted']), found: undefined };
  const found = await guard.applications.find(clientId);
  if (found === undefined) return { verdict: told('none', ['Auth0 has it no longer']), found };
  if (action === 'disable' && !found.grantTypes.includes(CLIENT_CREDENTIALS)) return { verdict: told('none', ['it is disabled']), found };
  const own = guard.own.get(clientId) ?? (found.isShared ? 'it carries the mark of the application that all tenants share' : undefined);
  if (own !== undefined) return { verdict: told('wait', [`never: ${own}`]), found };
  const { tenant: made } = journal.of(clientId);
  const successor = made === undefined ? undefined : await guard.stands(made);
  const reasons = [...standing(journal.of(clientId), one, guard, successor), ...(await otherwiseUsed(found, guard, successor))];
  const observation = await guard.applications.observe(clientId);
  await journal.note({ observed: clientId, ...observation });
  const use = useOf(journal.of(clientId).observations);
  reasons.push(...tooSoon(use, guard.unusedFor, Date.parse(observation.at)));
  return { verdict: told(reasons.length === 0 ? action : 'wait', reasons, use), found };
}

/** How far its tenant is. */
function standing(known: Migrated, { migrate }: Mapped, guard: Guard, successor: Successor | undefined): string[] {
  const { tenant, verified } = known;
  const { force, unverified, lastUse } = guard;
  if (!migrate) return force ? [] : ['the plan leaves it as it is (or --force, by its name)'];
  if (tenant === undefined) return ['no tenant stands in its place: postern migrate apply'];
  if (successor === undefined) return [`its tenant ${tenant} is gone`];
  if (successor.disabled) return [`its tenant ${tenant} is disabled`];
  if (unverified) return [];
  const reasons: string[] = [];
  if (verified === undefined) reasons.push('not verified: postern migrate verify (or --unverified)');
  else if (verified.noticed.length > 0) reasons.push(`services would notice by ${verified.noticed.join(', ')} (postern migrate verify)`);
  // The comparison itself was seen by a broker.
  const seen = Date.parse(lastUse.get(tenant) ?? '');
  if (!(seen > Date.parse(verified?.at ?? '1970-01-01')))
    reasons.push(`no broker has seen the tenant ${tenant}${verified === undefined ? '' : ' since'} (or --unverified)`);
  return reasons;
}

/** What it is used for beside the tokens that its tenant gets now. */
async function otherwiseUsed(found: Retirable, guard: Guard, successor: Successor | undefined): Promise<string[]> {
  if (guard.force) return [];
  const reasons: string[] = [];
  const others = found.grantTypes.filter((type) => type !== CLIENT_CREDENTIALS);
  if (others.length > 0) reasons.push(`its other grant types: ${others.join(', ')} (or --force)`);
  if (found.type !== undefined && found.type !== 'non_interactive')
    reasons.push(`its type is ${found.type}, no M2M application (or --force)`);
  if (found.hasCallbacks) reasons.push('it has callback URLs, so people may log in to it (or --force)');
  for (const { audience, scopes } of await guard.applications.grants(found.clientId)) {
    const carried = successor?.grants.get(audience);
    const lacking = carried && (scopes === 'all' ? carried.all : scopes).filter((scope) => !carried.granted.includes(scope));
    if (lacking === undefined) reasons.push(`its tenant has no grant for ${audience} (or --force)`);
    else if (lacking.length > 0) reasons.push(`its tenant lacks ${lacking.join(' ')} of ${audience} (or --force)`);
  }
  return reasons;
}

function tooSoon({ used, tried, since }: Use, unusedFor: number, now: number): string[] {
  const from = now - unusedFor * 1000;
  if (used !== undefined && used > from) return [`it got a token at ${iso(used)}`];
  if (tried !== undefined && tried > from) return [`somebody still tries: it was refused at ${iso(tried)}`];
  // Used before that time, and since then in sight.
  if (since !== undefined && since <= from) return [];
  return [
    `Auth0's log ${since === undefined ? 'tells nothing' : `and earlier looks tell since ${iso(since)} alone`}: look again daily ` +
      `(postern migrate status --observe) until ${iso((since ?? now) + unusedFor * 1000)}, or take a shorter --unused-for`,
  ];
}

/** To the second. */
function iso(time: number | undefined): string | null {
  return time === undefined ? null : `${new Date(time).toISOString().slice(0, 19)}Z`;
}

/**
 * Does what was judged, each step noted before and after. Whoever is killed in between runs it again.
 * @throws {PosternError}
 */
export async function carryOut({ applications }: Guard, journal: MigrationJournal, { action, client_id: id }: Verdict, found: Retirable) {
  const now = (): string => new Date().toISOString();
  if (action === 'disable') {
    await journal.note({ disabling: id, at: now(), grant_types: [...found.grantTypes] });
    await applications.setGrantTypes(
      id,
      found.grantTypes.filter((type) => type !== CLIENT_CREDENTIALS),
    );
    await journal.note({ disabled: id, at: now() });
  } else if (action === 'delete') {
    await journal.note({ deleting: id, at: now() });
    await applications.remove(id);
    await journal.note({ deleted: id, at: now() });
  }
}

/** Notes what a killed run did and couldn't write down. */
export async function settle(journal: MigrationJournal, one: Mapped, found: Retirable | undefined): Promise<void> {
  const { state } = journal.of(one.client_id);
  const at = new Date().toISOString();
  if (found === undefined && state !== 'deleted') await journal.note({ deleted: one.client_id, at });
  else if (found !== undefined && state === 'disabling' && !found.grantTypes.includes(CLIENT_CREDENTIALS))
    await journal.note({ disabled: one.client_id, at });
}

/** Lets an application in again that was disabled here. @returns whether there was something to do. @throws {PosternError} */
export async function restore(applications: Applications, journal: MigrationJournal, clientId: string): Promise<boolean> {
  const { state, grantTypes } = journal.of(clientId);
  if (grantTypes === undefined || !['disabled', 'disabling'].includes(state)) return false;
  const found = await applications.find(clientId);
  if (found === undefined) return false;
  await applications.setGrantTypes(clientId, [...new Set([...found.grantTypes, ...grantTypes])]);
  await journal.note({ restored: clientId, at: new Date().toISOString() });
  return true;
}
