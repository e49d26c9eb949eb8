import { PosternError } from '#broker/error.ts';
import { MOUNTS } from '#broker/mounts.ts';
import type { Mount, MountName } from '#broker/mounts.ts';
import type { VaultAccess } from '#broker/operator/access.ts';
import { failed, ok, skipped, warning } from './check.ts';
import type { Check } from './check.ts';
import { inspectApis, inspectAnnouncements, inspectTenants } from './inventory.ts';
import type { SourceChecks } from './source-checks.ts';
import { sourceView } from './source-view.ts';
import { whoIs } from '#broker/operator/whoami.ts';
import { inspectPlugin } from './plugin.ts';

export interface InspectionOptions {
  /** Of every token source: what its folder contributes. */
  sources: readonly SourceChecks[];
  /** The policies as they should be, by name, with `${…}` where Terraform fills in names; undefined: their text is not compared. */
  policies?: Readonly<Record<string, string>> | undefined;
  /** Called as each part is done. */
  onCheck?: (check: Check) => void;
  signal?: AbortSignal;
}

const APPLY = 'Run terraform apply.';
/** Which Vault releases the path-matching faults of 2026 are mended in: see threats in the documentation. */
const ADVISED = [2, 1, 2] as const;
const OLDEST = [1, 21, 0] as const;

type Json = Record<string, unknown>;
interface Mounted {
  type: string;
  accessor: string;
  options: Json;
  config: Json;
}
type MountTable = ReadonlyMap<string, Mounted>;

/** Everything about Vault that Postern needs. Never throws for what is found: each fault is a check with its remedy. */
export async function inspectVault(access: VaultAccess, options: InspectionOptions): Promise<Check[]> {
  const checks: Check[] = [];
  const take = (more: readonly Check[]): void => {
    for (const check of more) {
      checks.push(check);
      options.onCheck?.(check);
    }
  };
  const reachable = await look('vault: reachable', () => inspectHealth(access));
  take(reachable);
  // Without Vault, twenty more faults would all say the same.
  if (reachable.some(({ status }) => status === 'failed')) return checks;
  const token = await look('vault: your token', () => inspectToken(access));
  take(token);
  if (token.some(({ status }) => status === 'failed')) return checks;
  const auth = await mountTable(access, 'sys/auth');
  const engines = await mountTable(access, 'sys/mounts');
  const { approle, brokerApprole, oidc } = access.mounts;
  const parts: (() => Promise<Check[]>)[] = [
    () =>
      look('mounts', async () => [
        ...Object.entries<Mount>(MOUNTS).flatMap(([name, { needs }]) => {
          const path = access.mounts[name as MountName];
          if (needs === undefined) return [];
          return needs.auth ? mounted(auth, `auth/${path}`, path, needs.type) : mounted(engines, path, path, needs.type, needs.version);
        }),
        people(auth, oidc),
      ]),
    () => look('approle', async () => [tenantsTuning(auth, approle), lockout(auth, brokerApprole)]),
    () => look('approle: rate limit', () => inspectQuota(access)),
    () => look('policies', () => inspectPolicies(access, auth, options.policies)),
    () => look('broker: role', () => inspectBrokerRole(access)),
    ...options.sources.flatMap((source) =>
      source.inVault.map(
        ({ title, inspect }) =>
          () =>
            look(title, () => inspect(sourceView(access, source.name))),
      ),
    ),
    () => look('cached tokens: clean-up', () => inspectTokensMount(access)),
    () => look('plugin', () => inspectPlugin(access)),
    () => look('audit', () => inspectAudit(access)),
    () =>
      look('apis', () =>
        inspectApis(
          access,
          options.sources.map(({ name }) => name),
        ),
      ),
    () => look('tenants', () => inspectTenants(access)),
    () => look('announcements', () => inspectAnnouncements(access)),
  ];
  for (const part of parts) {
    options.signal?.throwIfAborted();
    take(await part());
  }
  return checks;
}

/** A look that Vault refuses is skipped, one that breaks has failed; the others go on. */
export async function look(name: string, work: () => Promise<Check[]>): Promise<Check[]> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PosternError)) throw error;
    const mayNotLook = error.code === 'access_denied' && !name.startsWith('vault:');
    return [
      mayNotLook
        ? skipped(name, 'your token may not look', "Look with an auditor's or an administrator's token.")
        : failed(name, error.message, error.detail ?? ''),
    ];
  }
}

async function inspectHealth(access: VaultAccess): Promise<Check[]> {
  const health = await access.call('tell its health', ({ client }) => client.health());
  const name = 'vault: reachable';
  if (!health.initialized) return [failed(name, 'Vault is not initialized', 'Run `vault operator init` on its server.')];
  if (health.sealed)
    return [failed(name, `Vault ${health.version} is sealed`, 'Unseal it: `vault operator unseal`, or mend its auto-unseal.')];
  const checks = [ok(name, `Vault ${health.version}, unsealed${health.standby ? ', a standby' : ''}`)];
  if (older(health.version, OLDEST))
    checks.push(failed('vault: version', health.version, `Postern is tried from ${OLDEST.join('.')} on: upgrade.`));
  else if (older(health.version, ADVISED))
    checks.push(
      warning(
        'vault: version',
        health.version,
        `Releases before ${ADVISED.join('.')} have published faults in how paths are matched: plan an upgrade.`,
      ),
    );
  else checks.push(ok('vault: version', health.version));
  return checks;
}

