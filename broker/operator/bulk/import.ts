import type { Api } from '#broker/authorization/documents.ts';
import { PosternError } from '#broker/error.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { readAnnouncements } from '#broker/operator/announcement.ts';
import { inParallel } from '#broker/operator/parallel.ts';
import { patiently } from '#broker/operator/patience.ts';
import { hasPlugin } from '#broker/operator/plugin/mounts.ts';
import type { Progress } from '#broker/operator/secret/secret-id.ts';
import { writeTenant } from '#broker/operator/tenant/create.ts';
import type { Written } from '#broker/operator/tenant/create.ts';
import { enableTenant, stopTenant } from '#broker/operator/tenant/disable.ts';
import { tenantIndex } from '#broker/operator/tenant/list.ts';
import { tombstoneNames } from '#broker/operator/tenant/tombstone.ts';
import { findTenant } from '#broker/operator/tenant/view.ts';
import { addTrust } from '#broker/operator/trust/add.ts';
import { listTrusts } from '#broker/operator/trust/view.ts';
import { Issuer } from './credential.ts';
import type { Issuing } from './credential.ts';
import { differences, trustKey } from './differences.ts';
import type { Fault, Row } from './row.ts';

export interface ImportOptions {
  readonly apis: ReadonlyMap<string, Api | undefined>;
  /** Where credentials go; needed where a row asks for one. */
  readonly issuing?: Issuing | undefined;
  /** Change those that are there and differ; else that is a failure. */
  readonly update?: boolean | undefined;
  /** With `update`: what they have and the file doesn't name is taken away. */
  readonly replace?: boolean | undefined;
  /** Look, and change nothing. */
  readonly dryRun?: boolean | undefined;
  /** Tenants at once. */
  readonly width: number;
  /** One is as its row says, and what it asked for is issued. */
  readonly onSettled?: (row: Row) => Promise<void>;
  readonly onProgress?: Progress;
  readonly signal?: AbortSignal;
}

export interface Imported {
  /** Each row is one of these three, of `failed` or of `left`. */
  made: number;
  changed: number;
  unchanged: number;
  failed: (Fault & { remedy: string | null })[];
  /** Not begun, after a fault that the rest would meet too, or an interrupt. */
  left: number;
  issued: number;
}

/** Vault's to mend: the rest would fail alike. */
const FOR_ALL: readonly string[] = ['temporarily_unavailable', 'too_many_requests', 'access_denied', 'misconfigured'];

/** Makes the rows' tenants true, each by itself; run again, it goes on. What is there already is left as it is. */
export async function importTenants(access: VaultAccess, rows: readonly Row[], options: ImportOptions): Promise<Imported> {
  const { signal, dryRun = false, issuing } = options;
  const result: Imported = { made: 0, changed: 0, unchanged: 0, failed: [], left: 0, issued: 0 };
  const [withPlugin, announcements, issuer] = await Promise.all([
    hasPlugin(access),
    readAnnouncements(access),
    issuing === undefined || dryRun ? undefined : Issuer.make(access, issuing),
  ]);
  const { plugin } = access.mounts;
  // What lists tell of all isn't asked of each.
  const [{ roles, documents }, deleted, pluginRoles] = await Promise.all([
    tenantIndex(access),
    tombstoneNames(access),
    withPlugin ? access.call("list the plugin's roles", ({ client, as }) => client.list(`${plugin}/roles`, as)) : undefined,
  ]);
  const wasDeleted = new Set(deleted);
  const known = { ...options, withPlugin, disabled: new Set(announcements.disabled), inPlugin: pluginRoles && new Set(pluginRoles) };
  let stopped = false;
  let done = 0;
  await inParallel(rows, options.width, async (row) => {
    if (stopped || signal?.aborted) {
      result.left += 1;
      return;
    }
    try {
      const isNew = !roles.has(row.tenant) && !documents.has(row.tenant);
      const { outcome, made } = isNew
        ? await make(access, row, { ...known, isNew: !wasDeleted.has(row.tenant) })
        : await settle(access, row, known);
      result[outcome] += 1;
      if (issuer !== undefined && (await patiently(() => issuer.issue(row, made)))) result.issued += 1;
      await options.onSettled?.(row);
    } catch (error) {
      if (!(error instanceof PosternError)) throw error;
      if (FOR_ALL.includes(error.code)) stopped = true;
      result.failed.push({ at: row.at, tenant: row.tenant, message: error.message, remedy: error.detail ?? null });
    }
    done += 1;
    options.onProgress?.(done, rows.length);
  });
  result.failed.sort((a, b) => a.at - b.at);
  return result;
}

interface Known extends ImportOptions {
  readonly withPlugin: boolean;
  readonly disabled: ReadonlySet<string>;
  readonly inPlugin: ReadonlySet<string> | undefined;
}

interface Settled {
  readonly outcome: 'made' | 'changed' | 'unchanged';
  /** Made now, so that it can have no credential yet. */
  readonly made?: Written | undefined;
}

/** One of which Vault listed nothing. */
async function make(access: VaultAccess, row: Row, known: Known & { isNew: boolean }): Promise<Settled> {
  const { dryRun, apis, withPlugin, isNew } = known;
  if (dryRun) return { outcome: 'made' };
  let begun = false;
  return patiently(async () => {
    // Of what a quota broke off a part is there.
    if (begun) {
      await complete(access, row, known);
      return { outcome: 'made' };
    }
    begun = true;
    const made = await writeTenant(access, row.tenant, row.spec, { apis, withPlugin, isNew });
    await settleState(access, row, known);
    return { outcome: 'made', made };
  });
}

/** One of which there is something. */
function settle(access: VaultAccess, row: Row, known: Known): Promise<Settled> {
  return patiently(async () => ({ outcome: await complete(access, row, known) }));
}

async function complete(access: VaultAccess, row: Row, known: Known): Promise<Settled['outcome']> {
  const { tenant, spec } = row;
  const { dryRun, update, replace, apis, withPlugin } = known;
  const write = (change: boolean): Promise<unknown> =>
    writeTenant(access, tenant, spec, { apis, withPlugin, update: change, replace: replace === true });
  const found = await findTenant(access, tenant);
  const complete = found.role !== undefined && found.data !== undefined;
  const differs = complete ? differences(row, found) : [];
  const isDisabled = known.disabled.has(tenant) || found.data?.['disabled'] === true;
  if (row.disabled !== undefined && row.disabled !== isDisabled && complete) differs.push('disabled');
  if (differs.length > 0 && !update)
    throw new PosternError('conflict', `${tenant} is there and differs: ${differs.join(', ')}`, {
      detail: 'It was left as it is. --update changes it to what the file says.',
    });
  // What a killed run left: the role is there and the document doesn't name its client_id yet, the plugin has not heard of it, or tokens
  // that hold more than it has now are not ended.
  const unfinished =
    !complete || !found.data?.['client_id'] || typeof found.data['narrowing_since'] === 'number' || known.inPlugin?.has(tenant) === false;
  if (dryRun) return !complete ? 'made' : differs.length > 0 || unfinished ? 'changed' : 'unchanged';
  if (differs.some((what) => what !== 'disabled') || unfinished) await write(complete);
  const settled = await settleState(access, row, known, isDisabled);
  return !complete ? 'made' : differs.length > 0 || unfinished || settled ? 'changed' : 'unchanged';
}

/** Its trusts, and whether it is disabled. @returns whether anything was changed */
async function settleState(access: VaultAccess, row: Row, known: Known, isDisabled = known.disabled.has(row.tenant)): Promise<boolean> {
  const { tenant, disabled, trusts } = row;
  let changed = false;
  if (disabled === true && !isDisabled) await stopTenant(access, tenant);
  if (disabled === false && isDisabled) await enableTenant(access, tenant);
  if (disabled !== undefined && disabled !== isDisabled) changed = true;
  if (trusts.length === 0) return changed;
  const there = new Map((await listTrusts(access, tenant)).map((one) => [one.name, trustKey(one)]));
  for (const trust of trusts) {
    const now = there.get(trust.name);
    if (now === trustKey(trust)) continue;
    const { name, issuer, audience, claims, cidrs } = trust;
    await addTrust(access, {
      tenant,
      name,
      issuer,
      audience,
      subject: trust.subject ?? undefined,
      subjectPattern: trust.subject_pattern ?? undefined,
      claims,
      scopes: trust.scopes ?? undefined,
      cidrs,
      replace: now !== undefined && known.update === true,
    });
    changed = true;
  }
  return changed;
}