function older(version: string, than: readonly number[]): boolean {
  const parts = /^(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) ?? [];
  for (const [at, number] of than.entries()) if (parts[at] !== number) return (parts[at] ?? 0) < number;
  return false;
}

async function inspectToken(access: VaultAccess): Promise<Check[]> {
  const { name } = await whoIs(access);
  // A token without the policy `default` may not look at itself; a dead one may not read this either.
  await access
    .call('tell its mounts', ({ client, as }) => client.read('sys/mounts', as))
    .catch((error: unknown) => {
      if (!(error instanceof PosternError && error.code === 'access_denied' && name !== 'unknown')) throw error;
    });
  return [ok('vault: your token', name)];
}

async function mountTable(access: VaultAccess, path: 'sys/auth' | 'sys/mounts'): Promise<MountTable | undefined> {
  const answer = await access
    .call('list its mounts', ({ client, as }) => client.read(path, as))
    .catch((error: unknown) => {
      if (error instanceof PosternError && error.code === 'access_denied') return undefined;
      throw error;
    });
  if (!answer?.data) return undefined;
  const entries = Object.entries(answer.data).map(([name, value]): [string, Mounted] => {
    const { type, accessor, options, config } = (value ?? {}) as Json;
    return [
      name.replace(/\/$/, ''),
      { type: said(type), accessor: said(accessor, ''), options: (options ?? {}) as Json, config: (config ?? {}) as Json },
    ];
  });
  return new Map(entries);
}

function mounted(table: MountTable | undefined, name: string, path: string, type: string, version?: string): Check {
  const title = `mount: ${name}`;
  if (table === undefined) return skipped(title, 'your token may not list mounts', 'Log in as operator or auditor.');
  const found = table.get(path);
  if (found === undefined)
    return failed(title, 'nothing is mounted there', `${APPLY} Is it mounted elsewhere? Then name it by its option (postern --help).`);
  if (found.type !== type)
    return failed(title, `a mount of type ${found.type}, not ${type}`, 'Name the right mount by its option (postern --help).');
  if (version !== undefined && found.options['version'] !== version)
    return failed(title, `KV version ${said(found.options['version'], '1')}`, `Postern needs version ${version}: ${APPLY}`);
  return ok(title, version === undefined ? type : `${type}, version ${version}`);
}

function people(table: MountTable | undefined, path: string): Check {
  const title = `mount: auth/${path}`;
  const type = table?.get(path)?.type;
  if (table === undefined || type === undefined)
    return skipped(title, 'people do not log in by OIDC here', 'Set the Terraform variable `oidc` (or `auth0`) for login through Auth0.');
  return type === 'oidc' || type === 'jwt'
    ? ok(title, type)
    : failed(title, `a mount of type ${type}, not oidc`, 'Name the right mount by its option (postern --help).');
}

function tenantsTuning(table: MountTable | undefined, path: string): Check {
  const lock = lockout(table, path);
  if (lock.status !== 'ok') return lock;
  const { token_type: type } = table?.get(path)?.config ?? {};
  // A role's own setting does as well, and each role is checked.
  return type === 'batch'
    ? ok(lock.name, `${lock.seen}, tokens are batch`)
    : warning(lock.name, `tokens are ${said(type)} unless a role says batch`, `${APPLY} (sys/auth/${path}/tune, token_type=batch)`);
}

function lockout(table: MountTable | undefined, path: string): Check {
  const title = `lockout: auth/${path}`;
  const found = table?.get(path);
  if (found === undefined) return skipped(title, 'the mount could not be looked at');
  const { user_lockout_disable: off } = (found.config['user_lockout_config'] ?? {}) as Json;
  if (off === true) return ok(title, 'off');
  return failed(
    title,
    'on: whoever knows a role_id can lock its owner out by five wrong secret_ids',
    `${APPLY} Or: vault auth tune -user-lockout-disable=true ${path}/`,
  );
}

async function inspectQuota(access: VaultAccess): Promise<Check[]> {
  const title = 'approle: rate limit';
  const mount = `auth/${access.mounts.approle}/`;
  const path = `${mount}login`;
  let onMount = false;
  const names = await access.call('list rate limits', ({ client, as }) => client.list('sys/quotas/rate-limit', as));
  for (const name of names) {
    if (!/^[A-Za-z0-9_-]+$/.test(name)) continue;
    const quota = (await access.call('read a rate limit', ({ client, as }) => client.read(`sys/quotas/rate-limit/${name}`, as)))?.data;
    if (quota?.['path'] === path) return [ok(title, `${said(quota['rate'])} requests in ${said(quota['interval'], '1')} s on ${path}`)];
    onMount ||= quota?.['path'] === mount;
  }
  if (onMount) return [warning(title, `the quota is on all of ${mount}: a flood of logins keeps operators out too`, APPLY)];
  return [warning(title, `no quota on ${path}: a flood of logins reaches Vault unhindered`, APPLY)];
}

async function inspectPolicies(
  access: VaultAccess,
  auth: MountTable | undefined,
  expected: InspectionOptions['policies'],
): Promise<Check[]> {
  const { policyPrefix } = access.mounts;
  const checks: Check[] = [];
  for (const kind of ['tenant', 'workload', 'broker', 'operator', 'auditor']) {
    const policy = `${policyPrefix}${kind}`;
    const title = `policy: ${policy}`;
    const found = await access.call('read the policies', ({ client, as }) => client.read(`sys/policies/acl/${policy}`, as));
    const text = found?.data?.['policy'];
    const template = expected?.[kind];
    if (typeof text !== 'string') checks.push(failed(title, 'is not there', APPLY));
    else if (template === undefined) checks.push(ok(title, 'is there (not compared)'));
    else if (same(text, render(template, access, auth))) checks.push(ok(title, 'as vault-policies/ says'));
    else
      checks.push(
        failed(title, `is not as vault-policies/${kind}.hcl says`, `${APPLY} Somebody changed it, or this postern is of another version.`),
      );
  }
  return checks;
}

/** As Terraform's templatefile does it, for the `${name}`s that the policies use. */
function render(template: string, access: VaultAccess, auth: MountTable | undefined): string {
  const { approle, policyPrefix } = access.mounts;
  const values: Record<string, string> = {
    ...Object.fromEntries(Object.entries(access.mounts).map(([name, path]) => [snakeCase(name), path])),
    approle_accessor: auth?.get(approle)?.accessor ?? '',
    tenant_policy: `${policyPrefix}tenant`,
  };
  return template.replaceAll(/\$\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole);
}

/** `brokerApprole` -> `broker_approle` */
function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Comments and spacing do not count. */
function same(a: string, b: string): boolean {
  const bare = (text: string): string =>
    text
      .replaceAll(/^\s*#.*$/gm, '')
      .replaceAll(/\s+/g, ' ')
      .trim();
  return bare(a) === bare(b);
}

async function inspectBrokerRole(access: VaultAccess): Promise<Check[]> {
  const { brokerApprole, policyPrefix } = access.mounts;
  const title = 'broker: role';
  const role = (await access.call('read the role of the broker', ({ client, as }) => client.read(`auth/${brokerApprole}/role/broker`, as)))
    ?.data;
  if (!role) return [failed(title, 'there is none', APPLY)];
  const policies = Array.isArray(role['token_policies']) ? role['token_policies'].map(String) : [];
  if (policies.length !== 1 || policies[0] !== `${policyPrefix}broker`)
    return [failed(title, `has the policies ${policies.join(', ') || 'none'}, not ${policyPrefix}broker alone`, APPLY)];
  return role['token_type'] === 'service'
    ? [ok(title, `policy ${policies[0]}, service tokens`)]
    : [failed(title, `gives ${said(role['token_type'])} tokens, which can't be renewed`, APPLY)];
}

async function inspectTokensMount(access: VaultAccess): Promise<Check[]> {
  const { tokens } = access.mounts;
  const title = 'cached tokens: clean-up';
  const config = (await access.call('read the configuration of the token cache', ({ client, as }) => client.read(`${tokens}/config`, as)))
    ?.data;
  const after = said(config?.['delete_version_after'], '0s');
  if (config?.['max_versions'] !== 1)
    return [warning(title, `keeps ${said(config?.['max_versions'], '0')} versions of each token (0: ten)`, APPLY)];
  return after === '0s' ? [warning(title, 'old tokens are never removed', APPLY)] : [ok(title, `one version, removed after ${after}`)];
}

async function inspectAudit(access: VaultAccess): Promise<Check[]> {
  const devices = (await access.call('list audit devices', ({ client, as }) => client.read('sys/audit', as)))?.data ?? {};
  const names = Object.entries(devices).map(([path, device]) => `${path.replace(/\/$/, '')} (${String((device as Json)['type'])})`);
  if (names.length === 0) return [failed('audit', 'Vault records nothing', `${APPLY} Or: vault audit enable file file_path=stdout`)];
  if (names.length === 1)
    return [warning('audit', `one device: ${names[0]}`, 'Enable a second one: Vault answers nobody while it can write to none.')];
  return [ok('audit', `${names.length} devices: ${names.join(', ')}`)];
}

/** A plain value of Vault's answer, as text. */
function said(value: unknown, fallback = 'unknown'): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : fallback;
}
